"""onnxruntime's own format: https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from graphc_runtime.errors import ModelError, TargetError
from graphc_runtime.native.ports import Array, NativePort, Runner
from graphc_runtime.ort_model import OrtModel, open_file


def open_runner(
    path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
) -> Runner:
    """Opens a converted model.

    Errors:
        TargetError: onnxruntime cannot load the model.
    """
    try:
        return OrtRunner(open_file(path, threads))
    except ModelError as err:
        raise TargetError(err.reason, where=str(path)) from err


class OrtRunner(Runner):
    def __init__(self, session: OrtModel):
        self.session = session

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        return self.session.run(feeds)
