"""Computes the positions and lengths in one call from the number of frames before the call."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Tensor, Variable
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.call_writer import CallWriter

INT64 = np.dtype(np.int64)


class ClockWriter(CallWriter):
    """Writes the clock, and the tensors that are computed from the clock. Each tensor is written only once."""

    @property
    def clock(self) -> Variable:
        """The number of input frames that all earlier calls took, int64 [1]."""
        if "clock" not in self.memo:
            node, self.node = self.node, "clock"
            state = self.state(np.zeros(1, np.int64), "clock", "frames")
            self.keep(state, self.one("Add", state, self.constant([self.chunk]), hint="next"))
            self.memo["clock"] = state
            self.node = node
        found: Variable = self.memo["clock"]
        return found

    @property
    def total(self) -> Variable:
        """The number of real input frames in all calls up to and including this one, int64 [1]."""
        if "total" not in self.memo:
            node, self.node = self.node, "valid_frames"
            self.valid_frames = Variable(self.name("valid_frames"), np.dtype(np.int64), [1])
            state = self.state(np.zeros(1, np.int64), "running_sum", "total")
            total = self.one("Add", state, self.valid_frames, hint="total")
            self.keep(state, total)
            self.memo["total"] = total
            self.node = node
        found: Variable = self.memo["total"]
        return found

    def count_by_clock(self) -> None:
        """Replaces the state that sums the real frames of earlier calls by the clock.

        This is right only if the outputs of calls after the last real frame do not matter.
        """
        if "total" not in self.memo or "clock" not in self.memo:
            return
        (count,) = self.memo["total"].inputs
        state = count.inputs[0]
        count.inputs[0] = self.clock
        port = next(p for p in self.states if p.input == state.name)
        self.states.remove(port)
        del self.ports[port.input], self.next_values[port.output]

    def at_start(self) -> Tensor:
        """Whether this is the first call, bool [1]."""
        return self.remember(("at_start",), lambda: self.one("Equal", self.clock, self.constant([0]), hint="at_start"))

    def before(self, input_frames: int) -> Tensor:
        """Whether earlier calls took fewer than ``input_frames`` input frames, bool [1]."""
        key = ("before", input_frames)
        return self.remember(key, lambda: self.one("Less", self.clock, self.constant([input_frames]), hint="before"))

    def ends_before(self, input_frames: int) -> Tensor:
        """Whether earlier calls and this one take fewer than ``input_frames`` input frames, bool [1]."""

        def make() -> Tensor:
            after = self.one("Add", self.clock, self.constant([self.chunk]), hint="after")
            return self.one("Less", after, self.constant([input_frames]), hint="ends_before")

        return self.remember(("ends_before", input_frames), make)

    @property
    def multiples(self) -> Tensor:
        """The number of smallest chunks (``grid`` input frames) in this call, int64 [1]; the lift defines it."""
        found: Tensor = self.memo["multiples"]
        return found

    def clipped(self, index: Tensor, low: int, high: int, dtype: np.dtype[Any] = INT64) -> Tensor:
        """Indices clamped to the range from ``low`` to ``high``, both included."""
        raised = self.one("Max", index, self.constant(np.asarray([low], dtype)), hint="clipped")
        return self.one("Min", raised, self.constant(np.asarray([high], dtype)), hint="clipped")

    def length_now(self, length: Length) -> Tensor:
        """The value of ``length`` for the real input frames so far, int64 [1]."""

        def make() -> Tensor:
            value: Tensor = self.total
            for mul, add, div in length.steps:
                if mul != 1:
                    value = self.one("Mul", value, self.constant([mul]), hint="length")
                if add != 0:
                    value = self.one("Add", value, self.constant([add]), hint="length")
                if div != 1:
                    value = self.one("Div", value, self.constant([div]), hint="length")
                if add < 0:
                    negative = self.one("Less", value, self.constant([0]), hint="length")
                    value = self.one("Where", negative, self.constant([0]), value, hint="length")
            return value

        return self.remember(("length", length), make)

    def first_index(self, stream: Stream) -> Tensor:
        """The offline index of the chunk's first frame, int64 [1]; below 0 in the warm-up."""

        def make() -> Tensor:
            value: Tensor = self.clock
            if stream.rate.numerator != 1:
                value = self.one("Mul", value, self.constant([stream.rate.numerator]), hint="index")
            if stream.rate.denominator != 1:
                value = self.one("Div", value, self.constant([stream.rate.denominator]), hint="index")
            if stream.delay:
                value = self.one("Sub", value, self.constant([stream.delay]), hint="index")
            return value

        return self.remember(("index", stream.rate, stream.delay), make)

    def frame_index(self, stream: Stream) -> Tensor:
        """The offline index of every frame of the chunk, int64 [c]; below 0 in the warm-up."""
        steps = self.constant(np.arange(self.frames(stream), dtype=np.int64), "frame_steps")
        key = ("frame_index", stream.rate, stream.delay)
        return self.remember(key, lambda: self.one("Add", self.first_index(stream), steps, hint="frame_index"))
