"""Constants whose frames are all equal, as streams. What a graph computes from them may differ near both ends."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from graphc.ir.graph import Tensor
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.constant_operands import same_everywhere
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.positions.ramps import stream_fact


def uniform_of(known: TimeConstant, facts: Iterable[Fact], lengths: Sequence[int]) -> Stream | None:
    """A constant as a stream with the length of one of the streams so far; None if its frames differ or no length fits.

    Args:
        facts: the facts of the tensors so far.
    """
    shapes = [v.shape for v in known.values]
    varying = [a for a in range(len(shapes[0])) if len({s[a] for s in shapes}) > 1]
    if len(varying) != 1 or any(not v.size for v in known.values):
        return None
    (axis,) = varying
    frame = known.values[0].take([0], axis=axis)
    if not all(same_everywhere(v, axis, frame) for v in known.values):
        return None
    for fact in facts:
        if isinstance(fact, Stream) and all(fact.length(n) == s[axis] for n, s in zip(lengths, shapes, strict=True)):
            return replace(stream_fact(known, fact, axis), delay=0, tail=frame)
    return None


def uniform_step(fact: Stream) -> Lowering:
    frame = fact.tail
    assert frame is not None

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> list[Tensor]:
        shape = [b.frames(fact) if a == fact.axis else s for a, s in enumerate(fact.shape)]
        return [b.one("Expand", b.constant(frame), b.constant(shape), hint="uniform")]

    return Lowering((fact,), emit)
