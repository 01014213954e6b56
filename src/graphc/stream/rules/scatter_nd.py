"""ScatterND: parts of each frame written over, as ``x[..., :k] = y`` is exported."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.symbolic.queries.questions import InTurn
from graphc.stream.time.per_frame_operands import per_frame_operands

DATA, INDICES, UPDATES = range(3)


@stream_rule("ScatterND")
def scatter_nd(node: Node, facts: Facts) -> Lowering:
    """Each row of the indices is a position in the data: one number for each of the data's first axes.

    If time is not one of these first axes, the updates have the time axis too. If time is one of them, the rows must
    name every frame in order. Then time is transposed to the last axis, and its column is removed from the rows.
    """
    places = facts[INDICES]
    if not isinstance(places, TimeConstant):
        facts.refuse(
            "writes to positions that depend on data", "select with a Where, or scatter along an axis other than time"
        )
    depth, lead = places.values[0].shape[-1], places.values[0].ndim - 1
    axis, of_updates = axes_of_time(facts, places, depth, lead)
    axes = {DATA: axis, UPDATES: of_updates}
    if axis >= depth:
        steady = facts.array(INDICES, "its 'indices' input")
        assert steady is not None
        return per_frame_operands(facts, axes, axis, lambda b, given: scattered(b, node, given, steady))
    facts.claim(INDICES, InTurn(of_updates, axis))
    rows = np.delete(longest_of(places).take(0, axis=of_updates), axis, axis=-1)
    ranks = {index: len(facts.input_shapes[index][0]) for index in axes}

    def make(b: Builder, given: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        moved = list(given)
        for index, place in axes.items():
            moved[index] = b.one("Transpose", given[index], perm=last(place, ranks[index]), hint="time_last")
        written = scattered(b, node, moved, rows)
        return [b.one("Transpose", written[0], perm=np.argsort(last(axis, ranks[DATA])).tolist(), hint="written")]

    return per_frame_operands(facts, axes, axis, make)


def scattered(b: Builder, node: Node, given: Sequence[Tensor | None], rows: Array) -> Sequence[Tensor | None]:
    return b.copy(node, [given[DATA], b.constant(rows, "places"), given[UPDATES]])


def longest_of(places: TimeConstant) -> Array:
    return max(places.values, key=np.size)


def last(axis: int, rank: int) -> list[int]:
    """The order of axes that puts ``axis`` after all others."""
    return [*(a for a in range(rank) if a != axis), axis]


def axes_of_time(facts: Facts, places: TimeConstant, depth: int, lead: int) -> tuple[int, int]:
    """The time axis of the data, and that of the updates.

    Refuses rows that do not name every frame in order, or that change from frame to frame.
    """
    data, updates = facts[DATA], facts[UPDATES]
    (_, x), *_ = facts.streams()
    if isinstance(data, Stream) and data.axis >= depth:
        return data.axis, lead + data.axis - depth
    if not isinstance(data, Stream) and isinstance(updates, Stream) and updates.axis >= lead:
        return depth + updates.axis - lead, updates.axis
    columns = [data.axis] if isinstance(data, Stream) else range(depth)
    axes = [updates.axis] if isinstance(updates, Stream) else range(lead)
    found = [(c, a) for c in columns for a in axes if a < lead and depth > 1 and in_turn(facts, places, x, c, a)]
    if not found:
        facts.refuse(
            "writes to some frames only, or to other positions in each",
            "select frames with a Where and a mask of positions",
        )
    return found[0]


def in_turn(facts: Facts, places: TimeConstant, x: Stream, column: int, axis: int) -> bool:
    """Whether the rows along an axis are the same for every frame, except for one column that counts the frames."""
    longest = longest_of(places)
    if not longest.size:
        return False
    first = longest.take([0], axis=axis)
    for frames, rows in zip(facts.lengths, places.values, strict=True):
        count = x.length(frames)
        counted = [1] * (rows.ndim - 1)
        counted[axis] = count
        if rows.shape[axis] != count or rows.shape != (*first.shape[:axis], count, *first.shape[axis + 1 :]):
            return False
        wanted = np.repeat(first, count, axis=axis)
        wanted[..., column] = np.arange(count).reshape(counted)
        if not np.array_equal(rows, wanted):
            return False
    return True
