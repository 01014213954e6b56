"""A Nemotron-shaped encoder of 0.6 B parameters, end to end: what it takes to compile, and how it runs.

    python benchmarks/large/large_model.py FOLDER [--rounds 12]

FOLDER is what ``export_nemotron.py`` wrote: the offline graph, and the streaming one that mobius-onnx builds by hand.
The outputs go to FOLDER/out, about 3 GB. One thread a session, all sides taking turns, medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

import graphc

Array = NDArray[Any]
CHUNK, FRAME_S, BEFORE = 56, 0.01, 9
FIRST, ZEROS = 49, 16
LAYERS, WIDTH, LEFT, CONTEXT = 24, 1024, 70, 8
SPEC = """version: 1
model: encoder.onnx
output: out/{name}.onnx
target: onnxruntime
stream:
  chunk: 56
  frame_ms: 10
  inputs:
    audio_signal: {{axis: 1}}
    length: {{counts: audio_signal}}
passes: [lift_state, fold_constants, fuse, simplify{more}]
"""
INT4 = ", {quantize: {mode: weight_only, weights: int4, block: 32, rounding: calibrated}}"
KINDS = {"float32": "", "int4": INT4}
COMPILE = """
import sys, time, warnings
warnings.simplefilter("ignore")
import graphc
start = time.perf_counter()
graphc.compile(sys.argv[1])
most = next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
print(time.perf_counter() - start, most * 1024)
"""


def compiled(folder: Path, kind: str) -> tuple[Path, float, float]:
    """The model, the seconds that its compilation took, and its peak memory in bytes."""
    spec = folder / f"{kind}.yaml"
    spec.write_text(SPEC.format(name=kind, more=KINDS[kind]))
    output = folder / "out" / f"{kind}.onnx"
    for left in output.parent.glob(f"{kind}.*"):
        left.unlink()
    run = subprocess.run([sys.executable, "-c", COMPILE, str(spec)], check=True, capture_output=True, text=True)
    seconds, most = map(float, run.stdout.split())
    return output, seconds, most


def opened(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])


class HandBuilt:
    """mobius-onnx's streaming encoder, driven as NeMo drives it.

    A first chunk of 49 frames, then chunks of 56, each with the 9 frames before it. The graph drops two results of
    every call, so 16 frames of zeros come before the first chunk.
    """

    def __init__(self, path: Path):
        self.session = opened(path)
        self.reset()

    def reset(self) -> None:
        self.caches = {
            "cache_last_channel": np.zeros((1, LAYERS, LEFT, WIDTH), np.float32),
            "cache_last_time": np.zeros((1, LAYERS, WIDTH, CONTEXT), np.float32),
            "cache_last_channel_len": np.zeros(1, np.int64),
        }
        self.before = np.zeros((1, ZEROS, 128), np.float32)

    def push(self, chunk: Array) -> Array:
        x = np.concatenate([self.before, chunk], axis=1)
        given = {"audio_signal": x, "length": np.array([x.shape[1]]), **self.caches}
        y, _, *caches = self.session.run(None, given)
        self.caches = dict(zip(self.caches, caches, strict=True))
        self.before = x[:, -BEFORE:]
        return np.asarray(y)


def calls_of(session: graphc.StreamSession, chunk: Array) -> Callable[[], Any]:
    return lambda: session.push(audio_signal=chunk)


def medians(rounds: int, sides: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """Seconds of a call of each side, all taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds + 2):
        for name, call in sides.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(found[2:]) for name, found in seconds.items()}


def snr_db(want: Array, got: Array) -> float:
    return float(10 * np.log10(np.sum(want.astype(np.float64) ** 2) / np.sum((want - got).astype(np.float64) ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()
    weights = (args.folder / "encoder.data").stat().st_size
    made: dict[str, Path] = {}
    for kind in KINDS:
        made[kind], seconds, most = compiled(args.folder, kind)
        size = sum(p.stat().st_size for p in args.folder.glob(f"out/{kind}.onnx*"))
        told = f"{kind}: compiled in {seconds:.0f} s, {size / 1e9:.3f} GB; peak memory {most / weights:.2f} times"
        print(f"{told} the {weights / 1e9:.2f} GB of the export", flush=True)
    frames = 10 * CHUNK
    x = np.random.default_rng(1).standard_normal((1, frames, 128)).astype(np.float32)
    offline = opened(args.folder / "encoder.onnx")
    want = offline.run(None, {"audio_signal": x, "length": np.array([frames])})[0]
    del offline
    sessions = {kind: graphc.StreamSession(path) for kind, path in made.items()}
    for kind, session in sessions.items():
        got = session.run(audio_signal=x)["encoder_output"]
        print(f"{kind}: max |streamed - offline| {np.abs(got - want).max():.1e}, {snr_db(want, got):.1f} dB")
    hand = HandBuilt(args.folder / "encoder_streaming.onnx")
    starts = [0, *range(FIRST, frames - CHUNK, CHUNK)]
    got = np.concatenate([hand.push(x[:, a:b]) for a, b in pairwise([*starts, starts[-1] + CHUNK])], axis=1)
    differences = np.abs(got - want[:, : got.shape[1]]).max(axis=(0, 2))
    first, later = differences[: CHUNK // 8].max(), differences[CHUNK // 8 :].max()
    print(f"hand-built: max |streamed - offline| {first:.1e} in the first chunk, {later:.1e} later")
    chunk = x[:, :CHUNK]
    for session in sessions.values():
        session.reset()
    sides = {kind: calls_of(session, chunk) for kind, session in sessions.items()}
    found = medians(args.rounds, {**sides, "hand-built": lambda: hand.push(chunk)})
    for name, seconds in found.items():
        factor = seconds / CHUNK / FRAME_S
        print(f"{name}: {seconds * 1000:.0f} ms a call of {CHUNK * FRAME_S:g} s, real-time factor {factor:.2f}")
    print(f"float32 over hand-built: {found['float32'] / found['hand-built']:.2f}")
    print(f"int4 over float32: {found['int4'] / found['float32']:.2f}")


if __name__ == "__main__":
    main()
