"""OpenVINO: https://docs.openvino.ai/."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from graphc_runtime.errors import TargetError
from graphc_runtime.native.held_state import BufferSet, BufferSets, HeldOutput
from graphc_runtime.native.ports import Array, NativePort, Runner

GONE = "a state is from an earlier call, and OpenVINO no longer has it"
CPU = {"NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}


def open_runner(
    path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
) -> Runner:
    """Opens a converted model.

    Errors:
        TargetError: OpenVINO cannot load the model.
    """
    core, settings = shared_core(), {**CPU, "INFERENCE_NUM_THREADS": threads}
    try:
        compiled = core.compile_model(core.read_model(path), "CPU", settings)
    except RuntimeError as err:
        raise TargetError(f"OpenVINO does not take the model: {' '.join(str(err).split())[-400:]}") from err
    request = compiled.create_infer_request()
    return (StatefulRunner if request.query_state() else OpenVinoRunner)(request, inputs, outputs)


@cache
def shared_core() -> Any:
    """The only Core of the process.

    A Core gives the main thread a stack for signals, and restores the thread's previous stack when the Core ends. If
    two Cores end in the order in which they were created, the second restores the stack of the first. That stack no
    longer exists, so the next signal crashes the process.
    """
    import openvino as ov

    return ov.Core()


class OpenVinoRunner(Runner):
    """Runs a model with states as ports. The tensor of a state is an output of one call and an input of the next.

    OpenVINO drops inputs that the model does not use.
    """

    def __init__(self, request: Any, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort]):
        self.request = request
        known = {name: port for port in request.model_inputs for name in port.get_names()}
        self.inputs = {name: known[p.name] for name, p in inputs.items() if p.name in known}
        self.own = {name: new_tensor(port) for name, port in self.inputs.items()}
        known = {name: port for port in request.model_outputs for name in port.get_names()}
        self.outputs = {name: known[p.name] for name, p in outputs.items() if p.name in known}
        self.sets = BufferSets(partial(new_tensors, self.outputs))

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
    """Runs a model with states as variables of the request.

    A variable is set only if a call does not continue from the previous call.
    """

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


def new_tensors(ports: Mapping[str, Any]) -> dict[str, Any]:
    return {name: new_tensor(port) for name, port in ports.items()}


def new_tensor(port: Any) -> Any:
    import openvino as ov

    return ov.Tensor(port.element_type, ov.Shape([int(size) for size in port.shape]))


def new_like(value: Array) -> Any:
    import openvino as ov

    return ov.Tensor(np.ascontiguousarray(value))
