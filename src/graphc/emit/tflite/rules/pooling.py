"""Pooling and padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.convolution import as_image, from_image, padded, places_of, space_of, two
from graphc.emit.tflite.rules.reduction import reduced
from graphc.emit.tflite.rules.shape import piece, taken
from graphc.emit.tflite.value import Array, Value, known


@rule("MaxPool", "AveragePool")
def pool(e: Emitter, node: Node) -> Sequence[Value]:
    x, kernel = node.value(0), list(node.attributes["kernel_shape"])
    if x.rank not in (3, 4):
        raise node.refused(f"it pools over {x.rank - 2} axes, and graphc converts one or two")
    if len(node.outputs) > 1:
        raise node.refused("it also returns the indices of the maxima", "export it without them")
    if node.attributes.get("ceil_mode", 0):
        raise node.refused("it has ceil_mode", "export it without ceil_mode")
    strides, dilations, before, behind = space_of(node, x, kernel)
    if any(d != 1 for d in dilations):
        raise node.refused("it has dilation, and LiteRT's pools have none")
    mean = node.op == "AveragePool"
    wide = padded(e, x, before, behind, 0.0 if mean else float(np.finfo(np.float32).min))
    made = pooled(e, wide, "AVERAGE_POOL_2D" if mean else "MAX_POOL_2D", kernel, strides)
    if mean and any((*before, *behind)) and not node.attributes.get("count_include_pad", 0):
        made = e.elementwise("MUL", [made, known(counts(x, kernel, strides, before, behind))])
    return [made]


def counts(
    x: Value, kernel: Sequence[int], strides: Sequence[int], before: Sequence[int], behind: Sequence[int]
) -> Array:
    """The size of each window divided by the number of its entries outside the padding."""
    factor = np.ones((1, 1, *[1] * len(kernel)), np.float64)
    for axis, (k, s, first, end) in enumerate(zip(kernel, strides, before, behind, strict=True)):
        size = x.shape[2 + axis]
        starts = np.arange(0, size + first + end - k + 1, s) - first
        real = np.minimum(starts + k, size) - np.maximum(starts, 0)
        factor = factor * (k / real).reshape([-1 if a == axis + 2 else 1 for a in range(x.rank)])
    return factor.astype(np.float32)


def pooled(e: Emitter, x: Value, op: str, kernel: Sequence[int], strides: Sequence[int]) -> Value:
    shape = (*x.shape[:2], *places_of(x.shape[2:], kernel, strides, [1] * len(kernel)))
    options = dict(zip(("filterHeight", "filterWidth"), two(kernel), strict=True))
    options |= dict(zip(("strideH", "strideW"), two(strides), strict=True))
    image = [shape[0], *two(shape[2:]), shape[1]]
    made = e.op(op, [as_image(e, x)], image, np.float32, padding=e.flat.schema.Padding.VALID, **options)
    return from_image(e, made, shape)


@rule("GlobalAveragePool", "GlobalMaxPool")
def global_pool(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    return [reduced(e, "MEAN" if node.op == "GlobalAveragePool" else "REDUCE_MAX", x, list(range(2, x.rank)))]


@rule("Pad")
def pad(e: Emitter, node: Node) -> Sequence[Value]:
    x, pads = node.value(0), node.numbers(1, "pads")
    assert pads is not None
    axes = node.numbers(3, "axes") or list(range(x.rank))
    fill = node.present(2)
    each = [(0, 0)] * x.rank
    for i, axis in enumerate(axes):
        each[axis % x.rank] = (pads[i], pads[len(axes) + i])
    for axis, (first, end) in enumerate(each):
        x = piece(e, x, axis, max(-first, 0), x.shape[axis] - max(-end, 0))
    each = [(max(first, 0), max(end, 0)) for first, end in each]
    mode = node.attributes.get("mode", b"constant")
    if mode != b"constant":
        for axis, (first, end) in enumerate(each):
            x = mirrored(e, node, x, axis, first, end, mode)
        return [x]
    if not any(sum(pair) for pair in each):
        return [x]
    shape = [size + sum(pair) for size, pair in zip(x.shape, each, strict=True)]
    inputs = [e.stored(x, x.order), e.constant([each[a] for a in x.order], np.int32)]
    if fill is not None and (fill.constant is None or fill.constant.any()):
        inputs.append(e.stored(e.given(fill, ())))
    op = "PAD" if len(inputs) == 2 else "PADV2"
    return [e.value(e.op(op, inputs, [shape[a] for a in x.order], x.dtype), shape, x.dtype, x.order)]


def mirrored(e: Emitter, node: Node, x: Value, axis: int, first: int, end: int, mode: bytes) -> Value:
    """Pads an axis at both ends with its own entries, as ``numpy.pad`` does in the same mode."""
    if not first and not end:
        return x
    names = {b"reflect": "reflect", b"edge": "edge", b"wrap": "wrap"}
    if mode not in names:
        raise node.refused(
            f"its mode is {mode.decode()}, and graphc converts {', '.join(('constant', *names.values()))}"
        )
    places = np.pad(np.arange(x.shape[axis]), (first, end), mode=names[mode])  # type: ignore[call-overload]
    return taken(e, x, [int(p) for p in places], axis)
