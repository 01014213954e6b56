"""onnx's reference evaluator as a target: slow, in Python, and a second opinion on every op."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import onnx
from onnx.reference import ReferenceEvaluator

from graphc.target_api import Array, Converted, NativePort, Runner, StreamingModel, Target, TargetError


class Reference(Target):
    name: ClassVar[str] = "reference"
    summary: ClassVar[str] = "onnx's reference evaluator, in Python"
    package: ClassVar[str] = "onnx"
    module: ClassVar[str] = "onnx"
    extra: ClassVar[str] = "reference"
    license: ClassVar[str] = "Apache-2.0"
    suffixes: ClassVar[tuple[str, ...]] = (".pb",)

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        files = {".pb": model.proto.SerializeToString(deterministic=True)}
        return Converted(files, model.native())

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        try:
            return ReferenceRunner(ReferenceEvaluator(onnx.load(path)), list(outputs))
        except NotImplementedError as err:
            raise TargetError(f"the reference evaluator lacks an op: {err}") from err


class ReferenceRunner(Runner):
    def __init__(self, evaluator: ReferenceEvaluator, outputs: list[str]):
        self.evaluator, self.outputs = evaluator, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self.outputs, self.evaluator.run(self.outputs, dict(feeds)), strict=True))


TARGET = Reference()
