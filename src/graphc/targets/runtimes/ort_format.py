"""onnxruntime's own format, for its builds without a reader of ONNX: https://onnxruntime.ai/docs/performance/model-optimizations/ort-format-models.html."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

from graphc.ir.ort_session import save_in_ort_format
from graphc.targets.runtimes.converter_process import convert_apart
from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.errors import RunError, TargetError
from graphc_runtime.native.ports import NativePort, Runner
from graphc_runtime.native.runtimes.ort import open_runner

LIST_OPS = """
import sys
from pathlib import Path
from onnxruntime.tools.ort_format_model import create_config_from_models
create_config_from_models([Path(sys.argv[1])], Path(sys.argv[2]), enable_type_reduction=True)
"""


class OrtFormat(Target):
    """The model as onnxruntime saves it, and the list of ops that a minimal build needs (``.ort.config``).

    The model is saved with only the rewrites that hold on every machine, so it needs no op outside the config. Two
    saves of one model differ in some bytes: onnxruntime lists the op sets that it knows in any order.
    """

    name: ClassVar[str] = "ort"
    summary: ClassVar[str] = "onnxruntime's mobile and minimal builds: phones, microcontrollers with Linux, WebAssembly"
    package: ClassVar[str] = "onnxruntime"
    module: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str] = ""
    license: ClassVar[str] = "MIT"
    suffixes: ClassVar[tuple[str, ...]] = (".ort", ".ort.config")

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        with TemporaryDirectory() as folder:
            written, config = Path(folder) / "model.ort", Path(folder) / "model.config"
            try:
                save_in_ort_format(model.proto, written)
            except RunError as err:
                raise TargetError(f"onnxruntime does not save the model: {err}") from err
            convert_apart("onnxruntime's list of ops", LIST_OPS, [str(written), str(config)])
            ops = [line for line in config.read_text().splitlines(keepends=True) if not line.startswith("#")]
            files = {".ort": written.read_bytes(), ".ort.config": "".join(ops).encode()}
        return Converted(files, model.native())

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        return open_runner(path, inputs, outputs, threads)


TARGET = OrtFormat()
