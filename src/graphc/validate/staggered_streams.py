"""Runs a model whose streams have their own clocks, so that streams begin and end at different times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc_runtime.batch_session import BatchSession
from graphc_runtime.session import StreamSession
from graphc_runtime.stream_buffer import Array, Arrays


class Row:
    """One stream of a batch of random ones: what is left to feed, and the outputs so far."""

    def __init__(self, session: BatchSession, feeds: Mapping[str, Array], row: int):
        axes = session.axes
        own = {n: v if axes[n] is None else v.take([row], axis=axes[n]) for n, v in feeds.items()}
        buffer = session.slots[0]
        self.statics = {n: v for n, v in own.items() if n in buffer.statics}
        self.streams = {n: v for n, v in own.items() if n in buffer.streams}
        self.entries, self.frames_of = buffer.streams, buffer.frames_of
        self.fed = 0
        self.given: list[Arrays] = []

    def next_chunk(self, frames: int) -> Arrays:
        """The next input frames, or as many as are left."""
        chunk: Arrays = {}
        for name, value in self.streams.items():
            axis = self.entries[name].along or 0
            start, end = self.frames_of(name, self.fed), self.frames_of(name, self.fed + frames)
            chunk[name] = value.take(range(min(start, value.shape[axis]), min(end, value.shape[axis])), axis=axis)
        self.fed += frames
        return chunk

    @property
    def is_fed(self) -> bool:
        return all(self.frames_of(n, self.fed) >= v.shape[self.entries[n].along or 0] for n, v in self.streams.items())


def run_apart(session: StreamSession, batches: Sequence[Mapping[str, Array]]) -> list[Arrays]:
    """The outputs of batches of random streams. Each stream runs in any free slot of the model's batch.

    A stream begins one call after the one before it, or when a slot becomes free, so streams overlap at different
    times. Each runs in another slot than its place in its batch. Batches with a shared static input run one by one.
    """
    shared = any(not entry.is_stream and entry.batch_axis is None for entry in session.manifest.inputs)
    if shared and len(batches) > 1:
        return [outputs for feeds in batches for outputs in run_apart(session, [feeds])]
    batch = BatchSession(session.compiled)
    count, chunk = len(batch.slots), session.chunk
    rows = [[Row(batch, feeds, row) for row in range(count)] for feeds in batches]
    waiting = [row for rows_of_batch in rows for row in [*rows_of_batch[1:], rows_of_batch[0]]][::-1]
    running: dict[int, Row] = {}
    while waiting or running:
        if waiting and batch.free:
            row = waiting.pop()
            place = batch.open()
            batch.push(place, row.statics)
            running[place] = row
        for place, row in running.items():
            if not batch.slots[place].finished:
                batch.push(place, row.next_chunk(chunk))
                if row.is_fed:
                    batch.finish(place)
        for place, new in batch.step().items():
            running[place].given.append(new)
        running = {place: row for place, row in running.items() if batch.slots[place].open}
    return [joined(session, rows_of_batch) for rows_of_batch in rows]


def joined(session: StreamSession, rows: Sequence[Row]) -> Arrays:
    """The outputs of the streams of a batch, as one call for the whole batch would return them."""
    outputs: Arrays = {}
    for name, entry in session.outputs.items():
        whole = [
            np.concatenate([new[name] for new in row.given], axis=entry.along)
            if entry.is_stream
            else next(new[name] for new in reversed(row.given) if new[name].size)
            for row in rows
        ]
        outputs[name] = whole[0] if entry.batch_axis is None else np.concatenate(whole, axis=entry.batch_axis)
    return outputs
