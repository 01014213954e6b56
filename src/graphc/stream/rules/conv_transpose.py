"""Transposed convolution: each input frame adds to several output frames; sums past the chunk's end are carried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.ir.graph import Node, Tensor, with_attrs
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import INT64_MAX, Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_moving
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.frames_as_batch import each_alone


@stream_rule("ConvTranspose")
def conv_transpose(node: Node, facts: Facts) -> Lowering:
    """Overlap-add: the output's delay is delay * stride + frames cropped at the start. The bias is added once.

    Zeros padded before a stream add nothing, so the stream is not delayed for them.
    """
    x = facts.only_stream()
    spatial = x.axis - 2
    weight, bias = facts[1], facts[2]
    for fact in (weight, bias):
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
    if x.axis == 0:
        return each_alone(node, facts, x)
    if spatial < 0:
        facts.refuse("the stream's time axis is its channel axis", "transpose time to a spatial axis")
    if bias is not None and not isinstance(bias, TimeConstant):
        facts.refuse("its bias depends on data", "export it as a constant")
    kernel = facts.input_shapes[1][0][2:]
    count = len(kernel)
    stride = int(node.attrs.get("strides", [1] * count)[spatial])
    dilation = int(node.attrs.get("dilations", [1] * count)[spatial])
    extent = (int(kernel[spatial]) - 1) * dilation + 1
    extra = int(node.attrs.get("output_padding", [0] * count)[spatial])
    before, after = cropping(node, facts, spatial, count, stride, extent, extra, x.axis)
    if x.delay < 0 and not is_zero(x.head):
        x = x.at(0)
    overlap = max(extent - stride, 0)
    reaches_back = overlap > 0 and x.delay > 0
    reaches_past = extent - stride + extra - after > 0 and not is_zero(x.tail)
    if reaches_past:
        x = x.at(max(x.delay, x.length.lag(facts.grid)))
        reaches_back = x.delay > 0
    length = x.length.then(stride, extent - stride - before - after + extra, 1)
    delay = x.delay * stride + before
    out = facts.out(x, x.axis, delay=delay, length=length)
    if delay < 0:
        out = replace(out, head=silence_of(out, bias, count))
    source = facts.stream()
    attrs = uncropped(node, facts, spatial, count)
    frames = facts.frames(x) * stride
    full = stride - extent

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], source, x.delay)
        chunk = b.masked(chunk, x, 0.0, reaches_back, reaches_past)
        spread: Tensor = b.copy(node, [chunk, inputs[1]], attrs)[0]
        if full > 0:
            silence = np.zeros([full if a == x.axis else s for a, s in enumerate(out.shape)], x.dtype)
            spread = b.one("Concat", spread, b.constant(silence, "silence"), axis=x.axis, hint="filled")
        if overlap:
            state = b.state(
                np.zeros([overlap if a == x.axis else s for a, s in enumerate(out.shape)], x.dtype), "overlap_add"
            )
            missing = b.constant(np.zeros([frames if a == x.axis else s for a, s in enumerate(out.shape)], x.dtype))
            carried = b.one("Concat", state, missing, axis=x.axis, hint="carried")
            added = b.one("Add", spread, carried, hint="overlapped")
            b.keep(state, b.slice(added, x.axis, frames, INT64_MAX, hint="next_overlap"))
            spread = b.slice(added, x.axis, 0, frames, hint="done")
        if isinstance(bias, TimeConstant):
            value = bias.steady
            assert value is not None
            spread = b.one("Add", spread, b.constant(value.reshape([-1] + [1] * count), "bias"), hint="biased")
        return [spread]

    return Lowering((out,), emit)


def silence_of(out: Stream, bias: TimeConstant | None, count: int) -> Array:
    """A frame to which no input frame contributes: the bias."""
    silence = np.zeros(out.one_frame(), out.dtype)
    steady = bias.steady if bias is not None else None
    return silence if steady is None else silence + steady.reshape([-1] + [1] * count).astype(out.dtype)


def is_zero(frame: object) -> bool:
    return isinstance(frame, np.ndarray) and not frame.any()


def cropping(
    node: Node, facts: Facts, spatial: int, count: int, stride: int, extent: int, extra: int, axis: int
) -> tuple[int, int]:
    """The numbers of frames cut from the start and the end of the full output; a negative number adds frames."""
    auto = str(node.attrs.get("auto_pad", "NOTSET"))
    pads = [int(p) for p in node.attrs.get("pads", [0] * 2 * count)]
    before, after = pads[spatial], pads[spatial + count]
    if "output_shape" in node.attrs or auto in ("SAME_UPPER", "SAME_LOWER"):
        totals = {
            (old[axis] - 1) * stride + extent + extra - new[axis]
            for old, new in zip(facts.input_shapes[0], facts.output_shapes[0], strict=True)
        }
        if len(totals) != 1:
            facts.refuse(
                "its output_shape crops by an amount that depends on the length of the stream",
                "export with explicit pads",
            )
        total = totals.pop()
        small = total // 2
        before, after = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
    return (0, 0) if auto == "VALID" else (before, after)


def uncropped(node: Node, facts: Facts, spatial: int, count: int) -> dict[str, object]:
    """The node's attributes for the full output on the time axis, without cropping."""
    auto = str(node.attrs.get("auto_pad", "NOTSET"))
    if count > 1 and ("output_shape" in node.attrs or auto in ("SAME_UPPER", "SAME_LOWER")):
        facts.refuse("sets output_shape or auto_pad, which may crop axes other than time", "export with explicit pads")
    pads = [int(p) for p in node.attrs.get("pads", [0] * 2 * count)]
    extra = [int(p) for p in node.attrs.get("output_padding", [0] * count)]
    pads[spatial] = pads[spatial + count] = extra[spatial] = 0
    return with_attrs(node, pads=pads, output_padding=extra, auto_pad=None, output_shape=None)
