"""What is known of a tensor when its model is looked at as a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from graphc.length import Length

Array = NDArray[np.generic]


class Edge(Enum):
    """The head of a stream padded by its own first frame."""

    FIRST_FRAME = "first frame"


Head = Array | Edge | None


@dataclass(frozen=True)
class Known:
    """A tensor that does not depend on the data: its values, one for each length the graph was evaluated at."""

    values: tuple[Array, ...]

    @property
    def steady(self) -> Array | None:
        """The one value at every length, or None."""
        first = self.values[0]
        same = all(
            v.shape == first.shape and np.array_equal(v, first, equal_nan=v.dtype.kind in "fc") for v in self.values
        )
        return first if same else None


class KnownConstant(Known):
    """A constant of the graph, loaded only when a rule looks at its value."""

    load: Callable[[], Array]
    count: int

    def __init__(self, load: Callable[[], Array], count: int):
        object.__setattr__(self, "load", load)
        object.__setattr__(self, "count", count)

    @cached_property
    def values(self) -> tuple[Array, ...]:
        return (self.load(),) * self.count

    @property
    def steady(self) -> Array:
        return self.values[0]


class Origin(Enum):
    """Where a tensor without time comes from."""

    INPUT = "static input"
    GIVEN = "given state"
    FINAL = "final state"


@dataclass(frozen=True)
class Static:
    """A tensor of data without a time axis: one value for the whole stream, or a state as it is now."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    origin: Origin = Origin.INPUT


@dataclass(frozen=True)
class Stream:
    """A tensor with time on one axis.

    The invariant, c being the frames that a chunk of C input frames gives (``c = C * rate``):

        chunked[n][i] == offline[n * c - delay + i]    where 0 <= n * c - delay + i < length(T)

    Frames outside are leftovers, but for ``head`` and ``tail``: where ``delay < 0``, the frames [0, -delay) are never
    carried and all equal ``head``; where ``tail`` is not None, every frame from ``length(T)`` on equals it.

    Args:
        axis: the axis that is time.
        rate: frames of this tensor per input frame.
        delay: frames by which chunked lags offline.
        length: frames offline for T input frames.
        shape: the offline shape, with -1 for time.
        head: the frames that stand before the first carried one (shape with one frame), or the mark of edge padding.
        tail: the frame that follows the last one, again and again (shape with one frame).
    """

    axis: int
    rate: Fraction
    delay: int
    length: Length
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    head: Head = field(default=None, compare=False)
    tail: Array | None = field(default=None, compare=False)

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def from_right(self) -> int:
        """The stream axis counted from the last, as broadcasting counts."""
        return self.rank - self.axis

    def at(self, delay: int) -> Stream:
        """The same stream after a delay line; the frames before 0 are leftovers from then on."""
        return replace(self, delay=delay, head=self.head if delay < 0 else None)

    def one_frame(self) -> tuple[int, ...]:
        return tuple(1 if axis == self.axis else size for axis, size in enumerate(self.shape))


Fact = Known | Static | Stream
