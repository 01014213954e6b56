"""The 16-layer Conformer on every target over its twin rewritten by hand in onnxruntime: ratios of medians.

``python benchmarks/conformer_on_targets.py [TARGET …]``; needs torch (the ``export`` extra). One thread, a chunk of 4
encoder frames, all taking turns. Each target is compared with the offline model when it is compiled. Each has two
times: that of the runtime with its states in place, and that of the Python client. The bars apply to the runtime.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from conformer import Size, Twin, conformer
from streaming_twin import export_twin, export_whole, twin_runner
from targets import is_here

import graphc
from graphc.targets.registry import all_targets
from graphc_runtime.native.session import NativeSession

ROUNDS, CALLS = 30, 20
VARIANTS = {
    "litert": [{}, {"quantize": "dynamic_int8"}, {"quantize": "dynamic_int4", "tolerance": {"snr_db": 10}}],
    "openvino": [{}, {"stateful": True}, {"stateful": True, "quantize": "weight_only_int8"}],
}
FLOATS = ("litert", "mnn", "openvino", "openvino stateful", "executorch", "tract", "ort")
BARS = (
    ("the fastest float target", 0.50, FLOATS),
    ("the fastest int8 target", 0.28, ("litert dynamic_int8",)),
    ("OpenVINO with its own states", 0.65, ("openvino stateful",)),
)
SPEC = {
    "version": 1,
    "model": "whole.onnx",
    "output": "lifted.onnx",
    "passes": ["lift_state", "fold_constants", "fuse", "simplify"],
}
Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def label(target: str, options: Mapping[str, object]) -> str:
    """The name of a variant: its target, and the option that makes it one."""
    named = {key: value for key, value in options.items() if key != "tolerance"}
    return " ".join([target, *(key if value is True else str(value) for key, value in named.items())])


def compiled(folder: Path, size: Size, target: str, options: Mapping[str, object]) -> graphc.StreamSession:
    """The lifted model on one target."""
    place = folder / label(target, options).replace(" ", "_")
    place.mkdir()
    stream = {"chunk": size.block, "inputs": {"x": {"axis": 1}}}
    targets = [{target: dict(options)}]
    spec = {**SPEC, "model": str(folder / "whole.onnx"), "stream": stream, "targets": targets}
    (place / "spec.yaml").write_text(json.dumps(spec))
    graphc.compile(place / "spec.yaml")
    return graphc.StreamSession(place / "lifted.manifest.json", target=target)


def medians(calls: Mapping[str, Callable[[], object]]) -> dict[str, tuple[float, float]]:
    """Milliseconds of a call of each, in turns of several calls: the median of all, and of the first in each turn.

    At the first call of a turn, the caches hold the data of the others.
    """
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            for _ in range(CALLS):
                start = time.perf_counter()
                call()
                seconds[name].append(time.perf_counter() - start)
    return {n: (float(np.median(f)) * 1000, float(np.median(f[::CALLS])) * 1000) for n, f in seconds.items()}


def by_client(session: graphc.StreamSession, frames: Array) -> Callable[[], object]:
    """A call of the Python client, which carries the states."""
    return lambda: session.call({"x": frames}, session.chunk)


def by_runtime(session: graphc.StreamSession, frames: Array) -> Callable[[], object]:
    """A call of the runtime on its own values, as a C++ client makes it; the outputs are not read."""
    session.call({"x": frames}, session.chunk)
    counts = {session.manifest.valid_frames: np.array([session.chunk], np.int64)}
    feeds = {"x": frames, **session.states, **{n: v for n, v in counts.items() if n is not None}}
    runner = session.runner
    if not isinstance(runner, NativeSession):
        return lambda: runner.run(feeds)
    native = {p.name: runner.taken(p, feeds[p.name]) for p in runner.inputs}
    pairs = [(s.input, s.output) for s in session.manifest.states]

    def call() -> None:
        results = runner.runner.run(native)
        for taken, given in pairs:
            native[taken] = results[given]

    return call


def snr_of(name: str, session: graphc.StreamSession) -> str:
    """The SNR of a target on the streams of its compilation."""
    entry = session.manifest.targets.get(name.split()[0])
    return "" if entry is None or entry.snr_db is None or name == "onnxruntime" else f"{entry.snr_db:.1f}"


def main(words: list[str]) -> None:
    warnings.simplefilter("ignore")
    size = Size()
    model = conformer(size)
    devices = all_targets()
    names = [name for name in words or devices if devices[name].runs_here() and is_here(name)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        export_whole(model, size.dim, folder / "whole.onnx")
        twin = Twin(model).eval()
        export_twin(twin, folder / "twin.onnx")
        sessions = {
            label(name, options): compiled(folder, size, name, options)
            for name in names
            for options in VARIANTS.get(name, [{}])
        }
        sessions["onnxruntime"] = graphc.StreamSession(next(folder.glob("*/lifted.onnx")))
        frames = torch.randn(1, size.block, size.dim).numpy()
        hand = twin_runner(twin, folder / "twin.onnx")
        clients = medians({"by hand": lambda: hand(frames), **{n: by_client(s, frames) for n, s in sessions.items()}})
        alone = {n: by_runtime(s, frames) for n, s in sessions.items()}
        found = medians({"by hand": lambda: hand(frames), **alone})
        snrs = {n: snr_of(n, s) for n, s in sessions.items()}
    base, client_base = found["by hand"], clients["by hand"]
    heads = ("ms a call", "over by hand", "first of a turn", "by the client", "SNR, dB")
    print(f"{'':24}{''.join(f'{head:>17}' for head in heads)}")
    for name, (value, cold) in sorted(found.items(), key=lambda item: item[1]):
        ratios = (value / base[0], cold / base[1], clients[name][0] / client_base[0])
        print(f"{name:24}{value:17.3f}{''.join(f'{ratio:17.2f}' for ratio in ratios)}{snrs.get(name, ''):>17}")
    for what, bar, names in BARS:
        best = min((found[name][0] / base[0] for name in names if name in found), default=None)
        if best is not None:
            print(f"{what} over by hand: {best:.2f}, bar {bar:.2f}: {'held' if best <= bar else 'MISSED'}")


if __name__ == "__main__":
    main(sys.argv[1:])
