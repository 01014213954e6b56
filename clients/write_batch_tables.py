"""Writes a table of streams that share the calls of a batch: what a client of many streams must give.

``python clients/write_batch_tables.py FOLDER MODEL`` takes a model of ``stream: {batch: N, clocks: own}`` and writes
``STEM.batch.json`` beside a copy of it:

    {"format": "graphc.batch/1", "model": "tagger.onnx", "input": "tagger.batch.in.bin",
     "steps": [["begin", 0], ["push", 0, "features", 7], ["step"], ["finish", 0], ["step"], ["take", 0, 0]],
     "streams": [[{"name": "log_probs", "dtype": "float32", "frames": 53, "file": "tagger.batch.0.0.out.bin"}]]}

``begin`` names the place that the stream gets: the first free one. ``drop`` frees a place at once. A push takes the
next bytes of the input file, in the layout of the offline model for one stream. ``take`` names a place and a stream,
all outputs of which have come by then.
"""

from __future__ import annotations

import json
import sys
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parent))
from write_stream_tables import copy_beside, drawn, entry_of

from graphc_runtime import BatchSession

Array = NDArray[Any]
STREAMS = 7
DROPPED = 3


class Recording:
    """Streams through the Python client, step by step."""

    def __init__(self, session: BatchSession, rng: np.random.Generator):
        self.session, self.rng = session, rng
        self.steps: list[list[str | int]] = []
        self.fed: list[bytes] = []
        self.left: dict[int, float] = {}
        self.stream: dict[int, int] = {}
        self.got: list[dict[str, list[Array]]] = []
        self.alike: dict[str, Array] = {}

    def begin(self) -> None:
        place = self.session.open()
        self.steps.append(["begin", place])
        self.stream[place] = len(self.got)
        self.got.append({o.name: [] for o in self.session.manifest.outputs if self.stream[place] != DROPPED})
        slot = self.session.slots[place]
        self.left[place] = self.rng.uniform(0.2, 5) + slot.manifest.min_frames / slot.chunk
        for name, entry in slot.statics.items():
            shared = self.session.axes[name] is None
            value = self.alike.get(name) if shared else None
            value = drawn(self.rng, [int(s or 1) for s in entry.shape], entry.dtype) if value is None else value
            self.alike[name] = value
            self.push(place, name, value, 1)

    def push(self, place: int, name: str, value: Array, frames: int) -> None:
        self.steps.append(["push", place, name, frames])
        self.fed.append(np.ascontiguousarray(value).tobytes())
        self.session.push(place, {name: value})

    def frames(self, place: int) -> None:
        """Pushes some frames of each stream input of a stream, and ends the stream once it has had its share."""
        slot = self.session.slots[place]
        share = min(self.rng.uniform(0.1, 1.6), self.left[place])
        whole = gcd(slot.chunk, *slot.chunks.values())
        units = max(1, round(share * whole))
        for name, entry in slot.streams.items():
            count = units * slot.chunks[name] // whole
            shape = [count if a == entry.axis else int(s or 1) for a, s in enumerate(entry.shape)]
            self.push(place, name, drawn(self.rng, [count, *shape] if entry.is_step else shape, entry.dtype), count)
        self.left[place] -= share
        if self.stream[place] == DROPPED:
            self.steps.append(["drop", place])
            self.session.drop(place)
            del self.left[place], self.stream[place]
            return
        if self.left[place] <= 0:
            self.steps.append(["finish", place])
            self.session.finish(place)
            del self.left[place]

    def step(self) -> None:
        self.steps.append(["step"])
        for place, new in self.session.step().items():
            got = self.got[self.stream[place]]
            for name in got:
                got[name].append(new[name])
        for place, slot in enumerate(self.session.slots):
            if place in self.stream and not slot.open:
                self.steps.append(["take", place, self.stream.pop(place)])


def recorded(session: BatchSession) -> Recording:
    """Streams of random lengths, which begin at random times when a place is free."""
    rng = np.random.default_rng(0)
    one = Recording(session, rng)
    while one.stream or len(one.got) < STREAMS:
        if session.free and len(one.got) < STREAMS and rng.random() < 0.6:
            one.begin()
        for place in [p for p in one.left if rng.random() < 0.8]:
            one.frames(place)
        one.step()
    return one


def write_batch(model: Path, folder: Path) -> Path:
    """Writes the streams of one compiled model to a folder, and returns the path of their table."""
    session, name = BatchSession(model), f"{model.stem}.batch"
    copy_beside(model, folder)
    one = recorded(session)
    (folder / f"{name}.in.bin").write_bytes(b"".join(one.fed))
    streams = [
        [
            entry_of(folder, f"{name}.{number}.{index}.out.bin", session.slots[0].outputs[output], parts)
            for index, (output, parts) in enumerate(got.items())
        ]
        for number, got in enumerate(one.got)
    ]
    table = {"format": "graphc.batch/1", "model": model.name, "input": f"{name}.in.bin"}
    path = folder / f"{name}.json"
    path.write_text(json.dumps({**table, "steps": one.steps, "streams": streams}) + "\n")
    return path


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(write_batch(Path(sys.argv[2]), Path(sys.argv[1])))
