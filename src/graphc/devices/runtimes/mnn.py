"""MNN: https://mnn-docs.readthedocs.io/en/latest/tools/convert.html."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import onnx

from graphc.devices.device import Array, Converted, Device, NativePort, OnnxPort, Runner, StreamingModel
from graphc.devices.runtimes.converter_process import convert_apart
from graphc.errors import TargetError
from graphc.system.silence import silent

CONVERT = "import sys, _tools; _tools.mnnconvert(sys.argv)"
NARROWED = {"int64": "int32", "bool": "int32"}


class Mnn(Device):
    """Its converter is called without its Python command, which installs a package to send statistics of use."""

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
                f"MNN takes no ports of {odd.dtype}, as '{odd.name}' is", hint="export the model in float32"
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
        return MnnRunner(path, inputs, outputs, threads)


def narrowed(port: OnnxPort) -> NativePort:
    return NativePort(port.name, None, NARROWED.get(str(port.dtype), str(port.dtype)), port.shape)


class MnnRunner(Runner):
    """Ports by their names, in one order for each side."""

    def __init__(self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int):
        with silent():
            import MNN.expr as expr
            import MNN.nn as nn

        self.expr, self.inputs, self.outputs = expr, list(inputs), list(outputs)
        self.kinds = {"int32": expr.int, "float32": expr.float}
        settings = {"backend": "CPU", "numThread": threads, "precision": "high"}
        names = [[port.name for port in ports.values()] for ports in (inputs, outputs)]
        with silent():
            manager = nn.create_runtime_manager((settings,))
            self.network = nn.load_module_from_file(str(path), *names, runtime_manager=manager)
        if self.network is None:
            raise TargetError("MNN does not take the converted model", where=str(path))

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        expr = self.expr
        taken = [
            expr.const(feeds[name], list(feeds[name].shape), expr.NCHW, self.kinds[str(feeds[name].dtype)])
            for name in self.inputs
        ]
        given = self.network.forward(taken)
        results = {}
        for name, value in zip(self.outputs, given if isinstance(given, list | tuple) else [given], strict=True):
            plain = expr.convert(value, expr.NCHW) if value.data_format == expr.NC4HW4 else value
            results[name] = np.array(plain.read(), copy=True).reshape(plain.shape)
        return results


DEVICE = Mnn()
