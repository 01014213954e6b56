"""Tensors of data with two time axes: queries and keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.stream.facts.stream import Span, Stream
from graphc.stream.facts.time_constant import Array

SMALLEST_SHARED = 2**14


@dataclass(frozen=True)
class MaskFacts:
    """What is known of the entries of a score matrix, as [first time or 1, second time or 1] for each length.

    Args:
        upper: the most that masks have added to an entry so far, over all other axes; 0 where none did.
        zero: entries that are exactly zero whatever the data is.
        displaced: entries that hold another entry's value, as in the corner of a skewed table that a mask covers.
        one: entries that are exactly one (or true) whatever the data is.
        in_softmax: entries that a softmax has counted, so that they are needed even if a later mask makes them zero.
        lower: the least that masks have added to an entry, not counting masks that are made of data.
    """

    upper: tuple[Array, ...]
    zero: tuple[Array, ...]
    displaced: tuple[Array, ...]
    one: tuple[Array, ...]
    in_softmax: tuple[Array, ...]
    lower: tuple[Array, ...]

    @classmethod
    def free(cls, count: int) -> MaskFacts:
        no = np.zeros((1, 1), bool)
        nothing, never = (np.zeros((1, 1)),) * count, (no,) * count
        return cls(nothing, never, never, never, never, nothing)

    @property
    def parts(self) -> tuple[tuple[Array, ...], ...]:
        return (self.upper, self.zero, self.displaced, self.one, self.in_softmax, self.lower)

    def swapped(self) -> MaskFacts:
        return MaskFacts(*(tuple(v.T for v in part) for part in self.parts))

    def shared(self, held: dict[Any, Any]) -> MaskFacts:
        """The same facts with equal arrays held once, since the layers of a model have the same masks."""
        return MaskFacts(*(tuple(held_once(v, held) for v in part) for part in self.parts))

    @property
    def unseen(self) -> tuple[Array, ...]:
        """Entries that do not affect the result."""
        return tuple(z & ~c for z, c in zip(self.zero, self.in_softmax, strict=True))


def held_once(value: Array, held: dict[Any, Any]) -> Array:
    """The array, or the equal one that is already held; small arrays are not held."""
    if value.size < SMALLEST_SHARED:
        return value
    some = np.ascontiguousarray(value.ravel()[:: value.size // SMALLEST_SHARED * 2 + 1]).tobytes()
    alike: list[Array] = held.setdefault(("held", value.shape, value.dtype.str, some), [])
    for other in alike:
        if other is value or np.array_equal(other, value, equal_nan=value.dtype.kind == "f"):
            return other
    alike.append(value)
    return value


@dataclass(frozen=True)
class SoftmaxSite:
    """A softmax that turns scores into weights: its input, its output, and its query and key axes from the right."""

    scores: str
    weights: str
    query: int
    key: int
    dtype: np.dtype[np.generic]


Law = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoreMatrix:
    """A tensor over two times, as attention has between queries and keys.

    It is built where it is used, for the requested frames of each time:

        build(b, spans)[i, j] == offline[n * c - spans[0].offset + i, n * c - spans[1].offset + j]

    where those frames exist.

    Args:
        axes: the two time axes, in order.
        times: for each axis, a stream of the same rate and length; its delay says when the frames have arrived.
        shape: the offline shape, with -1 for time.
        settled: whether frames that do not exist hold zeros on the axis that was normalised.
        normalised: the times (0, 1) along which it was normalised; every sum must go along these.
        sites: where scores became weights on the way here.
        laws: functions that claim what must be true of the tables that made its masks. Each takes a period, and a
            distance beyond which the tables no longer change.
    """

    axes: tuple[int, int]
    times: tuple[Stream, Stream]
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    build: Callable[[Any, tuple[Span, Span]], Any] = field(compare=False)
    masks: MaskFacts = field(compare=False)
    settled: bool = False
    sites: tuple[SoftmaxSite, ...] = field(default=(), compare=False)
    normalised: frozenset[int] = frozenset()
    laws: tuple[Law, ...] = field(default=(), compare=False)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def from_right(self) -> tuple[int, int]:
        return self.rank - self.axes[0], self.rank - self.axes[1]
