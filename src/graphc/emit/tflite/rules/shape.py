"""Ops that move or copy entries but change none: shapes, axes, pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.elementwise import cast_to
from graphc.emit.tflite.value import Value, channels_last, known, straight


@rule("Reshape")
def reshape(e: Emitter, node: Node) -> Sequence[Value]:
    x, sizes = node.value(0), node.array(1, "shape")
    assert sizes is not None
    wanted = [int(n) for n in sizes.reshape(-1)]
    if not node.attributes.get("allowzero", 0):
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    if -1 in wanted:
        rest = math.prod(n for n in wanted if n != -1)
        wanted[wanted.index(-1)] = math.prod(x.shape) // rest if rest else 0
    return [e.given(x, wanted)]


@rule("Flatten")
def flatten(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    axis = node.attributes.get("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    return [e.given(x, (math.prod(x.shape[:axis]), math.prod(x.shape[axis:])))]


@rule("Squeeze")
def squeeze(e: Emitter, node: Node) -> Sequence[Value]:
    x, axes = node.value(0), node.numbers(1, "axes")
    gone = {a for a, size in enumerate(x.shape) if size == 1} if axes is None else {a % x.rank for a in axes}
    kept = [a for a in range(x.rank) if a not in gone]
    if x.constant is not None:
        return [known(x.constant.reshape([x.shape[a] for a in kept]))]
    order = tuple(kept.index(a) for a in x.order if a in kept)
    return [viewed(e, x, [x.shape[a] for a in kept], order)]


@rule("Unsqueeze")
def unsqueeze(e: Emitter, node: Node) -> Sequence[Value]:
    x, axes = node.value(0), node.numbers(1, "axes")
    assert axes is not None
    rank = x.rank + len(axes)
    new = {a % rank for a in axes}
    old = [a for a in range(rank) if a not in new]
    shape = [1 if a in new else x.shape[old.index(a)] for a in range(rank)]
    if x.constant is not None:
        return [known(x.constant.reshape(shape))]
    return [viewed(e, x, shape, (*sorted(new), *(old[a] for a in x.order)))]


def viewed(e: Emitter, x: Value, shape: Sequence[int], order: tuple[int, ...]) -> Value:
    """The same stored entries under another shape."""
    return e.value(e.reshaped(e.stored(x, x.order), [shape[a] for a in order], x.dtype), shape, x.dtype, order)


@rule("Transpose")
def transpose(e: Emitter, node: Node) -> Sequence[Value]:
    """Only the order of axes changes. No entries move until an op needs another order."""
    x = node.value(0)
    moves = [int(a) for a in node.attributes.get("perm", reversed(range(x.rank)))]
    if x.constant is not None:
        return [known(np.transpose(x.constant, moves))]
    assert x.tensor is not None
    return [e.value(x.tensor, [x.shape[a] for a in moves], x.dtype, tuple(moves.index(a) for a in x.order))]


@rule("Concat")
def concat(e: Emitter, node: Node) -> Sequence[Value]:
    parts = [v for v in node.inputs if v is not None and 0 not in v.shape]
    if not parts:
        return [node.value(0)]
    first = next((v for v in parts if v.constant is None), parts[0])
    axis = node.attributes["axis"] % first.rank
    return [joined(e, parts, axis, first.order)]


def joined(e: Emitter, parts: Sequence[Value], axis: int, order: tuple[int, ...] | None = None) -> Value:
    """Parts joined along an axis and stored in an order. Parts of different types are cast to float."""
    if len(parts) == 1:
        return parts[0]
    if len({v.dtype for v in parts}) > 1:
        parts = [cast_to(e, v, np.float32) for v in parts]
    way = straight(parts[0].rank) if order is None else order
    shape = list(parts[0].shape)
    shape[axis] = sum(v.shape[axis] for v in parts)
    taken = [e.stored(v, way) for v in parts]
    made = e.op("CONCATENATION", taken, [shape[a] for a in way], parts[0].dtype, axis=way.index(axis))
    return e.value(made, shape, parts[0].dtype, way)


@rule("Slice")
def slice_(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    starts, ends = node.numbers(1, "starts"), node.numbers(2, "ends")
    assert starts is not None and ends is not None
    axes = node.numbers(3, "axes") or list(range(len(starts)))
    steps = node.numbers(4, "steps") or [1] * len(starts)
    begin, stop, step = [0] * x.rank, list(x.shape), [1] * x.rank
    for axis, start, end, by in zip(axes, starts, ends, steps, strict=True):
        place = range(*slice(start, end, by).indices(x.shape[axis]))
        if by < 0:
            if len(axes) > 1:
                raise node.refused(
                    "it slices several axes at once, one of them backwards", "slice that axis in a node of its own"
                )
            return [taken(e, x, list(place), axis)]
        begin[axis % x.rank], stop[axis % x.rank], step[axis % x.rank] = place.start, max(place.stop, place.start), by
    return [cut(e, x, begin, stop, step)]


def cut(e: Emitter, x: Value, begin: Sequence[int], stop: Sequence[int], step: Sequence[int] | None = None) -> Value:
    """A piece of a value, from ``begin`` to before ``stop`` on each axis."""
    by = step or [1] * x.rank
    shape = [len(range(b, s, d)) for b, s, d in zip(begin, stop, by, strict=True)]
    if x.constant is not None:
        return known(x.constant[tuple(slice(b, s, d) for b, s, d in zip(begin, stop, by, strict=True))])
    if tuple(shape) == x.shape:
        return x
    stored, order = e.stored(x, x.order), x.order
    sizes = [shape[a] for a in order]
    if all(d == 1 for d in by):
        places = [e.constant([begin[a] for a in order], np.int32), e.constant(sizes, np.int32)]
        return e.value(e.op("SLICE", [stored, *places], sizes, x.dtype), shape, x.dtype, order)
    places = [e.constant([values[a] for a in order], np.int32) for values in (begin, stop, by)]
    return e.value(e.op("STRIDED_SLICE", [stored, *places], sizes, x.dtype), shape, x.dtype, order)


def piece(e: Emitter, x: Value, axis: int, start: int, stop: int) -> Value:
    """A piece along one axis."""
    begin, end = [0] * x.rank, list(x.shape)
    begin[axis], end[axis] = start, stop
    return cut(e, x, begin, end)


@rule("Split")
def split(e: Emitter, node: Node) -> Sequence[Value]:
    """Splits a value along an axis.

    If a transpose changed the order of axes, ONNX's order is restored before the split, once for all parts. The
    channels-last order of a convolution stays, for the next convolution.
    """
    x = node.value(0)
    axis = node.attributes.get("axis", 0) % x.rank
    sizes = node.numbers(1, "split")
    if sizes is None:
        count = node.attributes.get("num_outputs", len(node.outputs))
        each = -(-x.shape[axis] // count)
        sizes = [min(each, x.shape[axis] - each * i) for i in range(count)]
    if x.constant is None and x.order != channels_last(x.rank):
        x = e.value(e.stored(x), x.shape, x.dtype)
    if x.constant is None and len(set(sizes)) == 1:
        return evenly(e, x, axis, len(sizes))
    ends = np.cumsum(sizes)
    return [piece(e, x, axis, int(end) - size, int(end)) for size, end in zip(sizes, ends, strict=True)]


def evenly(e: Emitter, x: Value, axis: int, count: int) -> list[Value]:
    shape = [size // count if a == axis else size for a, size in enumerate(x.shape)]
    inputs = [e.constant(x.stored_axis(axis), np.int32), e.stored(x, x.order)]
    made = e.parts("SPLIT", inputs, [shape[a] for a in x.order], x.dtype, count, numSplits=count)
    return [e.value(tensor, shape, x.dtype, x.order) for tensor in made]


def taken(e: Emitter, x: Value, places: Sequence[int], axis: int) -> Value:
    """The entries at known indices of an axis."""
    shape = [*x.shape]
    shape[axis % x.rank] = len(places)
    if x.constant is not None:
        return known(x.constant.take(places, axis=axis))
    at = x.stored_axis(axis)
    inputs = [e.stored(x, x.order), e.constant(places, np.int32)]
    made = e.op("GATHER", inputs, [shape[a] for a in x.order], x.dtype, axis=at)
    return e.value(made, shape, x.dtype, x.order)


@rule("Expand")
def expand(e: Emitter, node: Node) -> Sequence[Value]:
    x, sizes = node.value(0), node.array(1, "shape")
    assert sizes is not None
    shape = np.broadcast_shapes(x.shape, tuple(int(n) for n in sizes))
    return [spread(e, x, shape)]


def spread(e: Emitter, x: Value, shape: Sequence[int]) -> Value:
    if x.shape == tuple(shape):
        return x
    if x.constant is not None:
        return known(np.broadcast_to(x.constant, shape))
    full = e.given(x, (1,) * (len(shape) - x.rank) + x.shape)
    inputs = [e.stored(full), e.constant(list(shape), np.int32)]
    return e.value(e.op("BROADCAST_TO", inputs, shape, x.dtype), shape, x.dtype)


@rule("Tile")
def tile(e: Emitter, node: Node) -> Sequence[Value]:
    x, times = node.value(0), node.numbers(1, "repeats")
    assert times is not None
    shape = [size * n for size, n in zip(x.shape, times, strict=True)]
    inputs = [e.stored(x, x.order), e.constant([times[a] for a in x.order], np.int32)]
    made = e.op("TILE", inputs, [shape[a] for a in x.order], x.dtype)
    return [e.value(made, shape, x.dtype, x.order)]


@rule("DepthToSpace", "SpaceToDepth")
def depth_and_space(e: Emitter, node: Node) -> Sequence[Value]:
    x, b = node.value(0), int(node.attributes["blocksize"])
    n, c, h, w = x.shape
    if node.op == "SpaceToDepth":
        way = (0, 1, 3, 5, 2, 4) if node.attributes.get("mode", b"DCR") == b"CRD" else (0, 3, 5, 1, 2, 4)
        return [regrouped(e, x, (n, c, h // b, b, w // b, b), way, (n, c * b * b, h // b, w // b))]
    inner, moves = (
        ((n, b, b, c // b // b, h, w), (0, 3, 4, 1, 5, 2))
        if node.attributes.get("mode", b"DCR") == b"DCR"
        else ((n, c // b // b, b, b, h, w), (0, 1, 4, 2, 5, 3))
    )
    return [regrouped(e, x, inner, moves, (n, c // b // b, h * b, w * b))]


def regrouped(e: Emitter, x: Value, inner: Sequence[int], moves: Sequence[int], shape: Sequence[int]) -> Value:
    """A reshape, a transpose and another reshape."""
    parts = e.given(x, inner)
    assert parts.tensor is not None
    order = tuple(list(moves).index(a) for a in parts.order)
    return e.given(e.value(parts.tensor, [inner[a] for a in moves], x.dtype, order), shape)
