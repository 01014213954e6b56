"""The lifted Conformer against its twin rewritten by hand: latency per chunk, one thread, as a ratio of medians.

Needs torch (the ``export`` extra). Prints one line for each figure.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from conformer import Size, Twin, conformer
from numpy.typing import NDArray

import graphc

Array = NDArray[Any]
ROUNDS = 400
SPEC = """version: 1
model: whole.onnx
output: {output}.onnx
stream: {{chunk: {chunk}, inputs: {{x: {{axis: 1}}}}}}
passes: [{lift}, fold_constants, fuse, simplify]
"""


def compiled(folder: Path, output: str, chunk: int | str, lift: str = "lift_state") -> Path:
    """Compiles the folder's whole.onnx, and returns the path of the result."""
    spec = folder / f"{output}.yaml"
    spec.write_text(SPEC.format(chunk=chunk, output=output, lift=lift))
    graphc.compile(spec)
    return folder / f"{output}.onnx"


def export_whole(model: torch.nn.Module, features: int, path: Path) -> None:
    """Exports a model of [1, T, features] with a symbolic time dim."""
    frames = torch.randn(1, 50, features)
    torch.onnx.export(
        model,
        (frames,),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {1: "frames"}},
    )


def export_twin(twin: Twin, path: Path) -> None:
    size, first = twin.whole.size, twin.first()
    names = ["x", "seen", *(f"cache_{i}" for i in range(len(first) - 1))]
    outputs = ["y", *(f"{n}_next" for n in names[1:])]
    torch.onnx.export(
        twin,
        (torch.randn(1, size.block, size.dim), *first),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=names,
        output_names=outputs,
    )


class Runner:
    """Runs a streaming model call by call, and carries its states."""

    def __init__(self, path: Path, states: dict[str, Array], pairs: dict[str, str], more: dict[str, Array]):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self.session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        self.states, self.pairs, self.more = dict(states), pairs, more
        self.names = ["y", *pairs.values()]

    def __call__(self, chunk: Array) -> Array:
        out = self.session.run(self.names, {"x": chunk, **self.more, **self.states})
        self.states = dict(zip(self.pairs, out[1:], strict=True))
        return np.asarray(out[0])


def twin_runner(twin: Twin, path: Path) -> Runner:
    first = {n: t.numpy() for n, t in zip(["seen", *(f"cache_{i}" for i in range(10_000))], twin.first(), strict=False)}
    return Runner(path, first, {n: f"{n}_next" for n in first}, {})


def lifted_runner(path: Path, chunk: int) -> Runner:
    session = graphc.StreamSession(path)
    pairs = {s.input: s.output for s in session.manifest.states}
    manifest = session.manifest
    more = {manifest.valid_frames: np.array([chunk], np.int64)} if manifest.valid_frames else {}
    return Runner(path, session.first, pairs, more)


def nbytes(runner: Runner) -> int:
    return sum(v.nbytes for v in runner.states.values())


def ratio(one: Runner, other: Runner, chunk: Array, rounds: int = ROUNDS) -> tuple[float, float, float]:
    """Medians of both in milliseconds, and the ratio of the first to the second."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for runner, found in zip((one, other), seconds, strict=True):
            start = time.perf_counter()
            runner(chunk)
            found.append(time.perf_counter() - start)
    a, b = (float(np.median(s)) * 1000 for s in seconds)
    return a, b, a / b


def main() -> None:
    warnings.simplefilter("ignore")
    size = Size()
    model = conformer(size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_whole(model, size.dim, folder / "whole.onnx")
        lifted = lifted_runner(compiled(folder, "lifted", size.block), size.block)
        others = {
            "chunk: dynamic": lifted_runner(compiled(folder, "dynamic", "dynamic"), size.block),
            "cache: inputs": lifted_runner(
                compiled(folder, "inputs", size.block, "lift_state: {cache: inputs}"), size.block
            ),
            "pack: true": lifted_runner(compiled(folder, "packed", size.block, "lift_state: {pack: true}"), size.block),
        }
        twin = Twin(model).eval()
        export_twin(twin, folder / "twin.onnx")
        by_hand = twin_runner(twin, folder / "twin.onnx")
        frames = np.random.default_rng(0).standard_normal((1, 40 * size.block, size.dim)).astype(np.float32)
        chunks = np.split(frames, 40, axis=1)
        want = model(torch.from_numpy(frames)).detach().numpy()
        for label, runner in (("lifted", lifted), ("twin", by_hand)):
            error = np.abs(np.concatenate([runner(c) for c in chunks], axis=1) - want).max()
            nodes = len(onnx.load(folder / f"{label}.onnx").graph.node)
            print(f"{label}: largest error {error:.2g}, {nodes} nodes, state {nbytes(runner)} bytes")
        a, b, share = ratio(lifted, by_hand, chunks[0])
        print(f"latency a chunk of {size.block}: lifted {a:.3f} ms, twin {b:.3f} ms, ratio {share:.3f}")
        for label, runner in others.items():
            a, b, share = ratio(runner, lifted, chunks[0])
            held = f"state {nbytes(runner)} bytes in {len(runner.states)} ports"
            print(f"{label}: {a:.3f} ms, fixed chunk {b:.3f} ms, ratio {share:.3f}, {held}")


if __name__ == "__main__":
    sys.exit(main())
