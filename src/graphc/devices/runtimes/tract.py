"""tract: https://github.com/sonos/tract. It reads the ONNX model itself, so nothing is written for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from graphc.devices.device import Array, Converted, Device, NativePort, Runner, StreamingModel
from graphc.errors import TargetError


class Tract(Device):
    name: ClassVar[str] = "tract"
    summary: ClassVar[str] = "Sonos' runtime in Rust, for small devices; it reads the ONNX model itself"
    package: ClassVar[str] = "tract"
    module: ClassVar[str] = "tract"
    extra: ClassVar[str] = "tract"
    license: ClassVar[str] = "Apache-2.0 or MIT"

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        sides = ([p.name for p in model.proto.graph.input], [o.name for o in model.proto.graph.output])
        places = {name: index for names in sides for index, name in enumerate(names)}
        return Converted({}, {p.name: NativePort(p.name, places[p.name], str(p.dtype), p.shape) for p in model.ports})

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        import tract

        try:
            read = tract.onnx().load(str(path))
            names = [read.input_name(i) for i in range(read.input_count())]
            places = {port.index: name for name, port in outputs.items()}
            return TractRunner(read.into_model().into_runnable(), names, places)
        except tract.TractError as err:
            raise TargetError(f"tract does not take the model: {first_lines(err)}") from err


class TractRunner(Runner):
    """tract keeps the order of the outputs, and renames them."""

    def __init__(self, runnable: Any, inputs: Sequence[str], outputs: Mapping[int | None, str]):
        self.runnable, self.inputs, self.outputs = runnable, inputs, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        results = self.runnable.run([feeds[name] for name in self.inputs])
        return {name: np.array(results[index].to_numpy()) for index, name in self.outputs.items() if index is not None}


def first_lines(err: Exception) -> str:
    return " ".join(line.strip() for line in str(err).splitlines()[:4])[:400]


DEVICE = Tract()
