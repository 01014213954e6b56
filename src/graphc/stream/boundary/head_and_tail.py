"""Finds the head and tail of an op's outputs: the frames that the op gives before and after a stream.

``lowering/mask_missing_frames.py`` masks such frames within a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.ir.graph import Node, Tensor, label
from graphc.stream.boundary.run_constants import run_constants
from graphc.stream.facts.stream import Edge, Head, Stream, Untimed
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc_runtime.errors import StreamError


def with_surroundings(node: Node, facts: Facts, step: Lowering) -> Lowering:
    """The lowering with heads and tails added to its outputs, if those of its stream inputs are known.

    A local op computes equal output frames from equal input frames, so one run on constants gives each head and tail.
    """
    streams = [stream for _, stream in facts.streams()]
    heads, tails = [s.head for s in streams], [s.tail for s in streams]
    outputs = list(step.facts)
    before = any(isinstance(f, Stream) and f.delay < 0 for f in outputs)
    if before and all(isinstance(h, Edge) for h in heads):
        outputs = [replace(f, head=Edge.FIRST_FRAME) if isinstance(f, Stream) else f for f in outputs]
    elif before:
        outputs = [
            replace(f, head=frame) if isinstance(f, Stream) and f.delay < 0 else f
            for f, frame in zip(outputs, lowered_boundary(node, facts, step, heads), strict=True)
        ]
    if all(t is not None for t in tails) and not any(isinstance(f, Untimed) for f in facts.inputs):
        outputs = [
            replace(f, tail=frame) if isinstance(f, Stream) else f
            for f, frame in zip(outputs, lowered_boundary(node, facts, step, tails), strict=True)
        ]
    return replace(step, facts=tuple(outputs))


def check_heads(node: Node, step: Lowering) -> None:
    """Checks that the first frames of an output are known if no call carries them.

    Errors:
        StreamError: they are not known.
    """
    if any(isinstance(f, Stream) and f.delay < 0 and f.head is None for f in step.facts):
        raise StreamError(
            "may make the frames that were padded in front of the stream differ from each other",
            node=label(node),
            hint="pad after this node, and with a constant",
        )


class ConstantBuilder(Builder):
    """Builds nodes over chunks in which all frames are equal, so that a delay changes nothing."""

    def delayed(self, x: Tensor, stream: Stream, delay: int) -> Tensor:
        return x


def lowered_boundary(node: Node, facts: Facts, step: Lowering, frames: Sequence[Head]) -> list[Array | None]:
    """For each output, its frame if every frame of each stream input equals a given frame.

    None for an output whose frames then differ or are not known.

    Args:
        frames: one frame for each stream input.
    """
    if any(not isinstance(frame, np.ndarray) for frame in frames):
        return [None] * len(step.facts)
    builder = ConstantBuilder(facts.chunk, set())
    waiting = iter(frames)
    inputs: list[Tensor | None] = []
    for fact in facts.inputs:
        if isinstance(fact, Stream):
            count = builder.frames(fact)
            frame = next(waiting)
            assert isinstance(frame, np.ndarray)
            inputs.append(builder.constant(np.repeat(frame, count, axis=fact.axis)))
        elif isinstance(fact, TimeConstant) and fact.steady is not None:
            inputs.append(builder.constant(fact.steady))
        elif isinstance(fact, Untimed):
            return [None] * len(step.facts)
        else:
            inputs.append(None)
    results = step.emit(builder, inputs)
    if builder.states:
        return [None] * len(step.facts)
    values = run_constants(builder.nodes, [t for t in results if t is not None and t.name], facts)
    found: list[Array | None] = []
    for fact, result in zip(step.facts, results, strict=False):
        frame = None
        if isinstance(fact, Stream) and result is not None and result.name in values:
            value = values[result.name]
            first = value.take([0], axis=fact.axis)
            if np.array_equal(value, np.broadcast_to(first, value.shape)):
                frame = first
        found.append(frame)
    return found
