"""A converted model, run with the port names, shapes and types of the ONNX model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from graphc_runtime.errors import RunError
from graphc_runtime.native.held_state import HeldOutput, HeldState
from graphc_runtime.native.ports import Array, NativePort, OnnxPort, Runner


class NativeSession:
    """Runs a model in a device's runtime, with the interface of ``graphc.ir.ort_session.Session``.

    Args:
        name: the name of the target, for messages.
        runner: the opened model.
        inputs, outputs: the ports of the ONNX model, with those of the states.
        ports: the native ports, by the name of the ONNX port.
        states: for each state's input, the output with its next value. A runner may leave that output in its runtime.
    """

    def __init__(
        self,
        name: str,
        runner: Runner,
        inputs: Sequence[OnnxPort],
        outputs: Sequence[OnnxPort],
        ports: Mapping[str, NativePort],
        states: Mapping[str, str],
    ):
        self.name, self.runner, self.inputs, self.outputs, self.ports = name, runner, inputs, outputs, ports
        self.input_names = [p.name for p in inputs]
        self.output_names = [p.name for p in outputs]
        self.shapes: dict[str, list[int | str | None]] = {p.name: list(p.shape) for p in (*inputs, *outputs)}
        self.states = set(states.values())
        self.by_output = {p.name: p for p in outputs}

    def run(self, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Any]:
        """Runs one call. Returns the outputs as values of the ONNX ports, by name.

        Errors:
            RunError: the run failed, or an output has another shape than its port.
        """
        try:
            native = self.runner.run({p.name: self.taken(p, feeds[p.name]) for p in self.inputs})
            return {
                name: self.given(port, native[name])
                for name, port in self.by_output.items()
                if outputs is None or name in outputs
            }
        except (RuntimeError, ValueError, KeyError, TypeError) as err:
            lines = str(err).strip().splitlines() or [type(err).__name__]
            raise RunError(f"{self.name}: {lines[0][:300]}") from err

    def taken(self, port: OnnxPort, value: Any) -> Array | HeldOutput:
        """Converts an input to a native value. A state that this session left in the runtime is not copied."""
        if type(value) is HeldState and value.owner is self:
            return value.output
        return self.ports[port.name].to_native(np.asarray(value))

    def given(self, port: OnnxPort, value: Array | HeldOutput) -> Array | HeldState:
        if not isinstance(value, HeldOutput):
            return self.ports[port.name].from_native(value, port.shape, port.dtype)
        if port.name in self.states:
            return HeldState(self, value, port.shape, port.dtype)
        return self.onnx_value(value)

    def onnx_value(self, output: HeldOutput) -> Array:
        """Reads an output that the runner left in its runtime, as a value of the ONNX port."""
        port = self.by_output[output.name]
        return self.ports[port.name].from_native(output.read(), port.shape, port.dtype)
