"""LiteRT (TensorFlow Lite): https://ai.google.dev/edge/litert, by the converter https://github.com/PINTO0309/onnx2tf."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import onnx

from graphc.devices.device import Array, Converted, Device, NativePort, OnnxPort, Runner
from graphc.devices.native_session import onnx_ports
from graphc.devices.own_environment import OwnEnvironment
from graphc.errors import TargetError
from graphc.ir.runtime import Session
from graphc.system.silence import silent

CONVERT = """
import sys, onnx, onnx2tf
source, folder = sys.argv[1:]
names = [port.name for port in onnx.load(source).graph.input]
onnx2tf.convert(
    input_onnx_file_path=source, output_folder_path=folder, copy_onnx_input_output_names_to_tflite=True,
    not_use_onnxsim=True, keep_shape_absolutely_input_names=names, verbosity="error", disable_strict_mode=True,
)
"""
LONGEST_S = 900
NEAR = 1e-3


class LiteRt(Device):
    """The converter needs a newer Python than graphc and its own onnxruntime, so it has an environment of its own."""

    name: ClassVar[str] = "litert"
    summary: ClassVar[str] = "Google's LiteRT (TensorFlow Lite): Android, iOS, boards, microcontrollers"
    package: ClassVar[str] = "ai-edge-litert"
    module: ClassVar[str] = "ai_edge_litert"
    extra: ClassVar[str] = "litert"
    license: ClassVar[str] = "Apache-2.0; the converter onnx2tf is MIT"
    suffixes: ClassVar[tuple[str, ...]] = (".tflite",)
    leaves_out: ClassVar[frozenset[str]] = frozenset({"squeeze_batch"})
    converter: ClassVar[OwnEnvironment | None] = OwnEnvironment(
        "litert", ("onnx2tf==2.6.9", "ai-edge-litert==2.1.2"), (3, 12)
    )

    def convert(self, model: onnx.ModelProto, ports: Sequence[OnnxPort], options: Any) -> Converted:
        with TemporaryDirectory() as folder:
            source, home = Path(folder) / "model.onnx", Path(folder) / "out"
            onnx.save(model, source)
            assert self.converter is not None
            command = [str(self.converter.python), "-c", CONVERT, str(source), str(home)]
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, timeout=LONGEST_S, check=False, cwd=folder
                )
            except subprocess.TimeoutExpired as err:
                raise TargetError(f"onnx2tf did not end within {LONGEST_S} s") from err
            written = home / "model_float32.tflite"
            if not written.is_file():
                said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
                raise TargetError(f"onnx2tf does not take the model: {' '.join(said[-2:])[:400]}")
            inputs, outputs = onnx_ports(model)
            interpreter = opened(written, 1)
            native = {p.name: like_onnx(p, d) for p, d in paired(inputs, interpreter.get_input_details())}
            details = dict(paired_by_name(outputs, interpreter.get_output_details()))
            native |= moved_outputs(model, interpreter, inputs, outputs, native, details)
            return Converted({".tflite": written.read_bytes()}, native)

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        return LiteRtRunner(opened(path, threads), inputs, outputs)


class LiteRtRunner(Runner):
    """Ports by their index; the interpreter's buffers are copied."""

    def __init__(self, interpreter: Any, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort]):
        self.interpreter, self.inputs, self.outputs = interpreter, inputs, outputs

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        for name, port in self.inputs.items():
            self.interpreter.set_tensor(port.index, feeds[name])
        self.interpreter.invoke()
        return {name: self.interpreter.get_tensor(port.index) for name, port in self.outputs.items()}


def opened(path: Path, threads: int) -> Any:
    with silent():
        from ai_edge_litert.interpreter import Interpreter

        try:
            interpreter = Interpreter(str(path), num_threads=threads)
            interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as err:
            raise TargetError(f"LiteRT does not take the converted model: {str(err).strip()[:300]}") from err
    return interpreter


def plain(name: str) -> str:
    """A port's name as ONNX has it: TensorFlow puts ``serving_default_`` in front and a number behind."""
    return name.removeprefix("serving_default_").rpartition(":")[0] or name


def paired_by_name(
    ports: Sequence[OnnxPort], details: Sequence[Mapping[str, Any]]
) -> list[tuple[str, Mapping[str, Any]]]:
    """Each ONNX port's name with what LiteRT says of it.

    Errors:
        TargetError: a port that the converted model does not have.
    """
    named = {key: d for d in details for key in (d["name"], plain(d["name"]))}
    lost = [p.name for p in ports if p.name not in named]
    if lost:
        raise TargetError(f"onnx2tf lost the ports {', '.join(lost[:4])}")
    return [(p.name, named[p.name]) for p in ports]


def paired(ports: Sequence[OnnxPort], details: Sequence[Mapping[str, Any]]) -> list[tuple[OnnxPort, Mapping[str, Any]]]:
    by_name = dict(paired_by_name(ports, details))
    return [(p, by_name[p.name]) for p in ports]


def like_onnx(port: OnnxPort, detail: Mapping[str, Any], order: tuple[int, ...] | None = None) -> NativePort:
    shape = tuple(int(size) for size in detail["shape"])
    if np.prod(shape, dtype=np.int64) != np.prod(port.shape, dtype=np.int64):
        raise TargetError(f"onnx2tf gives '{port.name}' the shape {list(shape)}, which holds other entries")
    return NativePort(str(detail["name"]), int(detail["index"]), np.dtype(detail["dtype"]).name, shape, order)


def moved_outputs(
    model: onnx.ModelProto,
    interpreter: Any,
    inputs: Sequence[OnnxPort],
    outputs: Sequence[OnnxPort],
    native: Mapping[str, NativePort],
    details: Mapping[str, Mapping[str, Any]],
) -> dict[str, NativePort]:
    """Outputs with the order of axes in which the converter left them, found by a call of both models."""
    rng = np.random.default_rng(0)
    feeds = {
        p.name: rng.standard_normal(p.shape).astype(p.dtype) if p.dtype.kind == "f" else np.ones(p.shape, p.dtype)
        for p in inputs
    }
    want = Session(model, exact=True).run(feeds)
    plainly = {p.name: like_onnx(p, details[p.name]) for p in outputs}
    got = LiteRtRunner(interpreter, native, plainly).run({n: native[n].to_native(v) for n, v in feeds.items()})
    return {p.name: like_onnx(p, details[p.name], order_of(want[p.name], got[p.name])) for p in outputs}


def order_of(want: Array, got: Array) -> tuple[int, ...] | None:
    """The order of the ONNX axes in which native entries lie; None where they lie as in ONNX, or in no order at all."""
    for order in permutations(range(want.ndim)):
        moved = np.transpose(want, order).ravel()
        scale = max(1.0, float(np.abs(moved).max(initial=0)))
        if moved.size == got.size and np.allclose(moved, got.ravel(), atol=NEAR * scale):
            return None if list(order) == sorted(order) else order
    return None


DEVICE = LiteRt()
