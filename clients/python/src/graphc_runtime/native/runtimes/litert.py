"""LiteRT (TensorFlow Lite): https://ai.google.dev/edge/litert."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from graphc_runtime.errors import TargetError
from graphc_runtime.native.held_state import BufferSet, BufferSets, HeldOutput
from graphc_runtime.native.ports import Array, NativePort, Runner
from graphc_runtime.native.quiet_libraries import silent


def open_runner(
    path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
) -> Runner:
    """Opens a converted model.

    Errors:
        TargetError: LiteRT cannot load the model, or the model lacks a port.
    """
    return LiteRtRunner(opened(path.read_bytes(), threads), inputs, outputs)


class LiteRtRunner(Runner):
    """Writes outputs into LiteRT's buffers. The buffers of states become inputs of the next call without a copy.

    Buffers are written and read as bytes, because LiteRT's Python interface supports few types.
    """

    def __init__(self, model: Any, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort]):
        (signature,) = model.get_signature_list().values()
        self.model, self.outputs = model, outputs
        self.taken = [next((n for n, p in inputs.items() if p.name == name), "") for name in signature["inputs"]]
        self.given = [next((n for n, p in outputs.items() if p.name == name), "") for name in signature["outputs"]]
        if missing := {*inputs, *outputs} - {*self.taken, *self.given}:
            raise TargetError(f"the file has no port {', '.join(sorted(missing)[:4])}")
        self.own = dict(zip(self.taken, model.create_input_buffers(0), strict=True))
        with silent():
            for name, port in inputs.items():
                self.own[name].write(np.zeros(port.shape, port.dtype).reshape(-1).view(np.int8))
        self.sets = BufferSets(partial(new_buffers, model, self.given))

    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        taken = []
        for name in self.taken:
            value = feeds[name]
            if type(value) is HeldOutput:
                taken.append(value.holder.buffers[value.name])
            else:
                self.own[name].write(value.reshape(-1).view(np.int8))
                taken.append(self.own[name])
        written = self.sets.free()
        self.model.run_by_index(0, taken, written.in_order)
        return {name: HeldOutput(self, written, name) for name in self.given}

    def read(self, holder: BufferSet, name: str) -> Array:
        port = self.outputs[name]
        size = math.prod(port.shape) * np.dtype(port.dtype).itemsize
        return np.asarray(holder.buffers[name].read(size, np.int8).view(port.dtype).reshape(port.shape))


def new_buffers(model: Any, names: Sequence[str]) -> dict[str, Any]:
    return dict(zip(names, model.create_output_buffers(0), strict=True))


def opened(content: bytes, threads: int) -> Any:
    """Compiles the model for the CPU.

    Errors:
        TargetError: LiteRT cannot load the model.
    """
    with silent():
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.cpu_options import CpuOptions
        from ai_edge_litert.options import Options

        options = Options(cpu_options=CpuOptions(num_threads=threads))
        try:
            return CompiledModel.from_buffer(content, environment=environment(), options=options)
        except (RuntimeError, ValueError) as err:
            raise TargetError(f"LiteRT does not take the converted model: {str(err).strip()[:300]}") from err


@cache
def environment() -> Any:
    """The environment that all models share.

    There is only one, because LiteRT prints a line per accelerator whenever an environment is created or destroyed.
    """
    from ai_edge_litert.environment import Environment

    return Environment.create()
