"""Constants that are the same in every frame except the first or last frames of a stream, such as a mask of padding.

Each entry of a frame may differ near one of the two ends, and then depends only on the distance to that end. After the
first frames, a constant may repeat periodically instead of staying the same, as the envelope of overlapping windows
does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import INT64_MAX, Builder
from graphc.stream.lowering.lowering import Lowering

WIDEST = 4
REPEATED = 3


@dataclass(frozen=True)
class Edges:
    """A constant as its first frames, the frames that repeat after them, and its last frames.

    Args:
        axis: the time axis of the constant.
        head: the frames from frame 0 on. The last ``period`` of them repeat.
        tail: the last frames, indexed by distance to the last frame. The final one equals the frames between the ends.
        late: which entries depend on the distance to the end, in the shape of one frame.
        period: the number of frames after which the frames between the ends repeat.
    """

    axis: int
    head: Array
    tail: Array
    late: Array
    period: int = 1

    @property
    def before(self) -> int:
        return int(self.head.shape[self.axis]) - self.period


def edged_of(known: TimeConstant, axis: int, lengths: Sequence[int]) -> Edges | None:
    """The ``Edges`` of a constant; None unless they give the values of the constant at every evaluated length."""
    if len(set(lengths)) < 2:
        return None
    found = steady_between_ends(known, axis) or repeating_behind(known, axis)
    return found if found is not None and is_shown(found, known) else None


def is_shown(edges: Edges, known: TimeConstant) -> bool:
    """Whether the value at the longest length is at least ``WIDEST`` times as long as each of the two ends."""
    widest: int = max(edges.before, edges.tail.shape[edges.axis] - 1)
    return widest * WIDEST <= max(int(v.shape[edges.axis]) for v in known.values)


def may_have_ends(known: TimeConstant, axis: int) -> bool:
    """Whether a constant seems to have special first frames, but longer lengths are needed to be certain."""
    found = repeating_behind(known, axis)
    return found is not None and not is_shown(found, known)


def repeating_behind(known: TimeConstant, axis: int) -> Edges | None:
    """The ``Edges`` of a constant whose frames repeat after its first frames; None for any other constant."""
    rows = [np.moveaxis(v, axis, 0) for v in known.values]
    longest = max(rows, key=len)
    count = len(longest)
    if not all(np.array_equal(longest[: len(row)], row, equal_nan=row.dtype.kind in "fc") for row in rows):
        return None
    for period in range(1, count // REPEATED + 1):
        one, other = longest[:-period], longest[period:]
        differs = ((one != other) & ((one == one) | (other == other))).reshape(count - period, -1).any(axis=1)
        before = count - period - int(np.argmax(differs[::-1])) if differs.any() else 0
        if before + period > 1 and count - before >= REPEATED * period:
            late = np.zeros((1, *longest.shape[1:]), bool)
            head, tail, columns = (np.moveaxis(p, 0, axis) for p in (longest[: before + period], longest[:1], late))
            return Edges(axis, head, tail, columns, period)
    return None


def steady_between_ends(known: TimeConstant, axis: int) -> Edges | None:
    rows = [np.moveaxis(v, axis, 0) for v in known.values]
    longest = max(rows, key=len)
    count, middle = len(longest), len(longest) // 2
    steady = longest[middle]
    differs = longest != steady
    early, late = differs[:middle], differs[middle:]
    if (early.any(axis=0) & late.any(axis=0)).any():
        return None
    whole = tuple(range(1, longest.ndim))
    first = np.flatnonzero(early.any(axis=whole))
    last = np.flatnonzero(late.any(axis=whole))
    before = int(first[-1]) + 1 if len(first) else 0
    after = count - middle - int(last[0]) if len(last) else 0
    if before + after == 0:
        return None
    head, tail = longest[: before + 1], longest[::-1][: after + 1]
    columns = late.any(axis=0)
    for values in rows:
        place = np.arange(len(values))
        made = np.where(columns, tail[np.minimum(place[::-1], after)], head[np.minimum(place, before)])
        if not np.array_equal(made, values, equal_nan=values.dtype.kind == "f"):
            return None
    return Edges(axis, np.moveaxis(head, 0, axis), np.moveaxis(tail, 0, axis), np.moveaxis(columns[None], 0, axis))


def repeated(b: Builder, place: Tensor, edges: Edges) -> Tensor:
    """Converts frame indices of the stream to indices into ``Edges.head``."""
    behind = b.one("Sub", place, b.constant([edges.before]), hint="behind_the_first")
    turned = b.one("Mod", b.clipped(behind, 0, INT64_MAX), b.constant([edges.period]), hint="turned")
    return b.one("Add", b.clipped(place, 0, edges.before), turned, hint="place_in_period")


def edges_step(edges: Edges, fact: Stream, grid: int) -> Lowering:
    """The lowering of a constant with special first or last frames as a stream.

    If the last frames differ, the stream is delayed until the distance to the end is known.
    """
    after = edges.tail.shape[edges.axis] - 1
    if after:
        fact = replace(fact, delay=max(fact.delay, fact.length.lag(grid) + after))

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        index = b.frame_index(fact)
        parts: list[Tensor] = []
        for table, far in ((edges.head, False), (edges.tail, True)):
            most = table.shape[edges.axis] - 1
            if most == 0:
                continue
            place: Tensor = index
            if far:
                last = b.one("Sub", b.length_now(fact.length), b.constant([1]), hint="last_frame")
                place = b.one("Sub", last, index, hint="from_the_end")
            held = b.clipped(place, 0, most) if far or edges.period == 1 else repeated(b, place, edges)
            parts.append(b.one("Gather", b.constant(np.ascontiguousarray(table), "edge"), held, axis=edges.axis))
        if len(parts) == 1:
            return parts
        late = b.constant(np.ascontiguousarray(edges.late), "late")
        return [b.choice(late, parts[1], parts[0], edges.head.dtype, "edges")]

    return Lowering((fact,), emit)
