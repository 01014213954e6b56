"""Gather of frames by indices that follow a pattern and are clamped to the stream.

Stacking of frames at a low rate (LFR) is exported in this way: the first and the last frame are repeated where a window
reaches beyond them. Interpolation picks the two frames around each position in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor
from graphc.stream.boundary.reflect_padding import mirrored
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.rules.slice import Cut, cut
from graphc.stream.symbolic.queries.questions import PickedWindows
from graphc.stream.time.window import Window, window_over

MOST_TAPS = 1024


@dataclass(frozen=True)
class Windows:
    """Windows of frames: tap k of window f is frame ``start + stride * f + offsets[k]``, clamped.

    Args:
        offsets: the frame offset of each tap; the smallest is 0.
        lowest: the first frame that any window reads. Indices are clamped to ``lowest`` and to the last frame.
    """

    start: int
    stride: int
    offsets: tuple[int, ...]
    lowest: int

    @property
    def extent(self) -> int:
        return max(self.offsets) + 1

    def places(self, count: int) -> Array:
        """The frame indices of ``count`` windows before they are clamped, [windows * taps]."""
        table = self.stride * np.arange(count)[:, None] + np.array(self.offsets)
        return np.asarray(self.start + table.ravel())


def windows_of(values: Sequence[Array], sizes: Sequence[int]) -> Windows | None:
    """The windows with the fewest taps that fit tables of indices at every length; None if none fit.

    Windows do not fit a stream that has no frame ``lowest``.
    """
    longest = max(range(len(values)), key=lambda k: values[k].size)
    for taps in range(1, MOST_TAPS + 1):
        if any(v.size % taps for v in values):
            continue
        found = windows_in(values[longest].reshape(-1, taps), sizes[longest])
        if found is not None and all(
            found.lowest < size and np.array_equal(v, np.clip(found.places(v.size // taps), found.lowest, size - 1))
            for v, size in zip(values, sizes, strict=True)
        ):
            return found
    return None


def windows_in(table: Array, size: int) -> Windows | None:
    """The windows of a table [windows, taps], read from the indices that are not clamped; None if there are none.

    Args:
        size: the number of frames of the stream.
    """
    lowest = int(table.min())
    inside = (table > lowest) & (table < size - 1)
    pairs = inside[1:] & inside[:-1]
    if lowest < 0 or not pairs.any(axis=0).all():
        return None
    rows, columns = pairs.argmax(axis=0), np.arange(table.shape[1])
    strides = {int(step) for step in table[rows + 1, columns] - table[rows, columns]}
    stride = min(strides)
    if len(strides) > 1 or stride < 1:
        return None
    first = table[rows, columns] - stride * rows
    start = int(first.min())
    return Windows(start, stride, tuple(int(n) - start for n in first), lowest)


def picked_windows(node: Node, facts: Facts, x: Stream, values: Sequence[Array]) -> Lowering | None:
    """The lowering to the windows that the indices pick; None if the indices or their number follow no known pattern.

    Beyond its ends, the stream is padded with its first and last frame.
    """
    sizes = [x.length(n) for n in facts.lengths]
    windows = windows_of(values, sizes)
    if windows is None:
        return None
    taps = len(windows.offsets)
    counts = [v.size // taps for v in values]
    length = facts.proved_length(x.axis, x.rate * taps / windows.stride) or whole_windows(facts, x, windows, counts)
    if length is None:
        return None
    lasts = [int(windows.places(count).max()) for count in counts]
    before = max(0, windows.lowest - windows.start)
    after = max(0, *(last - size + 1 for last, size in zip(lasts, sizes, strict=True)))
    facts.claim(
        1,
        PickedWindows(windows.start, windows.stride, windows.offsets, windows.lowest, x.length, x.axis, after),
    )
    rest = without_first(node, facts, x, windows.lowest)
    kept = rest.facts[0] if rest is not None else x
    assert isinstance(kept, Stream)
    padded = edge_padding(facts, kept, before, after)
    y = padded.facts[0] if padded is not None else kept
    assert isinstance(y, Stream)
    start = windows.start - windows.lowest + before
    w = window_over(
        facts,
        y,
        Window(windows.extent, windows.stride, -start, 0, (1, windows.stride - windows.extent - start, windows.stride)),
    )
    out = facts.out(w.x, x.axis, delay=w.delay * taps, length=length)
    if w.delay < 0:
        out = replace(out, head=w.x.head)
    inner = replace(windows, start=0).places(facts.frames(y) // windows.stride)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        for step in (rest, padded):
            inputs = step.emit(b, inputs) if step is not None else inputs
        chunk = inputs[0]
        assert chunk is not None
        return [b.one("Gather", w.chunk(b, chunk, "conv_context"), b.constant(inner), axis=x.axis, hint="windows")]

    return Lowering((out,), emit)


def whole_windows(facts: Facts, x: Stream, windows: Windows, counts: Sequence[int]) -> Length | None:
    """The output's length with one window per stride, and with or without a last partial one; None if none fits."""
    for phase in range(windows.stride):
        length = x.length.then(1, phase, windows.stride)
        if all(length(n) == count for n, count in zip(facts.lengths, counts, strict=True)):
            return length.then(len(windows.offsets), 0, 1)
    return None


def without_first(node: Node, facts: Facts, x: Stream, count: int) -> Lowering | None:
    """The lowering that drops the first ``count`` frames; None if ``count`` is 0."""
    if not count:
        return None
    length = x.length.then(1, -count, 1)
    return cut(node, replace(facts, output_shapes=(facts.shapes_with(x, length),)), Cut(count, 1, length))


def edge_padding(facts: Facts, x: Stream, before: int, after: int) -> Lowering | None:
    """The lowering that repeats the first and the last frame; None if neither is repeated."""
    if not (before or after):
        return None
    length = x.length.then(1, before + after, 1)
    made = replace(facts, output_shapes=(facts.shapes_with(x, length),), dtypes=(x.dtype,))
    return mirrored(made, x, "edge", before, after, length)
