"""The questions that rules ask of a formula; each answer is the set of lengths at which it is not so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graphc.length import Length
from graphc.stream.facts import Array
from graphc.stream.symbolic.differ import Difference, at_places, entries
from graphc.stream.symbolic.lengths import expression_of
from graphc.stream.symbolic.lists import numbers_of
from graphc.stream.symbolic.moves import at_length, pulled, replaced
from graphc.stream.symbolic.space import (
    Expr,
    Region,
    box,
    constant,
    differs_at,
    frames,
    index,
    lengths,
    nowhere,
    number_of,
    of_lengths,
    over,
    quotient,
    remainder,
    scaled,
    substituted,
    tidy,
)
from graphc.stream.symbolic.tensor import Formula, Number, Piece, Read


@dataclass(frozen=True)
class Lengths:
    """The lengths that are known to be accepted.

    Args:
        first: the shortest that was evaluated.
        apart: they lie evenly so far apart.
    """

    first: int
    apart: int


@dataclass(frozen=True)
class Steady:
    """The same at every length."""

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        return same_at_next(x, known)


@dataclass(frozen=True)
class Periodic:
    """As long as a stream on one axis, along which it repeats."""

    from_right: int
    length: Length
    period: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        axis = x.rank - self.from_right
        return size_is(x, axis, self.length) | same_along(x, {axis: self.period}) | same_at_next(x, known, (axis,))


@dataclass(frozen=True)
class Shifting:
    """A table of two times that repeats along its diagonal, and is the same at all distances beyond a reach."""

    from_right: tuple[int, int]
    times: tuple[Length, Length]
    period: int
    reach: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        axes = x.rank - self.from_right[0], x.rank - self.from_right[1]
        sizes = size_is(x, axes[0], self.times[0]) | size_is(x, axes[1], self.times[1])
        return sizes | shifts_along(x, axes, self.period, self.reach, known)


@dataclass(frozen=True)
class Counting:
    """A ramp along one axis."""

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
    """The first rows of a stored table."""

    axis: int
    length: Length
    table: Formula

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        places = [index(a, x.rank) for a in range(x.rank)]
        rows = pulled(self.table, places, x.rank, box(x.sizes))
        return size_is(x, self.axis, self.length) | fixed_but(x, (self.axis,), known) | at_lengths(x, tuple(rows))


@dataclass(frozen=True, eq=False)
class Edged:
    """Entries of a frame that follow their distance to the first frame, and late ones that to the last, near these."""

    axis: int
    length: Length
    before: int
    after: int
    late: Array

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
            | same_along(x, {self.axis: 1}, inner)
            | same_along(x, {self.axis: 1}, outer)
            | same_at_next(x, known, (self.axis,), within=by_front)
            | same_at_next(x, known, (self.axis,), from_end=self.axis, within=by_end)
        )


@dataclass(frozen=True)
class Uniform:
    """The same all along one axis, whatever its size."""

    axis: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        return same_along(x, {self.axis: 1}) | same_at_next(x, known, (self.axis,))


@dataclass(frozen=True)
class Kept:
    """What a node keeps of the frames of data: those at even steps.

    Args:
        axis: of time in the data.
        start: the frame of the data at the first place.
        steps: frames from one place to the next, along axes of what is kept.
    """

    axis: int
    start: int
    steps: tuple[tuple[int, int], ...]

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        expected = constant(self.start, x.rank)
        for axis, step in self.steps:
            expected = expected + scaled(index(axis, x.rank), step)
        found = nowhere(x.rank)
        for piece in x.pieces:
            if isinstance(piece.leaf, Read):
                found = found | (piece.where & piece.leaf.places[self.axis].ne_set(expected))
        return Difference(of_lengths(found, x.rank), nowhere(0))


@dataclass(frozen=True)
class EntryIs:
    """One entry of a list is a length."""

    place: int
    length: Length

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        entry = substituted(numbers_of(x), [constant(self.place, 0)], 0)
        return Difference(differs_at(entry, expression_of(self.length)), nowhere(0))


@dataclass(frozen=True)
class PickedWindows:
    """Place k of window f is ``start + stride * f + dilation * k``, held within a stream; none lies far behind its end.

    Args:
        after: frames behind the end that windows reach, at most.
    """

    start: int
    stride: int
    taps: int
    dilation: int
    length: Length
    axis: int
    after: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        place = index(0, 1)
        window, tap = quotient(place, self.taps), remainder(place, self.taps)
        frame = constant(self.start, 1) + scaled(window, self.stride) + scaled(tap, self.dilation)
        last = over(expression_of(self.length), 1) - constant(1, 1)
        held = tidy(frame.max(constant(0, 1)).min(last))
        far = box(x.sizes) & frame.gt_set(last + constant(self.after, 1))
        wrong = at_lengths(x, (Piece(box(x.sizes), Number(held)),))
        return wrong | Difference(of_lengths(far, 1), nowhere(0))


@dataclass(frozen=True)
class InTurn:
    """Rows that name every frame in turn in one column, and are alike otherwise.

    Args:
        axis: of the rows.
        column: of their last axis.
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
    """Every entry is a length."""

    length: Length

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        return at_lengths(x, (Piece(box(x.sizes), Number(over(expression_of(self.length), x.rank))),))


def shifts_along(x: Formula, axes: tuple[int, int], period: int, reach: int, known: Lengths) -> Difference:
    """A table repeats along its diagonal, and is the same at all distances beyond a reach."""
    first, second = axes
    distance = index(second, x.rank) - index(first, x.rank)
    ahead, behind = distance.ge_set(constant(reach, x.rank)), distance.le_set(constant(-reach, x.rank))
    return (
        same_at_next(x, known, axes)
        | same_along(x, {first: period, second: period})
        | same_along(x, {second: 1}, ahead)
        | same_along(x, {first: 1}, behind)
    )


def size_is(x: Formula, axis: int, length: Length) -> Difference:
    return Difference(differs_at(x.sizes[axis], expression_of(length)), nowhere(0))


def at_lengths(x: Formula, other: Sequence[Piece], within: Region | None = None) -> Difference:
    """The lengths at which entries differ from those of other pieces."""
    found = entries(x.pieces, tuple(other), x.rank, within)
    return Difference(of_lengths(found.sure, x.rank), of_lengths(found.unsure, x.rank))


def same_along(x: Formula, steps: dict[int, int], within: Region | None = None) -> Difference:
    """The lengths at which an entry differs from the one so many steps along some axes."""
    places = [index(a, x.rank) + constant(steps.get(a, 0), x.rank) for a in range(x.rank)]
    return at_lengths(x, pulled(x, places, x.rank, lengths(x.rank)), within)


def same_at_next(
    x: Formula,
    known: Lengths,
    growing: Sequence[int] = (),
    from_end: int | None = None,
    within: Region | None = None,
) -> Difference:
    """The lengths that do not continue what it is at the first one known.

    Args:
        growing: axes whose sizes may differ; entries at the same places are compared.
        from_end: an axis on which places are counted from the end instead.
    """
    step = frames(0) + constant(known.apart, 0)
    following = at_length(x, step)
    pieces: Sequence[Piece] = following.pieces
    if from_end is not None:
        more = over(following.sizes[from_end] - x.sizes[from_end], x.rank)
        places = [index(a, x.rank) + more if a == from_end else index(a, x.rank) for a in range(x.rank)]
        pieces = [
            Piece(substituted(p.where, places, x.rank), replaced(p.leaf, places, x.rank)) for p in following.pieces
        ]
    found = at_lengths(x, pieces, within)
    sizes = nowhere(0)
    for axis in range(x.rank):
        if axis not in growing:
            sizes = sizes | differs_at(x.sizes[axis], following.sizes[axis])
    return Difference(continued(found.sure | sizes, known), continued(found.unsure, known))


def continued(breaks: Region, known: Lengths) -> Region:
    """Of lengths that differ from the next ones: those in front of the first known, and behind it the next ones."""
    if breaks.is_empty():
        return breaks
    here, first = frames(0), constant(known.first, 0)
    before = breaks & here.lt_set(first)
    behind = substituted(breaks & here.ge_set(first), [], 0, here - constant(known.apart, 0))
    return before | behind


def fixed_but(x: Formula, growing: Sequence[int], known: Lengths) -> Difference:
    """The lengths at which a size other than those on some axes is another."""
    moving = nowhere(0)
    for axis, size in enumerate(x.sizes):
        if axis not in growing and number_of(size) is None:
            later: Expr = substituted(size, [], 0, frames(0) + constant(known.apart, 0))
            moving = moving | differs_at(size, later)
    return Difference(continued(moving, known), nowhere(0))
