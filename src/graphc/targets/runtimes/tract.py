"""tract: https://github.com/sonos/tract. It reads the ONNX model itself, so nothing is written for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.native.ports import NativePort, Runner
from graphc_runtime.native.runtimes.tract import open_runner


class Tract(Target):
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
        return open_runner(path, inputs, outputs, threads)


TARGET = Tract()
