"""Constants that change where a stream ends, such as the mask of frames that pad a stream to whole blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Tensor
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.symbolic.queries.questions import UntilEnd


@dataclass(frozen=True)
class EndMask:
    """A constant with one frame repeated up to the end of a stream, and another frame repeated after it.

    The rate of the constant may be lower than that of the stream: each entry of frame f corresponds to frame
    ``stride * f + phase`` of the stream.

    Args:
        axis: the time axis of the constant.
        end: the length of the stream.
        stride: the number of stream frames for each frame of the constant.
        phase: the phase of each entry of a frame, int64.
        inside: the entries that correspond to frames before the end of the stream, as one frame.
        outside: the entries that correspond to frames after the end of the stream, as one frame.
    """

    axis: int
    end: Length
    stride: int
    phase: Array
    inside: Array
    outside: Array

    def claim(self, length: Length) -> UntilEnd:
        """The claim that the constant equals this mask at every length.

        Args:
            length: the length of the constant.
        """
        return UntilEnd(self.axis, length, self.end, self.stride, self.phase, self.inside, self.outside)


def end_mask_of(
    values: Sequence[Array], lengths: Sequence[int], axis: int, rate: Fraction, facts: Iterable[Fact]
) -> EndMask | None:
    """The end mask that equals a constant; None if there is none or if the values do not determine its phase.

    Args:
        values: the value of the constant, at each of ``lengths``.
        rate: frames of the constant for each input frame.
        facts: the facts of the tensors so far. One of these streams may end where the constant changes.
    """
    sides = sides_of(values, axis)
    if sides is None or len(set(lengths)) < 2:
        return None
    rows = [np.moveaxis(v, axis, 0) for v in values]
    inside, outside = sides
    changing = inside != outside
    counts = [(row == inside).sum(axis=0) for row in rows]
    for end in dict.fromkeys(f.length for f in facts if isinstance(f, Stream) and f.rate):
        stride = end.rate / rate
        if stride.denominator == 1:
            phase = phase_of(rows, counts, changing, [end(n) for n in lengths], int(stride))
            if phase is not None:
                frames = (np.expand_dims(frame, axis) for frame in (phase, inside, outside))
                return EndMask(axis, end, int(stride), *frames)
    return None


def sides_of(values: Sequence[Array], axis: int) -> tuple[Array, Array] | None:
    """The frames of a constant before and after it changes; None if an entry changes more than once, or none does."""
    rows = [np.moveaxis(v, axis, 0) for v in values]
    longest = max(rows, key=len)
    if not len(longest) or longest.dtype.kind not in "iufb":
        return None
    inside, outside = longest[0], behind_the_end(rows, longest[0])
    once = all(
        np.array_equal(row, np.where(steps_of(row) < (row == inside).sum(axis=0), inside, outside)) for row in rows
    )
    return (inside, outside) if once and (inside != outside).any() else None


def steps_of(row: Array) -> Array:
    return np.arange(len(row)).reshape(-1, *[1] * (row.ndim - 1))


def behind_the_end(rows: Sequence[Array], inside: Array) -> Array:
    """The frame after the end: each entry of the last frames that differs from ``inside``, else that of ``inside``."""
    outside = inside.copy()
    for row in rows:
        if len(row):
            outside = np.where(row[-1] != inside, row[-1], outside)
    return outside


def phase_of(
    rows: Sequence[Array], counts: Sequence[Array], changing: Array, ends: Sequence[int], stride: int
) -> Array | None:
    """The phase of each changing entry, as one frame; None if the evaluated lengths do not determine it.

    Args:
        rows: the values of the constant at each length, with time first.
        counts: for each length, the number of frames in which each entry has its value before the end.
        changing: which entries change.
        ends: the number of frames of the stream, at each length.
        stride: the number of stream frames for each frame of the constant.
    """
    low = np.full(changing.shape, -(2**62))
    high = np.full(changing.shape, 2**62)
    for row, count, end in zip(rows, counts, ends, strict=True):
        low = np.where(count < len(row), np.maximum(low, end - stride * count), low)
        high = np.where(count > 0, np.minimum(high, end - stride * (count - 1) - 1), high)
    return np.where(changing, low, 0) if (low == high)[changing].all() else None


def end_mask_step(mask: EndMask, fact: Stream, grid: int) -> Lowering:
    """The lowering of an end mask as a stream.

    The mask is delayed until the stream frames to which its frames correspond are known to exist.
    """
    furthest = int(mask.phase.max()) + 1 - mask.stride
    fact = replace(fact, delay=max(fact.delay, ceil(Fraction(mask.end.lag(grid) + furthest, mask.stride))))

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        places = [-1 if a == mask.axis else 1 for a in range(fact.rank)]
        frame: Tensor = b.one("Reshape", b.frame_index(fact), b.constant(places), hint="frames")
        if mask.stride != 1:
            frame = b.one("Mul", frame, b.constant([mask.stride]), hint="frames")
        if mask.phase.any():
            frame = b.one("Add", frame, b.constant(mask.phase, "phase"), hint="frames")
        exists = b.one("Less", frame, b.length_now(mask.end), hint="exists")
        inside, outside = (b.constant(np.ascontiguousarray(v)) for v in (mask.inside, mask.outside))
        return [b.choice(exists, inside, outside, fact.dtype, "end_mask")]

    return Lowering((fact,), emit)
