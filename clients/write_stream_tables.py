"""Writes tables of recorded streams: what a client in any language must give, model by model.

``python clients/write_stream_tables.py FOLDER MODEL …`` copies compiled models to FOLDER and writes a table beside them
for each stream, ``STEM.N.stream.json``:

    {"format": "graphc.streams/1", "model": "tagger.onnx", "input": "tagger.0.in.bin",
     "steps": [["push", "features", 7], ["snapshot"], ["push", "features", 9], ["resume"], ["flush"]],
     "outputs": [{"name": "log_probs", "dtype": "float32", "frames": 53, "file": "tagger.0.0.out.bin"}]}

A client makes the steps in order. A push takes the next bytes of the input file: the frames, in the layout of the
offline model. A static input is pushed once, as one frame. ``resume`` returns to the last snapshot. ``reset`` begins
another stream. After the last step every output has given ``frames`` frames; ``file`` holds their bytes in one piece,
in the layout of the offline model.

A table may name options of the client: ``"reset": {"below": 0.01, "after_s": 2.5}`` begins another stream in a
silence, ``"catch_up": 3`` makes calls three times as large when that much is waiting.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime import ResetInSilence, StreamSession
from graphc_runtime.contract.manifest import PortEntry

Array = NDArray[Any]
STREAMS = 3


def drawn(rng: np.random.Generator, shape: list[int], dtype: str) -> Array:
    """Random values of a dtype; integers are small."""
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    if np.dtype(dtype).kind in "iu":
        return rng.integers(0, 5, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


class Recorder:
    """One stream through the Python client, step by step."""

    def __init__(self, session: StreamSession, rng: np.random.Generator):
        self.session, self.rng = session, rng
        self.steps: list[list[str | int]] = []
        self.fed: list[bytes] = []
        self.begin()

    def begin(self) -> None:
        self.session.reset()
        self.got: dict[str, list[Array]] = {name: [] for name in self.session.outputs}

    def keep(self, new: dict[str, Array]) -> None:
        for name, value in new.items():
            self.got[name].append(value)

    def push(self, name: str, value: Array, frames: int) -> None:
        self.steps.append(["push", name, frames])
        self.fed.append(np.ascontiguousarray(value).tobytes())
        self.keep(self.session.push({name: value}))

    def statics(self) -> None:
        for name, entry in self.session.statics.items():
            self.push(name, drawn(self.rng, [int(s or 1) for s in entry.shape], entry.dtype), 1)

    def frames_of(self, frames: dict[str, int]) -> None:
        """Pushes the given number of frames of each stream input."""
        for name, count in frames.items():
            entry = self.session.streams[name]
            shape = [int(s or 1) for s in entry.shape]
            if entry.is_step:
                shape = [count, *shape]
            else:
                shape[entry.axis or 0] = count
            self.push(name, drawn(self.rng, shape, entry.dtype), count)

    def some(self, chunks: float) -> dict[str, int]:
        """The number of frames of each stream input in a number of calls; the same duration for all."""
        whole = max(1, round(chunks * self.session.chunk))
        sizes = self.session.chunks
        if len(sizes) > 1:
            whole = -(-whole // self.session.chunk) * self.session.chunk
        return {name: whole * size // self.session.chunk or 1 for name, size in sizes.items()}

    def excursion(self) -> None:
        """Saves a snapshot, pushes some frames, and returns to the snapshot."""
        held, kept = self.session.snapshot(), {name: list(parts) for name, parts in self.got.items()}
        self.steps.append(["snapshot"])
        self.frames_of(self.some(1.7))
        self.steps.append(["resume"])
        self.session.resume(held)
        self.got = kept

    def reset(self) -> None:
        self.steps.append(["reset"])
        self.begin()

    def flush(self) -> None:
        self.steps.append(["flush"])
        self.keep(self.session.flush())


def recorded(session: StreamSession, seed: int) -> Recorder:
    """A stream in pushes of random sizes, which may end at any place in a call. The stream of seed 1 begins after a
    reset and makes an excursion."""
    rng = np.random.default_rng(seed)
    one = Recorder(session, rng)
    least = session.manifest.min_frames / session.chunk
    if seed == 1:
        one.statics()
        one.frames_of(one.some(1.3 + least))
        one.reset()
    one.statics()
    for part in range(3 + 2 * seed):
        one.frames_of(one.some(float(rng.uniform(0.1, 2.2)) + (least if part == 0 else 0)))
        if seed == 1 and part == 2:
            one.excursion()
    one.flush()
    return one


def with_silences(session: StreamSession) -> Recorder:
    """A stream that is reset in two silences."""
    one = Recorder(session, np.random.default_rng(STREAMS))
    one.statics()
    for _ in range(2):
        one.frames_of(one.some(3.4 + session.manifest.min_frames / session.chunk))
        for name, frames in one.some(1.2).items():
            entry = session.streams[name]
            shape = [frames if a == entry.axis else int(s or 1) for a, s in enumerate(entry.shape)]
            one.push(name, np.zeros([frames, *shape] if entry.is_step else shape, entry.dtype), frames)
    one.frames_of(one.some(1.9 + session.manifest.min_frames / session.chunk))
    one.flush()
    return one


def streams_of(model: Path) -> Iterator[tuple[Recorder, dict[str, Any]]]:
    """The streams of a model, each with the options of the client for its table."""
    session = StreamSession(model)
    for seed in range(STREAMS):
        yield recorded(session, seed), {"catch_up": 3} if seed == 2 and session.dynamic else {}
    if session.manifest.frame_ms is not None and next(iter(session.dtypes.values())) == np.float32:
        after_s = 2 * session.chunk * session.manifest.frame_ms / 1000
        reset = ResetInSilence(below=0.01, after_s=after_s)
        yield with_silences(StreamSession(model, reset=reset)), {"reset": {"below": 0.01, "after_s": after_s}}


def copy_beside(model: Path, folder: Path) -> None:
    """Copies a compiled model and the files that a client needs beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    for beside in model.parent.glob(f"{model.stem}.*"):
        if beside.suffix in (".onnx", ".npz", ".data") or beside.name.endswith(".manifest.json"):
            shutil.copy(beside, folder)


def entry_of(folder: Path, file: str, entry: PortEntry, parts: list[Array]) -> dict[str, Any]:
    """Writes an output of a stream to a file, and returns its entry in the table.

    Args:
        parts: what the calls gave, in order.
    """
    parts = [np.atleast_1d(v) for v in parts] if entry.along is None else parts
    value = np.concatenate(parts, axis=entry.along or 0)
    (folder / file).write_bytes(np.ascontiguousarray(value).tobytes())
    rows = entry.shape[0] if entry.along is None and entry.shape and isinstance(entry.shape[0], int) else 1
    frames = value.shape[entry.along or 0] if entry.along is not None else len(value) // max(1, rows)
    return {"name": entry.name, "dtype": str(value.dtype), "frames": frames, "file": file}


def write_streams(model: Path, folder: Path) -> list[Path]:
    """Writes the streams of one compiled model to a folder, and returns the paths of their tables."""
    copy_beside(model, folder)
    stem, session = model.stem, StreamSession(model)
    written = []
    for number, (one, client) in enumerate(streams_of(model)):
        name = f"{stem}.{number}"
        (folder / f"{name}.in.bin").write_bytes(b"".join(one.fed))
        entries = [
            entry_of(folder, f"{name}.{index}.out.bin", session.outputs[output], parts)
            for index, (output, parts) in enumerate(one.got.items())
        ]
        table = {"format": "graphc.streams/1", "model": model.name, "input": f"{name}.in.bin", **client}
        path = folder / f"{name}.stream.json"
        path.write_text(json.dumps({**table, "steps": one.steps, "outputs": entries}) + "\n")
        written.append(path)
    return written


def main() -> int:
    if len(sys.argv) < 3:
        print(__doc__)
        return 2
    for model in sys.argv[2:]:
        print(*write_streams(Path(model), Path(sys.argv[1])), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
