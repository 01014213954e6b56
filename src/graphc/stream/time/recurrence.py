"""What all recurrences share: a carried value that stays at its first value until frame 0 arrives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream, Untimed, UntimedOrigin
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import INT64_MAX, Builder
from graphc.stream.lowering.node_facts import Facts
from graphc_runtime.contract.manifest import StateKind


@dataclass(frozen=True)
class Carry:
    """One carried value of a recurrence.

    Args:
        first: the fact of the value before frame 0; None for zeros.
        kind: the kind of the state port.
        shape: the shape of the state port.
        delay: the delay of the recurrence's input, in frames of the stream input, rounded down.
    """

    first: Fact | None
    kind: StateKind
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    delay: int

    @property
    def given(self) -> bool:
        return isinstance(self.first, Untimed) and self.first.origin is UntimedOrigin.GIVEN

    @property
    def final(self) -> Untimed:
        """The fact of the value after the last frame: a given state if the first value is one, else a final state."""
        return Untimed(self.shape, self.dtype, UntimedOrigin.GIVEN if self.given else UntimedOrigin.FINAL)

    def previous(self, b: Builder, first: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The value that this call starts from, and the state port that holds it (None for a given state)."""
        if self.given:
            assert first is not None
            return first, None
        if isinstance(self.first, Untimed):
            port = b.state(np.zeros(self.shape, self.dtype), self.kind)
            return b.one("Where", b.before(self.delay + 1), first, port, hint="previous"), port
        init = np.zeros(self.shape, self.dtype)
        if isinstance(self.first, TimeConstant) and self.first.steady is not None:
            init = np.broadcast_to(self.first.steady, self.shape).astype(self.dtype)
        port = b.state(np.array(init), self.kind)
        if self.delay == 0:
            return port, port
        return b.one("Where", b.before(self.delay + 1), b.constant(init, "first"), port, hint="previous"), port

    def next(self, b: Builder, port: Tensor | None, first: Tensor | None, value: Tensor) -> Tensor:
        """Stores ``value`` in the state port for the next call, and returns the carried value after this call.

        A given state has no port here; until frame 0 arrives, ``first`` is returned for it.
        """
        if port is not None:
            b.keep(port, value)
        elif self.delay > 0:
            return b.one("Where", b.ends_before(self.delay + 1), first, value, hint="held")
        return value


def aligned(facts: Facts, x: Stream) -> tuple[Stream, int]:
    """The stream, delayed to a whole number of chunks, and that delay in frames of the stream input.

    If calls differ in size, the delay stays as it is, and ``Warmup`` skips the frames before frame 0.
    """
    if facts.settings.grid is not None:
        x = x.at(max(x.delay, 0))
        return x, math.floor(x.delay / x.rate)
    frames = facts.frames(x)
    delay = math.ceil(max(x.delay, 0) / frames) * frames
    return x.at(delay), delay // frames * facts.chunk


class Warmup:
    """Leaves out the frames of a call that come before frame 0, so that a recurrence does not run over them.

    At least one frame stays, since a recurrence op needs an input frame. If frame 0 comes after the call, the next call
    starts from the first value again (``Carry.previous``).
    """

    def __init__(self, b: Builder, x: Stream):
        self.b = b
        self.needed = b.grid is not None and x.delay > 0
        if self.needed:
            self.skipped = b.clipped(b.one("Neg", b.first_index(x), hint="early"), 0, b.frames(x) - 1)

    def without(self, x: Tensor, axis: int) -> Tensor:
        """The frames of ``x`` in this call, from frame 0 on."""
        if not self.needed:
            return x
        b = self.b
        return b.one("Slice", x, self.skipped, b.constant([INT64_MAX]), b.constant([axis]), hint="from_first")

    def refilled(self, x: Tensor, out: Stream) -> Tensor:
        """The output with a frame of zeros at the start for each frame that was left out."""
        if not self.needed:
            return x
        b = self.b
        shape = [b.frames(out) if a == out.axis else s for a, s in enumerate(out.shape)]
        begin, axis = b.constant([0]), b.constant([out.axis])
        front = b.one("Slice", b.constant(np.zeros(shape, out.dtype)), begin, self.skipped, axis, hint="left_out")
        return b.one("Concat", front, x, axis=out.axis, hint="refilled")


def check_first(facts: Facts, index: int) -> Fact | None:
    """The fact of a recurrence's first value, the input ``index``.

    Refuses a stream, a value that changes with the length, and the final state of another recurrence.
    """
    fact = facts[index]
    if isinstance(fact, Stream):
        facts.refuse("its initial state comes from the stream", "start it from a constant")
    if isinstance(fact, TimeConstant):
        facts.array(index, "its initial state")
    if isinstance(fact, Untimed) and fact.origin is UntimedOrigin.FINAL:
        facts.refuse(
            "starts from the state of another recurrence after its last frame, which a stream never reaches",
            "start it from a constant, or set stream.window to stream over the last N frames",
        )
    return fact
