"""How many streams one core serves in real time, by streams per call, chunk and precision.

    python benchmarks/large/many_streams.py [--rounds 40]

Needs torch (the ``export`` extra). The 16-layer Conformer of benchmarks/conformer.py, whose frames are taken as 10 ms.
One thread. N sessions side by side and one session of N streams take turns; a round is a chunk of every stream.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))
from conformer import Size, conformer

import graphc

FRAME_S = 0.01
SPEC = """version: 1
model: {model}
output: {output}.onnx
target: onnxruntime
stream: {{chunk: {chunk}, inputs: {{x: {{axis: 1}}}}, batch: {streams}{clocks}}}
passes: [lift_state, fold_constants, fuse, simplify{more}]
"""
PRECISIONS = {"float32": "", "int8": ", {quantize: {mode: dynamic, tolerance: {snr_db: 15}}}"}


def export(path: Path, size: Size) -> None:
    torch.onnx.export(
        conformer(size),
        (torch.randn(2, 50, size.dim),),
        str(path),
        dynamo=False,
        opset_version=17,
        input_names=["x"],
        output_names=["y"],
        dynamic_axes={"x": {0: "batch", 1: "frames"}},
    )


def compiled(folder: Path, chunk: int, streams: int, precision: str) -> Path:
    name = f"c{chunk}n{streams}{precision}"
    clocks = ", clocks: own" if streams > 1 else ""
    told = {"model": "model.onnx", "output": name, "chunk": chunk, "streams": streams, "clocks": clocks}
    (folder / f"{name}.yaml").write_text(SPEC.format(**told, more=PRECISIONS[precision]))
    graphc.compile(folder / f"{name}.yaml")
    return folder / f"{name}.onnx"


def side_by_side(path: Path, frames: np.ndarray, streams: int) -> Callable[[], None]:
    """A round: a chunk for each of many sessions."""
    sessions = [graphc.StreamSession(path) for _ in range(streams)]

    def one_round() -> None:
        for session in sessions:
            session.push(x=frames)

    return one_round


def in_one_call(path: Path, frames: np.ndarray, streams: int) -> Callable[[], None]:
    """A round: one call for a chunk of every stream of a batch."""
    session = graphc.BatchSession(path)
    places = [session.open() for _ in range(streams)]

    def one_round() -> None:
        for place in places:
            session.push(place, x=frames)
        session.step()

    return one_round


def medians(rounds: int, *sides: Callable[[], None]) -> list[float]:
    """Seconds of a round of each side, all taking turns."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(rounds + 3):
        for side, found in zip(sides, seconds, strict=True):
            start = time.perf_counter()
            side()
            found.append(time.perf_counter() - start)
    return [statistics.median(found[3:]) for found in seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder, size = Path(name), Size(batched=True)
        export(folder / "model.onnx", size)
        print("streams in real time on one core; in brackets the gain of one call over sessions side by side")
        print("| precision | chunk | 1 | 4 | 8 | 16 |\n| --- | --- | --- | --- | --- | --- |")
        for precision in PRECISIONS:
            for chunk in (4, 16):
                frames = np.random.default_rng(0).standard_normal((1, chunk, size.dim)).astype(np.float32)
                alone = compiled(folder, chunk, 1, precision)
                cells: list[str] = []
                for streams in (4, 8, 16):
                    batch = compiled(folder, chunk, streams, precision)
                    each, together = medians(
                        rounds, side_by_side(alone, frames, streams), in_one_call(batch, frames, streams)
                    )
                    if not cells:
                        cells.append(f"{chunk * FRAME_S / (each / streams):.1f}")
                    cells.append(f"{streams * chunk * FRAME_S / together:.1f} ({each / together:.2f})")
                print(f"| {precision} | {chunk} ({chunk * FRAME_S * 1000:.0f} ms) | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
