"""MNN: https://mnn-docs.readthedocs.io/en/latest/tools/convert.html."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import onnx

from graphc.targets.runtimes.converter_process import convert_apart
from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import NativePort, OnnxPort, Runner
from graphc_runtime.native.runtimes.mnn import open_runner

CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"
NARROWED = {"int64": "int32", "bool": "int32"}


class Mnn(Target):
    """Calls MNN's converter without its Python command, which installs a package that sends usage statistics."""

    name: ClassVar[str] = "mnn"
    summary: ClassVar[str] = "Alibaba's runtime for phones and small boards, from C++, Java, Swift and Python"
    package: ClassVar[str] = "MNN"
    module: ClassVar[str] = "MNN"
    extra: ClassVar[str] = "mnn"
    license: ClassVar[str] = "BSD-3-Clause"
    suffixes: ClassVar[tuple[str, ...]] = (".mnn",)

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        odd = next((p for p in model.ports if str(p.dtype) not in ("float32", "int32", *NARROWED)), None)
        if odd is not None:
            raise TargetError(
                f"'{odd.name}' is {odd.dtype}, and MNN has no ports of that type",
                hint="export the model in float32, and leave quantize.states out",
            )
        with TemporaryDirectory() as folder:
            source, written = Path(folder) / "model.onnx", Path(folder) / "model.mnn"
            onnx.save(model.proto, source)
            words = ["-f", "ONNX", "--modelFile", str(source), "--MNNModel", str(written), "--bizCode", "graphc"]
            said = convert_apart("MNN's converter", CONVERT, words)
            if not written.is_file():
                raise TargetError(f"MNN's converter does not take the model: {said}")
            files = {".mnn": written.read_bytes()}
        return Converted(files, {p.name: narrowed(p) for p in model.ports})

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        return open_runner(path, inputs, outputs, threads)


def narrowed(port: OnnxPort) -> NativePort:
    return NativePort(port.name, None, NARROWED.get(str(port.dtype), str(port.dtype)), port.shape)


TARGET = Mnn()
