"""What is known of a tensor when its model is looked at as a stream."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.contract.length import Length

Array = NDArray[Any]
Shapes = Mapping[str, tuple[tuple[int, ...], ...]]

SMALLEST_SHARED = 2**14


class Edge(Enum):
    """The head of a stream padded by its own first frame."""

    FIRST_FRAME = "first frame"


Head = Array | Edge | None


@dataclass(frozen=True)
class TimeConstant:
    """A tensor that does not depend on the data: its values, one for each length the graph was evaluated at.

    Args:
        name: of the tensor in the graph; empty where a rule made the values.
    """

    values: tuple[Array, ...]
    name: str = ""

    @cached_property
    def steady(self) -> Array | None:
        """The one value at every length, or None."""
        first = self.values[0]
        same = all(
            v.shape == first.shape and np.array_equal(v, first, equal_nan=v.dtype.kind in "fc") for v in self.values
        )
        return first if same else None

    @cached_property
    def digest(self) -> bytes:
        """Tells values apart."""
        found = hashlib.blake2b(digest_size=16)
        for value in self.values:
            found.update(f"{value.dtype}{value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        return found.digest()


class GraphConstant(TimeConstant):
    """A constant of the graph, loaded only when a rule looks at its value."""

    load: Callable[[], Array]
    count: int

    def __init__(self, load: Callable[[], Array], count: int):
        object.__setattr__(self, "name", "")
        object.__setattr__(self, "load", load)
        object.__setattr__(self, "count", count)

    @cached_property
    def values(self) -> tuple[Array, ...]:
        return (self.load(),) * self.count

    @property
    def steady(self) -> Array:
        return self.values[0]


class UntimedOrigin(Enum):
    """Where a tensor without time comes from."""

    INPUT = "static input"
    GIVEN = "given state"
    FINAL = "final state"


@dataclass(frozen=True)
class Untimed:
    """A tensor of data without a time axis: one value for the whole stream, or a state as it is now."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    origin: UntimedOrigin = UntimedOrigin.INPUT


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


@dataclass(frozen=True)
class Span:
    """The frames of one time that a call works on: ``[n*c - offset, (n+1)*c - offset + extra)``.

    Args:
        offset: frames by which the first one lags the first frame of the chunk.
        extra: frames more (or, negative, fewer) than the chunk has.
        ends: whether frames past the end may be among those that a kept frame reads.
    """

    offset: int
    extra: int = 0
    ends: bool = False


@dataclass(frozen=True)
class MaskFacts:
    """What is known of the entries of a score matrix, as [first time or 1, second time or 1] for each length.

    Args:
        upper: the most that masks have added to an entry so far, over all other axes; 0 where none did.
        zero: entries that are exactly zero whatever the data is.
        displaced: entries that hold another entry's value, as a skewed table has in the corner that a mask covers.
        one: entries that are exactly one (or true) whatever the data is.
        in_softmax: entries that a softmax has counted, so that they are needed even if a later mask makes them zero.
        lower: the least that masks have added to an entry, masks out of data left aside.
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
        """The same, equal arrays held once: the layers of a model mask alike."""
        return MaskFacts(*(tuple(held_once(v, held) for v in part) for part in self.parts))

    @property
    def unseen(self) -> tuple[Array, ...]:
        """Entries that do nothing to the result."""
        return tuple(z & ~c for z, c in zip(self.zero, self.in_softmax, strict=True))


def held_once(value: Array, held: dict[Any, Any]) -> Array:
    """A large array, or the equal one that is held already."""
    if value.size < SMALLEST_SHARED:
        return value
    digest = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).digest()
    found: Array = held.setdefault(("held", value.shape, value.dtype.str, digest), value)
    return found


@dataclass(frozen=True)
class SoftmaxSite:
    """Where scores become weights: what a softmax reads and gives, and the axes of queries and keys from the right."""

    scores: str
    weights: str
    query: int
    key: int
    dtype: np.dtype[np.generic]


Law = Callable[[int, int], None]


@dataclass(frozen=True)
class ScoreMatrix:
    """A tensor over two times, as attention has between queries and keys.

    It is built where it is used, for the frames of either time that are asked for:

        build(b, spans)[i, j] == offline[n * c - spans[0].offset + i, n * c - spans[1].offset + j]

    where those frames exist.

    Args:
        axes: the two time axes, in order.
        times: for each axis a stream of the same rate and length; its delay is when the frames have arrived.
        shape: the offline shape, with -1 for time.
        settled: frames that do not exist hold zeros on the axis that was normalised.
        normalised: the times (0, 1) along which it was; every sum has to go along these.
        sites: where scores became weights on the way here.
        laws: what has to be true of tables that made its masks, for a period and a distance beyond which they do not
            change any more: each claims it.
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


@dataclass(frozen=True)
class EntrySource:
    """Where the entries of a moved tensor come from: a tensor over one time and a table of places.

    Args:
        time: the stream of its time.
        axis: its time axis.
        wide: the axis of the table; None where any other axis may be it.
        shapes: the offline shape at each length.
        columns: builds for a span of frames the columns that are asked for (as found at the longest length; None: any),
            or of those the ones whose places a tensor gives: the source's shape with these on the wide axis.
        table: the values of the table at a length, as [columns, ...], or [time, columns, ...] where each frame has its
            own; None where the graph makes the columns.
        made: the tensor that has the entries where the source has them.
        places: which input of its node is the table, and the axes of columns and of time there (None without).
    """

    time: Stream
    axis: int
    wide: int | None
    shapes: tuple[tuple[int, ...], ...]
    columns: Callable[[Any, Span, int, Sequence[Any], Any], Any] = field(compare=False)
    table: Callable[[int], Array] | None = field(compare=False, default=None)
    made: str = ""
    places: tuple[int, int, int | None] | None = None


@dataclass(frozen=True)
class IndexMap:
    """Entries of a source in other places, on their way to a score matrix.

    Args:
        maps: for each length the flat index in the source of every entry; -1 for padding.
        refusal: why the tensor cannot be a stream, where it turns out to be no score matrix.
    """

    source: EntrySource
    maps: tuple[Array, ...] = field(compare=False)
    dtype: np.dtype[np.generic]
    refusal: Exception | None = field(compare=False, default=None)


Fact = TimeConstant | Untimed | Stream | ScoreMatrix | IndexMap
