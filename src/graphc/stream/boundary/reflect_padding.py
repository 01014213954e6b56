"""Lowers padding with a stream's own frames, reflected or repeated before the first frame and after the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Tensor
from graphc.stream.facts.stream import Edge, Stream
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.call_writer import frames_in_chunk
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts

Mode = Literal["reflect", "edge"]


def mirrored(facts: Facts, source: Stream, mode: Mode, before: int, after: int, length: Length) -> Lowering:
    """The lowering of a stream padded with ``before`` frames at its start and up to ``after`` frames at its end.

    Frame i of the padded stream is counted from frame 0 of the source, which has T frames. For i < 0, it equals frame
    ``-i`` if frames are reflected, and frame 0 if the first frame is repeated. For i > T - 1, it equals frame
    ``2 * (T - 1) - i`` if frames are reflected, and frame T - 1 if the last frame is repeated. Frames reflected at the
    start wait until the call in which the last frame that they copy arrives. Repeated first frames are left to the
    ops that read them, if the first call has frame 0.

    Args:
        length: the length of the padded stream.
    """
    x = source.at(max(source.delay, 0))
    if after:
        x = x.at(max(x.delay, x.length.lag(facts.grid)))
    if mode == "edge" and before and x.delay == 0 and x.is_choosable:
        rest = replace(facts, output_shapes=(facts.shapes_with(source, length.then(1, -before, 1)),))
        behind = mirrored(rest, source, mode, 0, after, length.then(1, -before, 1))
        out = facts.out(x, x.axis, delay=-before, length=length)
        return Lowering((replace(out, head=Edge.FIRST_FRAME),), behind.emit)
    c = frames_in_chunk(facts.grid, x)
    needed = x.delay + (before if mode == "reflect" else 0)
    delay = max(x.delay, needed // c * c)
    steps = 2 if mode == "reflect" else 1
    past = delay + before - x.delay
    spare = steps * after
    out = facts.out(replace(x, tail=None), x.axis, delay=delay, length=length)
    late = x.at(delay + before)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], source, x.delay)
        both = b.cached(chunk, x, past + spare, 0.0, "delay_line")
        frames = b.frames(x)
        index = b.frame_index(late)
        zero = b.constant([0])
        place: Tensor = b.constant(np.arange(spare, spare + frames), "places")
        if before:
            early = b.one("Min", index, zero, hint="early")
            place = b.one("Sub", place, scaled(b, early, steps), hint="in_front")
        if after:
            last = b.one("Sub", b.length_now(x.length), b.constant([1]), hint="last_frame")
            over = b.one("Max", b.one("Sub", index, last, hint="over"), zero, hint="over")
            place = b.one("Sub", place, scaled(b, over, steps), hint="behind")
        held = b.clipped(place, 0, past + spare + frames - 1)
        return [b.one("Gather", both, held, axis=x.axis, hint=mode)]

    return Lowering((out,), emit)


def scaled(b: Builder, index: Tensor, factor: int) -> Tensor:
    return index if factor == 1 else b.one("Mul", index, b.constant([factor]), hint="twice")
