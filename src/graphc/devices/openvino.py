"""OpenVINO: https://docs.openvino.ai/2026/openvino-workflow/model-preparation.html."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import onnx

from graphc.devices.device import Array, Converted, Device, NativePort, OnnxPort, Runner
from graphc.errors import TargetError

CONVERT = """
import sys, openvino as ov
source, written = sys.argv[1:]
ov.save_model(ov.Core().read_model(source), written, compress_to_fp16=False)
"""


class OpenVino(Device):
    """A process of its own converts: the names that OpenVINO gives to nodes count on from model to model."""

    name: ClassVar[str] = "openvino"
    summary: ClassVar[str] = "Intel's runtime: CPUs, GPUs and NPUs of PCs and servers, from C++ and Python"
    package: ClassVar[str] = "openvino"
    module: ClassVar[str] = "openvino"
    extra: ClassVar[str] = "openvino"
    license: ClassVar[str] = "Apache-2.0"
    suffixes: ClassVar[tuple[str, ...]] = (".xml", ".bin")

    def convert(self, model: onnx.ModelProto, ports: Sequence[OnnxPort], options: Any) -> Converted:
        with TemporaryDirectory() as folder:
            source, written = Path(folder) / "model.onnx", Path(folder) / "model.xml"
            onnx.save(model, source)
            done = subprocess.run(
                [sys.executable, "-c", CONVERT, str(source), str(written)], capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise refused(done.stderr)
            files = {".xml": written.read_bytes(), ".bin": written.with_suffix(".bin").read_bytes()}
        return Converted(files, {p.name: p.native() for p in ports})

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        import openvino as ov

        core = ov.Core()
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
            "ENABLE_CPU_PINNING": False,
        }
        try:
            return OpenVinoRunner(core.compile_model(core.read_model(path), "CPU", settings), inputs, outputs)
        except RuntimeError as err:
            raise refused(str(err)) from err


class OpenVinoRunner(Runner):
    """Ports by their names; an input that the model does not use is none of OpenVINO's."""

    def __init__(self, compiled: Any, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort]):
        self.request = compiled.create_infer_request()
        known = {name for port in compiled.inputs for name in port.get_names()}
        self.inputs = {name: port.name for name, port in inputs.items() if port.name in known}
        self.outputs = [(o, [n for n, p in outputs.items() if p.name in o.get_names()]) for o in compiled.outputs]

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        taken = {native: feeds[name] for name, native in self.inputs.items()}
        results = self.request.infer(taken, share_inputs=True)
        return {name: np.array(results[output]) for output, names in self.outputs for name in names}


def refused(said: str) -> TargetError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return TargetError(f"OpenVINO does not take the model: {' '.join(lines[-3:])[:400]}")


DEVICE = OpenVino()
