"""OpenVINO: https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Literal

import numpy as np
import onnx

from graphc.emit.narrow_ports import with_narrow_ports
from graphc.emit.swish_apart import with_swish_apart
from graphc.targets.runtimes.converter_process import convert_apart
from graphc.targets.target import Converted, QuantizingOptions, StreamingModel, Target, TargetOptions
from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import NativePort, Runner
from graphc_runtime.native.runtimes.openvino import open_runner

CONVERT = """
import sys
from graphc.targets.runtimes.converter_process import in_this_process
from graphc.targets.runtimes.openvino import write
in_this_process(write, sys.argv[1:])
"""


class OpenVinoOptions(QuantizingOptions):
    """``stateful``: states are variables in the model (ReadValue, Assign), not ports. ``quantize``: by NNCF."""

    stateful: bool = False
    quantize: Literal["weight_only_int8", "static_int8"] | None = None


class OpenVino(Target):
    """Converts in a separate process, because OpenVINO continues its numbering of nodes from model to model."""

    name: ClassVar[str] = "openvino"
    summary: ClassVar[str] = "Intel's runtime: CPUs, GPUs and NPUs of PCs and servers, from C++ and Python"
    package: ClassVar[str] = "openvino"
    module: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    license: ClassVar[str] = "Apache-2.0"
    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".bin")
    Options: ClassVar[type[TargetOptions]] = OpenVinoOptions

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
        return open_runner(path, inputs, outputs, threads)


def keep_calls(folder: Path, model: StreamingModel, narrow: Collection[str]) -> None:
    """Writes the inputs of calls for the quantizer, one file for each call."""
    names = [port.name for port in model.proto.graph.input]
    (folder / "names.json").write_text(json.dumps(names))
    for index, feeds in enumerate(model.calibration()):
        arrays = [np.asarray(feeds[p], np.int32 if p in narrow else None) for p in names]
        np.savez(folder / f"call_{index}.npz", *arrays)


def write(source: str, written: str, states: str, quantize: str) -> None:
    """Writes the model in OpenVINO's form.

    Errors:
        TargetError: NNCF, the quantizer, is not installed.
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
    """Quantizes the model with NNCF: https://github.com/openvinotoolkit/nncf."""
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


TARGET = OpenVino()
