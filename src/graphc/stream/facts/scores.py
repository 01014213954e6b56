"""Data tensors with two time axes: one of queries and one of keys."""

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
    """What is known about the entries of a score matrix, after the masks that were applied to it.

    Each fact is one array for each evaluated length, [first time or 1, second time or 1].

    Args:
        upper: the largest sum that masks have added to each entry, over all other axes such as heads; 0 without masks.
        zero: which entries are exactly zero for any data.
        displaced: which entries have the value of another entry, such as the corner of a skewed table that a mask
            hides.
        one: which entries are exactly one (or true) for any data.
        in_softmax: which entries a softmax has summed up. They are needed even if a later mask makes them zero.
        lower: the smallest sum that masks have added to each entry, without masks that are computed from data.
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
        """The same facts, with equal arrays stored only once, since the layers of a model often have the same masks.

        Args:
            held: the arrays that are stored so far.
        """
        return MaskFacts(*(tuple(held_once(v, held) for v in part) for part in self.parts))

    @property
    def unseen(self) -> tuple[Array, ...]:
        """Which entries do not affect the result of the attention."""
        return tuple(z & ~c for z, c in zip(self.zero, self.in_softmax, strict=True))


def held_once(value: Array, held: dict[Any, Any]) -> Array:
    """The stored array that equals ``value``; if there is none, stores ``value`` and returns it.

    Small arrays are not stored.

    Args:
        held: the arrays that are stored so far.
    """
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
    """A softmax that turns scores into attention weights.

    Args:
        scores: the name of the softmax's input.
        weights: the name of the softmax's output.
        query: the query axis, counted from the right.
        key: the key axis, counted from the right.
    """

    scores: str
    weights: str
    query: int
    key: int
    dtype: np.dtype[np.generic]


Law = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoreMatrix:
    """A tensor with two time axes, such as the attention scores of queries and keys.

    A score matrix is built only where a call uses it, for the requested frames of each time axis:

        build(b, spans)[i, j] == offline[n * c - spans[0].offset + i, n * c - spans[1].offset + j]

    wherever both frames exist.

    Args:
        axes: the two time axes, in order.
        times: for each axis, a stream with the axis's rate and length; the delay of the stream says when frames have
            arrived.
        shape: the offline shape, with -1 for time.
        settled: whether entries of frames that do not exist are zero on the normalised axis.
        normalised: the time axes, as indices 0 and 1 into ``axes``, that a softmax has normalised. A later sum over
            time must be over the normalised axis.
        sites: the softmaxes, before this tensor, that turned scores into weights.
        laws: functions that claim that the tables behind the masks keep their form at every length. Their arguments are
            a period, and a distance beyond which the tables no longer change.
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
