"""Cuts constant operands to one chunk, if they are the same in every frame or periodic."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.errors import AbsoluteError
from graphc.ir.graph import label
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_other_length, refuse_whole_length
from graphc.stream.symbolic.queries.questions import Periodic


def cut_to_chunk(facts: Facts, index: int, x: Stream, extra: int = 0) -> tuple[Array, bool]:
    """The part of a constant operand for one chunk, and whether it changes from frame to frame.

    An operand that is the same in every frame is cut to one frame. A periodic operand is cut to a chunk and ``extra``
    more frames, at the phase that the delay of the stream gives.

    Args:
        index: the input index of the operand.
        x: the stream with which the operand is combined.

    Errors:
        AbsoluteError: the operand depends on the frame's index in another way.
    """
    known = facts[index]
    assert isinstance(known, TimeConstant)
    values = known.values
    rank = values[0].ndim
    if rank < x.from_right or all(v.shape[-x.from_right] == 1 for v in values):
        if known.steady is None:
            refuse_whole_length(facts, index)
        return known.steady, False
    axis = rank - x.from_right
    if any(v.shape[axis] != x.length(n) for v, n in zip(values, facts.lengths, strict=True)):
        refuse_other_length(facts, index)
    first = values[0].take([0], axis=axis)
    if all(same_everywhere(v, axis, first) for v in values):
        facts.claim(index, Periodic(x.from_right, x.length, 1))
        return first, False
    period = period_of(values, axis)
    if period is None:
        known_ahead = alike_in_front(values, axis)
        raise AbsoluteError(
            index,
            x.from_right,
            x,
            f"its input {index} differs from position to position, but is neither a ramp nor a table indexed by a ramp"
            if known_ahead
            else f"its input {index} depends on the length of the whole stream",
            node=label(facts.node),
            hint="compute it from torch.arange, or look it up in a table by torch.arange"
            if known_ahead
            else "no call knows the length of its stream; compute it from positions, counted from the start",
        )
    frames = facts.frames(x)
    if frames % period:
        facts.misfit(
            period, x, f"its input {index} repeats every {period} frames, but a chunk has {frames} frames here"
        )
    facts.claim(index, Periodic(x.from_right, x.length, period))
    places = (np.arange(frames + extra) - x.delay) % period
    return max(values, key=lambda v: v.shape[axis]).take(places, axis=axis), True


def alike_in_front(values: Sequence[Array], axis: int) -> bool:
    """Whether the constant at each length is a prefix of the constant at the longest length."""
    longest = max(values, key=np.size)
    return all(np.array_equal(longest.take(range(v.shape[axis]), axis=axis), v) for v in values)


def same_everywhere(value: Array, axis: int, frame: Array) -> bool:
    numeric = value.dtype.kind in "fc"
    return bool(np.array_equal(value, np.broadcast_to(frame, value.shape), equal_nan=numeric))


def period_of(values: Sequence[Array], axis: int) -> int | None:
    """The smallest period along an axis that is seen at least twice and is the same at every length; otherwise None."""
    if not alike_in_front(values, axis):
        return None
    longest = np.moveaxis(max(values, key=lambda v: v.shape[axis]), axis, 0)
    period = smallest_period([row.tobytes() for row in longest + np.zeros((), longest.dtype)])
    return period if 2 <= period <= len(longest) // 2 else None


def smallest_period(rows: Sequence[bytes]) -> int:
    """The smallest shift at which a sequence equals itself where both overlap (Knuth, Morris and Pratt, 1977)."""
    borders, border = [0] * len(rows), 0
    for place in range(1, len(rows)):
        while border and rows[place] != rows[border]:
            border = borders[border - 1]
        border += rows[place] == rows[border]
        borders[place] = border
    return len(rows) - border
