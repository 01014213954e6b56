"""A stream of half an hour: latency of the last minute over the first, and the memory in between.

Minute 1 and minute 30 are not timed one after the other, since the machine's own speed drifts more than a model's.
Instead two sessions, one of which has run ahead to minute 30, take turns.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from conformer import Size, conformer
from lifting import peak_memory
from streaming_twin import Runner, compiled, export_whole, lifted_runner, ratio

FRAMES_A_MINUTE = 1500


def run_minutes(runner: Runner, chunks: list[np.ndarray], minutes: float, block: int) -> None:
    for call in range(int(minutes * FRAMES_A_MINUTE / block)):
        runner(chunks[call % len(chunks)])


def main() -> None:
    size = Size()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_whole(conformer(size), size.dim, folder / "whole.onnx")
        path = compiled(folder, "lifted", size.block)
        early, late = lifted_runner(path, size.block), lifted_runner(path, size.block)
    frames = np.random.default_rng(0).standard_normal((1, 40 * size.block, size.dim)).astype(np.float32)
    chunks = np.split(frames, 40, axis=1)
    run_minutes(early, chunks, 0.5, size.block)
    run_minutes(late, chunks, 1, size.block)
    before = peak_memory()
    run_minutes(late, chunks, 28.5, size.block)
    after = peak_memory()
    a, b, share = ratio(late, early, chunks[0])
    print(f"latency a chunk of {size.block}: minute 30 {a:.3f} ms, minute 1 {b:.3f} ms, ratio {share:.3f}")
    print(f"peak memory after minute 1 {before / 1e6:.0f} MB, after minute 30 {after / 1e6:.0f} MB")


if __name__ == "__main__":
    sys.exit(main())
