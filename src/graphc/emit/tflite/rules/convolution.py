"""Convolutions. LiteRT has channels last, and runs a 1-D convolution on an image of one row whose width is time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.emit.onnx_node import spatial
from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.matrix import connected
from graphc.emit.tflite.rules.shape import joined, piece
from graphc.emit.tflite.value import Array, Value, channels_last, known

MOST_TAPS = 25


def as_image(e: Emitter, x: Value) -> int:
    """The tensor of a value (batch, channel, [height,] width), as (batch, height, width, channel)."""
    stored = e.stored(x, channels_last(x.rank))
    if x.rank == 4:
        return stored
    n, c, w = x.shape
    return e.reshaped(stored, (n, 1, w, c), x.dtype)


def from_image(e: Emitter, tensor: int, shape: Sequence[int]) -> Value:
    """An image as a value (batch, channel, [height,] width)."""
    if len(shape) == 3:
        n, c, w = shape
        tensor = e.reshaped(tensor, (n, w, c))
    return e.value(tensor, shape, np.float32, channels_last(len(shape)))


def space_of(node: Node, x: Value, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int], list[int]]:
    """The strides, dilations, start pads and end pads of each spatial axis."""
    strides, dilations, before, behind = spatial(node, x.shape[2:], kernel)
    if min((*before, *behind)) < 0:
        raise node.refused("its pads are negative", "crop with a Slice instead")
    return strides, dilations, before, behind


def two(values: Sequence[int], filler: int = 1) -> list[int]:
    """The values for height and width. A 1-D convolution gets ``filler`` for the height."""
    return [filler, *values] if len(values) == 1 else list(values)


def padded(e: Emitter, x: Value, before: Sequence[int], behind: Sequence[int], fill: float = 0.0) -> Value:
    """A value with entries added at both ends of its spatial axes."""
    if not any((*before, *behind)):
        return x
    order = channels_last(x.rank)
    each = [(0, 0), (0, 0), *zip(before, behind, strict=True)]
    shape = [size + sum(each[a]) for a, size in enumerate(x.shape)]
    inputs = [e.stored(x, order), e.constant([each[a] for a in order], np.int32)]
    if fill:
        inputs.append(e.constant(fill, x.dtype))
    made = e.op("PADV2" if fill else "PAD", inputs, [shape[a] for a in order], x.dtype)
    return e.value(made, shape, x.dtype, order)


def places_of(
    sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    """The number of positions that the kernel takes along each axis, which is the output size."""
    return [(size - (k - 1) * d - 1) // s + 1 for size, k, s, d in zip(sizes, kernel, strides, dilations, strict=True)]


@rule("Conv")
def conv(e: Emitter, node: Node) -> Sequence[Value]:
    x, weights, bias = node.value(0), node.array(1, "weights"), node.array(2, "bias")
    assert weights is not None
    if x.rank not in (3, 4):
        raise node.refused(f"it convolves over {x.rank - 2} axes, and graphc converts one or two")
    kernel, group = weights.shape[2:], node.attributes.get("group", 1)
    strides, dilations, before, behind = space_of(node, x, kernel)
    offset = np.zeros(weights.shape[0], np.float32) if bias is None else bias
    if x.rank == 3 and group == 1 and kernel == (1,) and strides == [1] and not any((*before, *behind)):
        return [pointwise(e, x, weights, offset)]
    x = padded(e, x, before, behind)
    if depthwise(x, weights, group) and x.rank == 3:
        return [of_few_taps(e, x, weights, offset, strides, dilations)]
    if group == 1 or depthwise(x, weights, group):
        return [convolved(e, x, weights, offset, strides, dilations, group)]
    each_in, each_out = x.shape[1] // group, weights.shape[0] // group
    parts = [
        convolved(
            e,
            piece(e, x, 1, i * each_in, (i + 1) * each_in),
            weights[i * each_out : (i + 1) * each_out],
            offset[i * each_out : (i + 1) * each_out],
            strides,
            dilations,
            1,
        )
        for i in range(group)
    ]
    return [joined(e, parts, 1, channels_last(x.rank))]


def pointwise(e: Emitter, x: Value, weights: Array, bias: Array) -> Value:
    """A convolution with a kernel of one frame, as a matrix product."""
    channel_last = Value((x.shape[0], x.shape[2], x.shape[1]), x.dtype, e.stored(x, (0, 2, 1)), (0, 1, 2))
    made = connected(e, channel_last, weights[:, :, 0].T, bias)
    assert made.tensor is not None
    return e.value(made.tensor, (x.shape[0], weights.shape[0], x.shape[2]), x.dtype, (0, 2, 1))


def depthwise(x: Value, weights: Array, group: int) -> bool:
    return weights.shape[1] == 1 and group == x.shape[1]


def of_few_taps(
    e: Emitter, x: Value, weights: Array, bias: Array, strides: Sequence[int], dilations: Sequence[int]
) -> Value:
    """A depthwise convolution over time as a sum of shorter ones: XNNPACK has fast kernels for up to 25 taps."""
    taps, apart, by = weights.shape[2], dilations[0], strides[0]
    batch, channels, width = x.shape
    frames = (width - (taps - 1) * apart - 1) // by + 1
    image = e.value(as_image(e, x), (batch, channels, 1, width), x.dtype, channels_last(4))
    total: Value | None = None
    for first in range(0, taps, MOST_TAPS):
        part = weights[:, :, None, first : first + MOST_TAPS]
        reach = (frames - 1) * by + (part.shape[3] - 1) * apart + 1
        heard = piece(e, image, 3, first * apart, first * apart + reach)
        offset = bias if total is None else np.zeros_like(bias)
        made = convolved(e, heard, part, offset, two(strides), two(dilations), channels)
        total = made if total is None else e.elementwise("ADD", [total, made])
    assert total is not None
    return from_image(e, e.stored(total, channels_last(4)), (batch, weights.shape[0], frames))


def convolved(
    e: Emitter,
    x: Value,
    weights: Array,
    bias: Array,
    strides: Sequence[int],
    dilations: Sequence[int],
    group: int,
) -> Value:
    kernel = weights.shape[2:]
    shape = (x.shape[0], weights.shape[0], *places_of(x.shape[2:], kernel, strides, dilations))
    filters = weights if x.rank == 4 else weights[:, :, None]
    options = {"padding": e.flat.schema.Padding.VALID}
    options |= dict(zip(("strideH", "strideW"), two(strides), strict=True))
    options |= dict(zip(("dilationHFactor", "dilationWFactor"), two(dilations), strict=True))
    if group > 1:
        op, moved = "DEPTHWISE_CONV_2D", filters.transpose(1, 2, 3, 0)
        options["depthMultiplier"] = weights.shape[0] // group
    else:
        op, moved = "CONV_2D", filters.transpose(0, 2, 3, 1)
    image = [shape[0], *two(shape[2:]), shape[1]]
    inputs = [as_image(e, x), e.constant(moved), e.constant(bias)]
    return from_image(e, e.op(op, inputs, image, np.float32, **options), shape)


@rule("ConvTranspose")
def conv_transpose(e: Emitter, node: Node) -> Sequence[Value]:
    x, weights, bias = node.value(0), node.array(1, "weights"), node.array(2, "bias")
    assert weights is not None
    if x.rank not in (3, 4):
        raise node.refused(f"it convolves over {x.rank - 2} axes, and graphc converts one or two")
    if "output_shape" in node.attributes or b"SAME" in node.attributes.get("auto_pad", b""):
        raise node.refused("its pads depend on its output's shape", "export it with explicit pads")
    strides, dilations, before, behind = space_of(node, x, weights.shape[2:])
    more = list(node.attributes.get("output_padding", [0] * (x.rank - 2)))
    group = node.attributes.get("group", 1)
    spaced = with_holes(weights, dilations)
    each = x.shape[1] // group
    parts = [
        grown(e, piece(e, x, 1, i * each, (i + 1) * each), spaced[i * each : (i + 1) * each], strides)
        for i in range(group)
    ]
    whole = joined(e, parts, 1, channels_last(x.rank))
    whole = padded(e, whole, [0] * len(more), [max(m - b, 0) for m, b in zip(more, behind, strict=True)])
    for i, (first, end, extra) in enumerate(zip(before, behind, more, strict=True)):
        size = whole.shape[2 + i]
        whole = piece(e, whole, 2 + i, first, size - max(end - extra, 0))
    if bias is not None:
        whole = e.elementwise("ADD", [whole, known(bias.reshape(-1, *[1] * (x.rank - 2)))])
    return [whole]


def with_holes(weights: Array, dilations: Sequence[int]) -> Array:
    """A kernel with the zeros of its dilation put between its entries."""
    sizes = [(k - 1) * d + 1 for k, d in zip(weights.shape[2:], dilations, strict=True)]
    spaced = np.zeros((*weights.shape[:2], *sizes), weights.dtype)
    spaced[(slice(None), slice(None), *(slice(None, None, d) for d in dilations))] = weights
    return spaced


def grown(e: Emitter, x: Value, weights: Array, strides: Sequence[int]) -> Value:
    kernel = weights.shape[2:]
    sizes = [(size - 1) * s + k for size, s, k in zip(x.shape[2:], strides, kernel, strict=True)]
    shape = (x.shape[0], weights.shape[1], *sizes)
    image = [shape[0], *two(sizes), shape[1]]
    filters = (weights if x.rank == 4 else weights[:, :, None]).transpose(1, 2, 3, 0)
    options = dict(zip(("strideH", "strideW"), two(strides), strict=True))
    inputs = [e.constant(image, np.int32), e.constant(filters), as_image(e, x)]
    made = e.op("TRANSPOSE_CONV", inputs, image, np.float32, padding=e.flat.schema.Padding.VALID, **options)
    return from_image(e, made, shape)
