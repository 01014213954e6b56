"""What is true of a time-only tensor at some lengths, and has to stay true at all others.

Nothing is decided here: a habit that breaks names lengths at which the graph is worth being evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

import numpy as np

from graphc.stream.facts import Array
from graphc.stream.rounded import rounded_line

EDGE = 4
SHORTEST = 4 * EDGE
LEARNED_FROM = 8
LONGEST_PERIOD = 16
LONGEST_CYCLE = 64
AS_LIKELY = 3
MOST_LINES = 64
TOLERANCE = 1e-5
FRONT, BACK, CENTRE = range(3)


class Sight(Enum):
    """A value beside those of the lengths before: as they are, unlike all of them, or the first of another kind."""

    AS_BEFORE = "as before"
    ODD = "odd"
    OTHER = "other"


def broken_numbers(lengths: Sequence[int], values: Array, learned: Array) -> Array:
    """At which lengths an entry is not what the learned ones make of it, bool [runs].

    An entry is learned as one number, a rounded line of the length, or a number for each remainder of the length.

    Args:
        values: of a tensor of one shape, [runs, entries].
        learned: the runs to learn from, bool [runs].
    """
    seen = values[learned]
    steady = equal(seen, seen[:1]).all(axis=0)
    broken = ~equal(values[:, steady], seen[:1, steady]).all(axis=1)
    for column in np.flatnonzero(~steady)[:MOST_LINES]:
        for expected in expected_numbers(np.asarray(lengths), values[:, column], learned):
            broken |= ~equal(values[:, column].astype(np.float64), expected) & np.isfinite(expected)
    return np.asarray(broken)


def expected_numbers(lengths: Array, numbers: Array, learned: Array) -> Iterator[Array]:
    """The numbers at all lengths as those learned tell, float64 [runs], NaN where they tell none; none or several."""
    seen, at = numbers[learned].astype(np.float64), lengths[learned]
    if not np.isfinite(seen).all():
        return
    if (seen == np.rint(seen)).all():
        line = rounded_line(at.tolist(), [int(n) for n in seen])
        if line is None:
            yield from cycled(lengths, numbers, learned)
        else:
            yield np.asarray([line.unclamped(n) for n in lengths.tolist()], np.float64)
        return
    slope, start = (float(v) for v in np.polyfit(at, seen, 1))
    straight = np.abs(seen - (slope * at + start)).max() <= TOLERANCE * np.abs(seen).max()
    if straight and len(at) > 3:
        yield np.asarray(slope * lengths + start)


def cycled(lengths: Array, numbers: Array, learned: Array) -> Iterator[Array]:
    """The numbers as cycles tell that those learned follow.

    Of several cycles those that a further length breaks least likely, as all lengths tell (Laplace's rule); none where
    that is as likely as not.
    """
    seen, at = numbers[learned].astype(np.float64), lengths[learned]
    found: list[tuple[float, Array]] = []
    for period in range(2, LONGEST_CYCLE + 1):
        of_remainder = np.full(period, np.nan)
        of_remainder[at % period] = seen
        if (of_remainder[at % period] != seen).any():
            continue
        told = of_remainder[lengths % period]
        new = np.isfinite(told) & ~learned
        broken = int((told[new] != numbers[new]).sum())
        found.append(((broken + 1) / (int(new.sum()) + 2), told))
    least = min((chance for chance, _ in found), default=1.0)
    yield from (told for chance, told in found if chance <= min(AS_LIKELY * least, 0.5))


@dataclass(frozen=True)
class Repeated:
    """Rows are alike after a period; along two axes at once, along the diagonal."""

    axes: tuple[int, ...]
    period: int

    def holds(self, value: Array, scale: float | None = None) -> bool:
        later, earlier = [slice(None)] * value.ndim, [slice(None)] * value.ndim
        for axis in self.axes:
            later[axis] = slice(EDGE + self.period, value.shape[axis] - EDGE)
            earlier[axis] = slice(EDGE, value.shape[axis] - EDGE - self.period)
        return bool(equal(value[tuple(later)], value[tuple(earlier)], scale).all())

    def covers(self, other: Repeated | Even) -> bool:
        """Whether the other holds wherever this one does."""
        return isinstance(other, Repeated) and self.axes == other.axes and other.period % self.period == 0


@dataclass(frozen=True)
class Even:
    """Rows are evenly apart."""

    axis: int

    def covers(self, other: Repeated | Even) -> bool:
        return False

    def holds(self, value: Array) -> bool:
        if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
            return False
        numbers = value.astype(np.float64)
        return Repeated((self.axis,), 1).holds(np.diff(numbers, axis=self.axis), float(np.abs(numbers).max()))


@dataclass(frozen=True)
class Tied:
    """A value holds the one of a shorter length: from the front, up to the end, or in the middle of each axis."""

    axes: tuple[int, ...]
    places: tuple[int, ...]

    def holds(self, before: Array, value: Array) -> bool:
        return bool(equal(self.part(before, value), self.part(value, before)).all())

    def part(self, of: Array, other: Array) -> Array:
        picked = [slice(None)] * of.ndim
        for axis, place in zip(self.axes, self.places, strict=True):
            size, common = of.shape[axis], min(of.shape[axis], other.shape[axis])
            picked[axis] = {
                FRONT: slice(0, common - EDGE),
                BACK: slice(size - common + EDGE, size),
                CENTRE: slice(size // 2 - common // 2 + EDGE, size // 2 - common // 2 + common - EDGE),
            }[place]
        return of[tuple(picked)]


class Rows:
    """A tensor that grows with the length, learned from the first that are long enough.

    Args:
        one, other: two of its shapes, from which the axes that grow are known.
    """

    def __init__(self, one: tuple[int, ...], other: tuple[int, ...]):
        self.grown = tuple(a for a, (m, n) in enumerate(zip(one, other, strict=True)) if m != n)
        self.laws: list[Repeated | Even] = [
            *(Repeated((a,), period) for a in self.grown for period in range(1, LONGEST_PERIOD + 1)),
            *(Even(a) for a in self.grown),
            *([Repeated(self.grown, 1)] if len(self.grown) > 1 else []),
        ]
        self.ties = [Tied(self.grown, places) for places in product((FRONT, BACK, CENTRE), repeat=len(self.grown))]
        self.before: Array | None = None
        self.learned = 0

    def seen(self, value: Array) -> Sight:
        """How the next longer value is to those before; the first ones are learned from."""
        if any(value.shape[a] < SHORTEST + LONGEST_PERIOD for a in self.grown):
            return Sight.AS_BEFORE
        before, self.before = self.before, value
        laws = [law for law in self.laws if law.holds(value)]
        ties = self.ties if before is None else [tie for tie in self.ties if tie.holds(before, value)]
        if self.learned < LEARNED_FROM:
            self.laws, self.ties = laws, ties
            self.learned += before is None or before.shape != value.shape
            if self.learned == LEARNED_FROM:
                self.laws = [law for law in laws if not any(o.covers(law) for o in laws if o != law)]
            return Sight.AS_BEFORE
        if len(laws) < len(self.laws):
            return Sight.ODD
        return Sight.OTHER if len(ties) < len(self.ties) else Sight.AS_BEFORE


def equal(one: Array, other: Array, scale: float | None = None) -> Array:
    """Which entries are equal, floats up to rounding at their size or a given scale."""
    same = np.asarray(one == other)
    if same.all() or (one.dtype.kind != "f" and other.dtype.kind != "f"):
        return same
    one, other = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        most = np.maximum(np.abs(one), np.abs(other)) if scale is None else scale
        close = (np.abs(one - other) <= TOLERANCE * most) & np.isfinite(most)
    return np.asarray(same | close | np.isnan(one) & np.isnan(other))
