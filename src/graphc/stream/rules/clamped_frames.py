"""Windows of frames, picked by indices that are clamped to the stream, one after the other on the time axis.

Stacking of frames at a low rate (LFR) is exported in this way: the first and the last frame are repeated where a window
reaches beyond them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphc.ir.graph import Node, Tensor
from graphc.stream.boundary.reflect_padding import mirrored
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.symbolic.queries.questions import PickedWindows
from graphc.stream.time.window import Window, window_over

MOST_TAPS = 64


@dataclass(frozen=True)
class Windows:
    """Place k of window f is frame ``start + stride * f + dilation * k``, clamped to the stream."""

    start: int
    stride: int
    taps: int
    dilation: int

    @property
    def extent(self) -> int:
        return (self.taps - 1) * self.dilation + 1

    def places(self, count: int) -> Array:
        """The places of ``count`` windows before they are clamped, [windows * taps]."""
        table = self.stride * np.arange(count)[:, None] + self.dilation * np.arange(self.taps)[None]
        return self.start + table.ravel()


def windows_of(values: Sequence[Array], sizes: Sequence[int]) -> Windows | None:
    """The windows with the fewest taps that fit tables of indices at every length; None if none fit."""
    longest = max(range(len(values)), key=lambda k: values[k].size)
    for taps in range(1, MOST_TAPS + 1):
        if any(v.size % taps for v in values):
            continue
        found = windows_in(values[longest].reshape(-1, taps), sizes[longest])
        if found is not None and all(
            np.array_equal(v, np.clip(found.places(v.size // taps), 0, size - 1))
            for v, size in zip(values, sizes, strict=True)
        ):
            return found
    return None


def windows_in(table: Array, size: int) -> Windows | None:
    """Windows read from the indices that lie inside the stream."""
    inside = (table > 0) & (table < size - 1)
    rows, columns = (np.argwhere(both) for both in (inside[1:] & inside[:-1], inside[:, 1:] & inside[:, :-1]))
    if not len(rows) or (table.shape[1] > 1 and not len(columns)):
        return None
    f, k = rows[0]
    stride = int(table[f + 1, k] - table[f, k])
    g, m = columns[0] if len(columns) else (0, 0)
    dilation = int(table[g, m + 1] - table[g, m]) if len(columns) else 1
    start = int(table[f, k]) - stride * int(f) - dilation * int(k)
    return Windows(start, stride, table.shape[1], dilation) if stride > 0 and dilation > 0 else None


def picked_windows(node: Node, facts: Facts, x: Stream, values: Sequence[Array]) -> Lowering | None:
    """The stream of windows that the indices pick; None if they pick no windows, or if their number is not a length.

    Beyond its ends, the stream is padded with its first and last frame.
    """
    sizes = [x.length(n) for n in facts.lengths]
    windows = windows_of(values, sizes)
    length = None if windows is None else facts.proved_length(x.axis, x.rate * windows.taps / windows.stride)
    if windows is None or length is None:
        return None
    lasts = [int(windows.places(v.size // windows.taps)[-1]) for v in values]
    before = max(0, -windows.start)
    after = max(0, *(last - size + 1 for last, size in zip(lasts, sizes, strict=True)))
    facts.claim(
        1, PickedWindows(windows.start, windows.stride, windows.taps, windows.dilation, x.length, x.axis, after)
    )
    padded = edge_padding(facts, x, before, after)
    y = padded.facts[0] if padded is not None else x
    assert isinstance(y, Stream)
    start = windows.start + before
    w = window_over(
        facts,
        y,
        Window(windows.extent, windows.stride, -start, 0, (1, windows.stride - windows.extent - start, windows.stride)),
    )
    out = facts.out(w.x, x.axis, delay=w.delay * windows.taps, length=length)
    inner = replace(windows, start=0).places(facts.frames(y) // windows.stride)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        (chunk, *_) = padded.emit(b, inputs) if padded is not None else inputs
        assert chunk is not None
        return [b.one("Gather", w.chunk(b, chunk, "conv_context"), b.constant(inner), axis=x.axis, hint="windows")]

    return Lowering((out,), emit)


def edge_padding(facts: Facts, x: Stream, before: int, after: int) -> Lowering | None:
    """The stream with its first and last frame repeated."""
    if not (before or after):
        return None
    length = x.length.then(1, before + after, 1)
    shapes = tuple(
        tuple(length(n) if axis == x.axis else size for axis, size in enumerate(shape))
        for n, shape in zip(facts.lengths, facts.input_shapes[0], strict=True)
    )
    return mirrored(replace(facts, output_shapes=(shapes,), dtypes=(x.dtype,)), x, "edge", before, after, length)
