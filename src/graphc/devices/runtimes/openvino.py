"""OpenVINO: https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np
import onnx

from graphc.devices.device import (
    Array,
    Converted,
    Device,
    DeviceOptions,
    NativePort,
    QuantizingOptions,
    Runner,
    StreamingModel,
)
from graphc.devices.held_state import BufferSet, BufferSets, HeldOutput
from graphc.devices.runtimes.converter_process import convert_apart
from graphc.emit.narrow_ports import with_narrow_ports
from graphc.emit.swish_apart import with_swish_apart
from graphc.errors import TargetError

CONVERT = """
import sys
from graphc.devices.runtimes.converter_process import in_this_process
from graphc.devices.runtimes.openvino import write
in_this_process(write, sys.argv[1:])
"""
GONE = "a state is that of an earlier call, and OpenVINO has gone on"
CPU = {"NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}


class OpenVinoOptions(QuantizingOptions):
    """``stateful``: states are variables inside the model (ReadValue and Assign), not ports. ``quantize``: by NNCF."""

    stateful: bool = False
    quantize: Literal["weight_only_int8", "static_int8"] | None = None


class OpenVino(Device):
    """A process of its own converts: the names that OpenVINO gives to nodes count on from model to model."""

    name: ClassVar[str] = "openvino"
    summary: ClassVar[str] = "Intel's runtime: CPUs, GPUs and NPUs of PCs and servers, from C++ and Python"
    package: ClassVar[str] = "openvino"
    module: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    license: ClassVar[str] = "Apache-2.0"
    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".bin")
    Options: ClassVar[type[DeviceOptions]] = OpenVinoOptions

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        states = dict(model.states) if options.stateful else {}
        wide = {p.name for p in model.ports if p.dtype == np.int64 and p.name in {*states, *states.values()}}
        with TemporaryDirectory() as folder:
            source, written = Path(folder) / "model.onnx", Path(folder) / "model.xml"
            shaped = model.proto if options.quantize else with_swish_apart(model.proto)
            onnx.save(with_narrow_ports(shaped, wide), source)
            if options.quantize == "static_int8":
                keep_calls(Path(folder), model, wide)
            words = [str(source), str(written), json.dumps(states), options.quantize or ""]
            convert_apart("OpenVINO", CONVERT, words)
            files = {".xml": written.read_bytes(), ".bin": written.with_suffix(".bin").read_bytes()}
        variables = {port: f"{taken}{given}" for taken, given in states.items() for port in (taken, given)}
        ports = {
            p.name: replace(p.native("int32" if p.name in wide else None), name=variables.get(p.name, p.name))
            for p in model.ports
        }
        return Converted(files, ports, stateful=options.stateful)

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        core, settings = shared_core(), {**CPU, "INFERENCE_NUM_THREADS": threads}
        try:
            compiled = core.compile_model(core.read_model(path), "CPU", settings)
        except RuntimeError as err:
            raise TargetError(f"OpenVINO does not take the model: {' '.join(str(err).split())[-400:]}") from err
        request = compiled.create_infer_request()
        return (StatefulRunner if request.query_state() else OpenVinoRunner)(request, inputs, outputs)


@cache
def shared_core() -> Any:
    """One for the process. OpenVINO's gives the main thread a stack for signals, and takes it away with itself: of two
    that go in the order in which they came, the second leaves one that is gone, and the next signal crashes."""
    import openvino as ov

    return ov.Core()


def keep_calls(folder: Path, model: StreamingModel, narrow: Collection[str]) -> None:
    """Writes the inputs of calls for the quantizer, a file each."""
    names = [port.name for port in model.proto.graph.input]
    (folder / "names.json").write_text(json.dumps(names))
    for index, feeds in enumerate(model.calibration()):
        arrays = [np.asarray(feeds[p], np.int32 if p in narrow else None) for p in names]
        np.savez(folder / f"call_{index}.npz", *arrays)


def write(source: str, written: str, states: str, quantize: str) -> None:
    """Writes the model as OpenVINO has it.

    Errors:
        TargetError: NNCF, which quantizes, is not installed.
    """
    import openvino as ov
    from openvino.passes import MakeStateful, Manager

    model = ov.Core().read_model(source)
    if quantize:
        model = quantized(model, quantize, Path(written).parent)
    if pairs := json.loads(states):
        manager = Manager()
        manager.register_pass(MakeStateful(pairs))
        manager.run_passes(model)
    ov.save_model(model, written, compress_to_fp16=False)


def quantized(model: Any, precision: str, folder: Path) -> Any:
    """The model as NNCF makes it: https://github.com/openvinotoolkit/nncf."""
    try:
        import nncf
    except ImportError as err:
        raise TargetError("NNCF, which quantizes for OpenVINO, is not installed", hint="pip install nncf") from err
    if precision == "weight_only_int8":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
    names = json.loads((folder / "names.json").read_text())
    known = {name for port in model.inputs for name in port.get_names()}
    calls = []
    for path in sorted(folder.glob("call_*.npz")):
        with np.load(path) as held:
            calls.append({name: held[f"arr_{i}"] for i, name in enumerate(names) if name in known})
    kind = nncf.ModelType.TRANSFORMER
    return nncf.quantize(model, nncf.Dataset(calls), subset_size=len(calls), model_type=kind)


class OpenVinoRunner(Runner):
    """Every port has a tensor; those of states are an output of one call and an input of the next.

    An input that the model does not use is none of OpenVINO's.
    """

    def __init__(self, request: Any, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort]):
        self.request = request
        known = {name: port for port in request.model_inputs for name in port.get_names()}
        self.inputs = {name: known[p.name] for name, p in inputs.items() if p.name in known}
        self.own = {name: new_tensor(port) for name, port in self.inputs.items()}
        known = {name: port for port in request.model_outputs for name in port.get_names()}
        self.outputs = {name: known[p.name] for name, p in outputs.items() if p.name in known}
        self.sets = BufferSets(lambda: {name: new_tensor(port) for name, port in self.outputs.items()})

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        written = self.sets.free()
        for name, port in self.inputs.items():
            self.request.set_tensor(port, self.tensor(name, feeds[name]))
        for name, port in self.outputs.items():
            self.request.set_tensor(port, written.buffers[name])
        self.request.start_async()
        self.request.wait()
        return {name: HeldOutput(self, written, name) for name in self.outputs}

    def read(self, holder: BufferSet, name: str) -> Array:
        return np.array(holder.buffers[name].data)

    def tensor(self, name: str, value: Any) -> Any:
        if isinstance(value, HeldOutput):
            return value.holder.buffers[value.name]
        self.own[name].data[...] = value
        return self.own[name]


class StatefulRunner(Runner):
    """States are variables of the request. A stream that goes on needs nothing of them; another one sets them."""

    def __init__(self, request: Any, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort]):
        self.request = request
        variables = {state.name: state for state in request.query_state()}
        self.taken, self.given = (
            {name: variables[p.name] for name, p in side.items() if p.name in variables} for side in (inputs, outputs)
        )
        known = {name: port for port in request.model_inputs for name in port.get_names()}
        self.own = {name: new_tensor(known[p.name]) for name, p in inputs.items() if p.name in known}
        for name, tensor in self.own.items():
            self.request.set_tensor(known[inputs[name].name], tensor)
        known = {name: port for port in request.model_outputs for name in port.get_names()}
        self.outputs = {name: known[p.name] for name, p in outputs.items() if p.name in known}
        self.calls = 0

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, variable in self.taken.items():
            value = feeds[name]
            if not isinstance(value, HeldOutput):
                variable.state = new_like(value)
            elif value.holder != self.calls:
                raise RuntimeError(GONE)
        for name, tensor in self.own.items():
            tensor.data[...] = feeds[name]
        self.request.start_async()
        self.request.wait()
        self.calls += 1
        results: dict[str, Any] = {n: np.array(self.request.get_tensor(p).data) for n, p in self.outputs.items()}
        return results | {name: HeldOutput(self, self.calls, name) for name in self.given}

    def read(self, holder: int, name: str) -> Array:
        if holder != self.calls:
            raise RuntimeError(GONE)
        return np.array(self.given[name].state.data)


def new_tensor(port: Any) -> Any:
    import openvino as ov

    return ov.Tensor(port.element_type, ov.Shape([int(size) for size in port.shape]))


def new_like(value: Array) -> Any:
    import openvino as ov

    return ov.Tensor(np.ascontiguousarray(value))


DEVICE = OpenVino()
