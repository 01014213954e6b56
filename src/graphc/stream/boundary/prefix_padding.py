"""Pads the start of a stream whose frame 0 may arrive in the middle of a call."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.builder import Builder


class Front:
    """A stream delayed by ``before`` frames, so that the call in which frame 0 arrives can write frames before it.

    Args:
        past: the state with the frames that wait for the next call.
        before: the number of frames that wait.
    """

    def __init__(self, b: Builder, chunk: Tensor, x: Stream, past: Tensor, before: int):
        self.b, self.x, self.past, self.before = b, x, past, before
        self.both: Tensor = b.one("Concat", past, chunk, axis=x.axis, hint="with_past")
        self.steps = np.arange(-before, b.frames(x), dtype=np.int64)

    @cached_property
    def index(self) -> Tensor:
        """The offline index of every frame of the past and the chunk, int64 [before + c]."""
        steps = self.b.constant(self.steps, "frame_steps")
        return self.b.one("Add", self.b.first_index(self.x), steps, hint="frame_index")

    @property
    def place_of_first(self) -> Tensor:
        """The index of frame 0 in the past and the chunk, int64 [1]; clamped to a valid index if it is not there."""
        b = self.b
        place = b.one("Sub", b.constant([self.before]), b.first_index(self.x), hint="first_place")
        return b.clipped(place, 0, self.before + b.frames(self.x) - 1)

    def filled(self, frames: Tensor) -> Tensor:
        """The delayed chunk. In the call in which frame 0 arrives, ``frames`` replace all frames before it."""
        b, x = self.b, self.x
        first = b.first_index(x)
        started = b.one("Less", first, b.constant([1]), hint="started")
        here = b.one("Less", b.constant([-b.frames(x)]), first, hint="here")
        arrives = b.one("And", started, here, hint="arrives")
        trailing = b.constant([-1] + [1] * (x.from_right - 1))
        earlier = b.one("Reshape", b.one("Less", self.index, b.constant([0]), hint="earlier"), trailing, hint="earlier")
        fills = b.one("And", arrives, earlier, hint="fills")
        return self.kept(b.choice(fills, frames, self.both, x.dtype, "filled"))

    def kept(self, both: Tensor) -> Tensor:
        """The delayed chunk: the first frames of ``both``. The other frames wait for the next call."""
        b, x = self.b, self.x
        frames = b.frames(x)
        b.keep(self.past, b.slice(both, x.axis, frames, self.before + frames, hint="next_past"))
        return b.slice(both, x.axis, 0, frames, hint="behind_front")
