"""The claims that rules make about a formula, one class each: always the same, periodic, counting, rows of a table.

The answer to each is the set of lengths at which it fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from graphc.contract.length import Length
from graphc.stream.facts.time_constant import Array
from graphc.stream.symbolic.domain.lengths import expression_of
from graphc.stream.symbolic.domain.lists import numbers_of
from graphc.stream.symbolic.domain.moves import pulled
from graphc.stream.symbolic.domain.space import (
    NoFormulaError,
    box,
    constant,
    differs_at,
    index,
    lengths,
    nowhere,
    of_lengths,
    over,
    quotient,
    remainder,
    scaled,
    substituted,
    tidy,
)
from graphc.stream.symbolic.domain.stored import stored
from graphc.stream.symbolic.domain.tensor import Formula, Number, Piece
from graphc.stream.symbolic.queries.continuing import (
    Lengths,
    at_lengths,
    fixed_but,
    same_along,
    same_at_next,
    shifts_along,
    size_is,
)
from graphc.stream.symbolic.queries.differ import Difference, at_places


@dataclass(frozen=True)
class Steady:
    """A tensor that is the same at every length."""

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        return same_at_next(x, known)


@dataclass(frozen=True)
class Periodic:
    """A tensor that has the length of a stream on one axis, and repeats along that axis."""

    from_right: int
    length: Length
    period: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        axis = x.rank - self.from_right
        return size_is(x, axis, self.length) | same_along(x, {axis: self.period}) | same_at_next(x, known, (axis,))


@dataclass(frozen=True)
class Shifting:
    """A score matrix that repeats along its diagonal, and is the same at all distances beyond a reach.

    Args:
        falling: 1 if entries beyond the reach may also fall as the distance grows, -1 if they may rise, 0 if neither.
    """

    from_right: tuple[int, int]
    times: tuple[Length, Length]
    period: int
    reach: int
    falling: int = 0

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        axes = x.rank - self.from_right[0], x.rank - self.from_right[1]
        sizes = size_is(x, axes[0], self.times[0]) | size_is(x, axes[1], self.times[1])
        return sizes | shifts_along(x, axes, self.period, self.reach, known, self.falling)


@dataclass(frozen=True)
class Counting:
    """A ramp ``start + step * i`` along one axis, which has the size ``length``."""

    axis: int
    length: Length
    start: int
    step: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        entry = scaled(index(self.axis, x.rank), self.step) + constant(self.start, x.rank)
        line = (Piece(box(x.sizes), Number(entry)),)
        return size_is(x, self.axis, self.length) | fixed_but(x, (self.axis,), known) | at_lengths(x, line)


@dataclass(frozen=True, eq=False)
class RowsOf:
    """The first ``length`` rows of a stored table."""

    axis: int
    length: Length
    table: Formula

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        places = [index(a, x.rank) for a in range(x.rank)]
        rows = pulled(self.table, places, x.rank, box(x.sizes))
        return size_is(x, self.axis, self.length) | fixed_but(x, (self.axis,), known) | at_lengths(x, tuple(rows))


@dataclass(frozen=True, eq=False)
class Edged:
    """A constant that repeats except near its ends: ``late`` entries differ near the last frame, others near the first.

    Args:
        before: the number of first frames that may differ.
        after: the number of last frames that may differ.
        late: which entries of a frame may differ near the last frame.
        period: the period with which the other entries repeat after the first frames.
    """

    axis: int
    length: Length
    before: int
    after: int
    late: Array
    period: int = 1

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        rank, everywhere = x.rank, box(x.sizes)
        places = tuple(constant(0, rank) if a == self.axis else index(a, rank) for a in range(rank))
        by_end = everywhere & at_places(places, self.late, self.late.shape, rank)
        by_front = everywhere - by_end
        place, size = index(self.axis, rank), over(x.sizes[self.axis], rank)
        inner = by_front & place.ge_set(constant(self.before, rank))
        outer = by_end & (size - place).gt_set(constant(self.after + 1, rank))
        return (
            size_is(x, self.axis, self.length)
            | same_along(x, {self.axis: self.period}, inner)
            | same_along(x, {self.axis: 1}, outer)
            | same_at_next(x, known, (self.axis,), within=by_front)
            | same_at_next(x, known, (self.axis,), from_end=self.axis, within=by_end)
        )


@dataclass(frozen=True, eq=False)
class UntilEnd:
    """A constant that changes once, where a stream ends (``positions/end_masks.py``).

    Args:
        length: the length of the constant.
        end: the length of the stream.
        stride, phase: entry i of the constant is about the stream's frame ``i * stride + phase``.
        inside, outside: the entry for a frame that the stream has, and for a frame past the end.
    """

    axis: int
    length: Length
    end: Length
    stride: int
    phase: Array
    inside: Array
    outside: Array

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        rank, everywhere = x.rank, box(x.sizes)
        places = [constant(0, rank) if a == self.axis else index(a, rank) for a in range(rank)]
        first, end = scaled(index(self.axis, rank), self.stride), over(expression_of(self.end), rank)
        exists = nowhere(rank)
        for piece in pulled(stored(self.phase), places, rank, everywhere):
            if not isinstance(piece.leaf, Number):
                raise NoFormulaError("its entries stand for frames in no even order")
            exists |= piece.where & (first + piece.leaf.expr).lt_set(end)
        found = size_is(x, self.axis, self.length) | fixed_but(x, (self.axis,), known)
        for frame, region in ((self.inside, exists), (self.outside, everywhere - exists)):
            found |= at_lengths(x, pulled(stored(frame), places, rank, everywhere), region)
        return found


@dataclass(frozen=True)
class Uniform:
    """A tensor that is the same all along one axis, whatever the size of that axis."""

    axis: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        return same_along(x, {self.axis: 1}) | same_at_next(x, known, (self.axis,))


@dataclass(frozen=True)
class Kept:
    """A tensor that consists of evenly spaced frames of another tensor.

    Args:
        source: the other tensor.
        axis: the time axis of the source.
        start: the source's frame at position 0 of the tensor.
        steps: pairs of an axis of the tensor, and the frames of the source from one position to the next.
    """

    source: Formula
    axis: int
    start: int
    steps: tuple[tuple[int, int], ...]

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        frame = constant(self.start, x.rank)
        for axis, step in self.steps:
            frame = frame + scaled(index(axis, x.rank), step)
        along = {axis for axis, _ in self.steps}
        places = [index(axis, x.rank) for axis in range(x.rank) if axis not in along]
        places.insert(self.axis, frame)
        return at_lengths(x, pulled(self.source, places, x.rank, lengths(x.rank)))


@dataclass(frozen=True)
class EntryIs:
    """A list in which one entry is a length."""

    place: int
    length: Length

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        entry = substituted(numbers_of(x), [constant(self.place, 0)], 0)
        return Difference(differs_at(entry, expression_of(self.length)), nowhere(0))


@dataclass(frozen=True)
class PickedWindows:
    """Frame indices of windows: tap k of window f is ``start + stride * f + offsets[k]``, clamped to the stream.

    Args:
        lowest: the first frame that is picked, which the stream must have.
        after: the most frames that a window may reach past the end of the stream.
    """

    start: int
    stride: int
    offsets: tuple[int, ...]
    lowest: int
    length: Length
    axis: int
    after: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        place, taps = index(0, 1), len(self.offsets)
        window, tap = quotient(place, taps), remainder(place, taps)
        last = over(expression_of(self.length), 1) - constant(1, 1)
        pieces, wrong = [], box(x.sizes) & last.lt_set(constant(self.lowest, 1))
        for k, offset in enumerate(self.offsets):
            frame = constant(self.start + offset, 1) + scaled(window, self.stride)
            region = box(x.sizes) & tap.eq_set(constant(k, 1))
            pieces.append(Piece(region, Number(tidy(frame.max(constant(self.lowest, 1)).min(last)))))
            wrong |= region & frame.gt_set(last + constant(self.after, 1))
        return at_lengths(x, tuple(pieces)) | Difference(of_lengths(wrong, 1), nowhere(0))


@dataclass(frozen=True)
class InTurn:
    """Rows whose entries in one column are the frames 0, 1, 2 and so on, and that are otherwise equal.

    Args:
        axis: the axis along which the rows lie.
        column: the index of that column on the last axis.
    """

    axis: int
    column: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        rank = x.rank
        counts = index(rank - 1, rank).eq_set(constant(self.column, rank))
        line = (Piece(box(x.sizes), Number(index(self.axis, rank))),)
        others = box(x.sizes) - counts
        return (
            at_lengths(x, line, counts)
            | same_along(x, {self.axis: 1}, others)
            | same_at_next(x, known, (self.axis,), within=others)
        )


@dataclass(frozen=True)
class AllAre:
    """A tensor whose entries all equal one length."""

    length: Length

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        return at_lengths(x, (Piece(box(x.sizes), Number(over(expression_of(self.length), x.rank))),))
