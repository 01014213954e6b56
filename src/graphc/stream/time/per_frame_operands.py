"""The lowering of ops whose operands do not broadcast over time: each operand has all frames of the stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.constant_operands import cut_to_chunk
from graphc.stream.lowering.frame_by_frame import brought_to, same_length
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_foreign_frames, refuse_moving, refuse_other_length

Make = Callable[[Builder, Sequence[Tensor | None]], Sequence[Tensor | None]]


def per_frame_operands(
    facts: Facts, axes: Mapping[int, int], axis: int, make: Make, must_match: bool = False
) -> Lowering:
    """The lowering of a node that computes each output frame from the same frame of every operand.

    Time-only operands must be steady or periodic.

    Args:
        axes: the time axis of each operand that has frames, by input index.
        axis: the time axis of the output.
        make: builds the nodes of one call from operands that each have the frames of the chunk.
        must_match: whether the op fails on operands of different lengths. False for GatherElements and
            ScatterElements, which also accept fewer indices than frames.
    """
    x = same_length(facts, must_match)
    if any(stream.axis != axes.get(index) for index, stream in facts.streams()):
        facts.refuse(
            "combines streams that have time on different axes", "transpose them so that time is on the same axis"
        )
    laid = {index: lying_on(facts, x, index, along) for index, along in axes.items()}
    known = [index for index in axes if isinstance(facts[index], TimeConstant)]
    cuts = {index: cut_to_chunk(facts, index, laid[index]) for index in known}
    if any(varies for _, varies in cuts.values()) and x.delay < 0:
        x = x.at(0)
        cuts = {index: cut_to_chunk(facts, index, laid[index].at(0)) for index in known}
    frames = facts.frames(x)
    wholes = {index: repeated(value, frames, axes[index]) for index, (value, _) in cuts.items()}
    out = facts.out(x, axis)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        given = brought_to(b, facts, inputs, x.delay)
        for index, value in wholes.items():
            given[index] = b.constant(value, f"{facts.node.inputs[index].name}/chunk")
        return make(b, given)

    return Lowering((out,), emit, local=True)


def lying_on(facts: Facts, x: Stream, index: int, axis: int) -> Stream:
    """The stream ``x`` with the time axis ``axis`` and the shape of the operand ``index``.

    Refuses an operand of data without time, an operand with another number of frames than ``x``, and an operand with a
    second axis that depends on the length.
    """
    fact, shapes = facts[index], facts.input_shapes[index]
    if isinstance(fact, Untimed):
        refuse_moving(facts, fact)
        refuse_foreign_frames(facts, index)
    if [shape[axis] for shape in shapes] != [x.length(n) for n in facts.lengths]:
        refuse_other_length(facts, index)
    if len({(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}) > 1:
        facts.refuse(
            f"its input {index} has time on axis {axis}, but another axis also depends on the length of the stream",
            "export that other axis with a fixed size",
        )
    return replace(x, axis=axis, shape=tuple(-1 if a == axis else size for a, size in enumerate(shapes[0])))


def repeated(value: Array, frames: int, axis: int) -> Array:
    return value if value.shape[axis] == frames else np.repeat(value, frames, axis=axis)
