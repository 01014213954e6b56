"""Frames in front of a stream whose own frame 0 arrives in the middle of a call."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.builder import Builder


class Front:
    """A stream that waits ``before`` places, so that what stands before frame 0 can be filled in when that arrives.

    Args:
        past: the state that holds the frames that wait.
        before: their number.
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
        """Where frame 0 stands among the past and the chunk, int64 [1]; within them where it does not."""
        b = self.b
        place = b.one("Sub", b.constant([self.before]), b.first_index(self.x), hint="first_place")
        return b.clipped(place, 0, self.before + b.frames(self.x) - 1)

    def filled(self, frames: Tensor) -> Tensor:
        """The chunk, late, with these frames before frame 0 once that arrives."""
        b, x = self.b, self.x
        first = b.first_index(x)
        started = b.one("Less", first, b.constant([1]), hint="started")
        here = b.one("Less", b.constant([-b.frames(x)]), first, hint="here")
        arrives = b.one("And", started, here, hint="arrives")
        trailing = b.constant([-1] + [1] * (x.from_right - 1))
        earlier = b.one("Reshape", b.one("Less", self.index, b.constant([0]), hint="earlier"), trailing, hint="earlier")
        fills = b.one("And", arrives, earlier, hint="fills")
        return self.kept(b.one("Where", fills, frames, self.both, hint="filled"))

    def kept(self, both: Tensor) -> Tensor:
        """The chunk, late; the rest waits for the next call."""
        b, x = self.b, self.x
        frames = b.frames(x)
        b.keep(self.past, b.slice(both, x.axis, frames, self.before + frames, hint="next_past"))
        return b.slice(both, x.axis, 0, frames, hint="behind_front")
