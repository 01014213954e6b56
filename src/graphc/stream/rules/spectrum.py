"""Fourier transforms: a short-time one slides a window along time, a plain one works along another axis."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_time_axis
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.window import Window, window_over


@stream_rule("STFT")
def stft(node: Node, facts: Facts) -> Lowering:
    """The signal is [batch, time] or [batch, time, 1 or 2], the result [batch, frames, bins, 2]; no padding."""
    x = facts.only_stream()
    if x.axis != 1:
        facts.refuse("its signal has time on an axis other than 1", "transpose time to axis 1")
    step = facts.array(1, "its frame step")
    length = facts.array(3, "its frame length")
    window_shape = facts.input_shapes[2][0] if isinstance(facts[2], TimeConstant) else ()
    extent = int(length.ravel()[0]) if length is not None else window_shape[0]
    assert step is not None
    stride = int(step.ravel()[0])
    window = Window(extent, stride, 0, 0, (1, stride - extent, stride))
    w = window_over(facts, x, window, settled=window.delay(x.delay) < 0)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return b.copy(node, [w.chunk(b, inputs[0], "conv_context"), *inputs[1:]])

    return Lowering((facts.out(w.x, 1, delay=w.delay, length=w.length),), emit)


@stream_rule("DFT")
def dft(node: Node, facts: Facts) -> Lowering:
    """Works along ``axis``: before opset 20 an attribute (default 1), from then on an input (default: last but one)."""
    x = facts.only_stream()
    if facts.opset >= 20:
        value = facts.array(2, "its axis")
        axis = -2 if value is None else int(value.ravel()[0])
    else:
        axis = int(node.attrs.get("axis", 1))
    refuse_time_axis(facts, x, [normalised(axis, x.rank)], "takes a Fourier transform")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)
