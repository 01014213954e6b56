"""Convolutions: on a spatial time axis, a window slides, and the padding is the initial value of its cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_moving
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.conv_window import spatial_window, without_padding
from graphc.stream.time.frames_as_batch import each_alone
from graphc.stream.time.window import window_over, windowed_fact


@stream_rule("Conv", "com.microsoft::FusedConv")
def conv(node: Node, facts: Facts) -> Lowering:
    return convolution(node, facts, data=0, weight=1, fill=0.0)


@stream_rule("ConvInteger")
def conv_integer(node: Node, facts: Facts) -> Lowering:
    """Padding holds the input's zero point."""
    if isinstance(facts[2], Stream):
        facts.refuse("its zero point comes from the stream", "quantize with a fixed scale and zero point")
    return convolution(node, facts, data=0, weight=1, fill=zero_point(facts, 2))


@stream_rule("QLinearConv")
def qlinear_conv(node: Node, facts: Facts) -> Lowering:
    """Padding holds the input's zero point."""
    return convolution(node, facts, data=0, weight=3, fill=zero_point(facts, 2))


def zero_point(facts: Facts, index: int) -> Array | float:
    value = facts.array(index, "its zero point")
    if value is None:
        return 0.0
    if value.size != 1:
        facts.refuse("has a zero point for each channel of its input", "quantize the input with one zero point")
    return np.asarray(value.reshape(())[()])


def convolution(node: Node, facts: Facts, data: int, weight: int, fill: float | Array) -> Lowering:
    x = facts.only_stream(data)
    for fact in facts.inputs:
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
    kernel = facts.input_shapes[weight][0][2:]
    if x.axis == 0:
        return each_alone(node, facts, x)
    window, axis = spatial_window(node, facts, x, kernel, fill)
    w = window_over(facts, x, window)
    attrs = without_padding(node, facts, axis, len(kernel))

    def core(b: Builder, chunk: Tensor, inputs: Sequence[Tensor | None] = ()) -> Sequence[Tensor | None]:
        given = list(inputs) or [constant_input(b, facts, i) for i in range(len(facts))]
        given[data] = chunk
        return b.copy(node, given, attrs)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        tensor = inputs[data]
        assert tensor is not None
        return core(b, w.chunk(b, tensor, "conv_context"), inputs)

    return Lowering((windowed_fact(facts, w, x.axis, core),), emit)


def constant_input(b: Builder, facts: Facts, index: int) -> Tensor | None:
    fact = facts[index]
    return b.constant(fact.steady) if isinstance(fact, TimeConstant) and fact.steady is not None else None
