"""The 16-layer Conformer on every target over its twin rewritten by hand in onnxruntime: ratios of medians.

``python benchmarks/conformer_on_targets.py [TARGET …]``; needs torch (the ``export`` extra). One thread, a chunk of 4
encoder frames, float32, states carried from call to call, all taking turns. Each target is compared with the offline
model when it is compiled. The bar is of the fastest one.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from conformer import Size, Twin, conformer
from streaming_twin import Runner, export_twin, export_whole, twin_runner
from targets import is_here

import graphc
from graphc.devices.registry import all_devices

BAR = 0.50
ROUNDS, CALLS = 60, 5
SPEC = """version: 1
model: whole.onnx
output: lifted.onnx
stream: {{chunk: {chunk}, inputs: {{x: {{axis: 1}}}}}}
targets: [{targets}]
passes: [lift_state, fold_constants, fuse, simplify]
"""


def medians(
    sessions: dict[str, graphc.StreamSession], twin: Runner, frames: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
) -> dict[str, float]:
    """Milliseconds of a call of each, a few calls of each in turn."""
    calls = {name: lambda one=one: one.call({"x": frames}, one.chunk) for name, one in sessions.items()}
    calls["by hand"] = lambda: twin(frames)
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    return {name: float(np.median(found)) * 1000 for name, found in seconds.items()}


def main(words: list[str]) -> None:
    warnings.simplefilter("ignore")
    size = Size()
    model = conformer(size)
    names = [name for name in words or all_devices() if is_here(name)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export_whole(model, size.dim, folder / "whole.onnx")
        twin = Twin(model).eval()
        export_twin(twin, folder / "twin.onnx")
        spec = folder / "spec.yaml"
        spec.write_text(SPEC.format(chunk=size.block, targets=", ".join(names)))
        graphc.compile(spec)
        manifest = folder / "lifted.manifest.json"
        sessions = {"onnxruntime": graphc.StreamSession(folder / "lifted.onnx")}
        sessions |= {name: graphc.StreamSession(manifest, target=name) for name in names}
        frames = torch.randn(1, size.block, size.dim).numpy()
        found = medians(sessions, twin_runner(twin, folder / "twin.onnx"), frames)
    base = found["by hand"]
    print(f"{'':14}{'ms a call':>10}{'over by hand':>14}")
    for name, value in sorted(found.items(), key=lambda item: item[1]):
        print(f"{name:14}{value:10.3f}{value / base:14.2f}")
    best = min(found[name] / base for name in found if name != "by hand")
    print(f"the fastest over the hand-written twin: {best:.2f}, bar {BAR:.2f}: {'held' if best <= BAR else 'MISSED'}")


if __name__ == "__main__":
    main(sys.argv[1:])
