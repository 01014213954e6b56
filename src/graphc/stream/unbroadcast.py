"""The form of ops whose operands do not broadcast: each has every frame of one stream, on one axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.graph import Node, Tensor
from graphc.stream.facts import Array, Known, Static
from graphc.stream.ports import Builder
from graphc.stream.rule import Facts, StreamStep, cut_to_chunk, refuse_moving, same_length


def unbroadcast(node: Node, facts: Facts) -> StreamStep:
    """Output frames made of the operands' frames at their own place; what is known has to be steady, or periodic."""
    x = same_length(facts)
    if any(stream.axis != x.axis for _, stream in facts.streams()):
        facts.refuse("joins streams whose time lies on different axes")
    cuts: dict[int, Array] = {}
    for index, fact in enumerate(facts.inputs):
        if isinstance(fact, Static):
            refuse_moving(facts, fact)
            facts.refuse(f"its input {index} has a value for each frame but does not come from the stream")
        if isinstance(fact, Known):
            sizes = [shape[x.axis] for shape in facts.input_shapes[index]]
            if sizes != [x.length(n) for n in facts.lengths]:
                facts.refuse(f"its input {index} has another length than the stream it meets")
            value, varies = cut_to_chunk(facts, index, x)
            if varies and x.delay < 0:
                x = x.at(0)
                value, varies = cut_to_chunk(facts, index, x)
            frames = facts.frames(x)
            cuts[index] = value if value.shape[x.axis] == frames else np.repeat(value, frames, axis=x.axis)
    out = facts.out(x, x.axis)
    streams = facts.streams()

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        given = list(inputs)
        for index, stream in streams:
            tensor = given[index]
            assert tensor is not None
            given[index] = b.delayed(tensor, stream, x.delay)
        for index, value in cuts.items():
            given[index] = b.constant(value, f"{node.inputs[index].name}/chunk")
        return b.copy(node, given)

    return StreamStep((out,), emit, local=True)
