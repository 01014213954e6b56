"""Data tensors with one time axis or none."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from fractions import Fraction

import numpy as np

from graphc.contract.length import Length
from graphc.stream.facts.time_constant import Array


class Edge(Enum):
    """The head of a stream that is padded with copies of its own first frame."""

    FIRST_FRAME = "first frame"


Head = Array | Edge | None
NOT_CHOSEN = ("bool", "int16", "uint16")


class UntimedOrigin(Enum):
    """Where a tensor without a time axis comes from."""

    INPUT = "static input"
    FIRST = "first frame"
    GIVEN = "given state"
    FINAL = "final state"


@dataclass(frozen=True)
class Untimed:
    """A data tensor without a time axis: one value for the whole stream, or the value of a state in this call."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    origin: UntimedOrigin = UntimedOrigin.INPUT


@dataclass(frozen=True)
class Stream:
    """A data tensor with one time axis.

    A chunk of C input frames gives ``c = C * rate`` frames of this tensor. The invariant:

        chunked[n][i] == offline[n * c - delay + i]    where 0 <= n * c - delay + i < length(T)

    Frames outside that range have arbitrary values (leftovers), with two exceptions. If ``delay < 0``, the frames
    [0, -delay) are in no chunk, and all equal ``head``. If ``tail`` is not None, every frame from ``length(T)`` on
    equals ``tail``.

    Args:
        axis: the time axis.
        rate: frames of this tensor per input frame.
        delay: frames by which the chunked tensor lags behind the offline one.
        length: frames of the offline tensor for T input frames.
        shape: the offline shape, with -1 for time.
        head: the value of every frame before the first one in a chunk (as one frame), or ``Edge.FIRST_FRAME``.
        tail: the value of every frame after the last one (as one frame).
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
    def is_choosable(self) -> bool:
        """Whether onnxruntime's Where takes its type."""
        return self.dtype.name not in NOT_CHOSEN

    @property
    def from_right(self) -> int:
        """The time axis, counted from the right as in broadcasting; 1 is the last axis."""
        return self.rank - self.axis

    def at(self, delay: int) -> Stream:
        """The same stream with another delay. If the delay is not negative, frames before frame 0 are leftovers."""
        return replace(self, delay=delay, head=self.head if delay < 0 else None)

    def one_frame(self) -> tuple[int, ...]:
        return tuple(1 if axis == self.axis else size for axis, size in enumerate(self.shape))


@dataclass(frozen=True)
class Span:
    """The frames of one time axis that call n reads: ``[n*c - offset, (n+1)*c - offset + extra)``.

    A chunk has c frames.

    Args:
        offset: the number of frames by which the span starts before the chunk.
        extra: the number of frames that the span has more than the chunk; negative if it has fewer.
        ends: whether frames of the span past the end of the stream may matter, so that a mask must hide them.
    """

    offset: int
    extra: int = 0
    ends: bool = False
