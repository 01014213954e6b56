"""Ops that pick entries by indices, which the model may compute."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.shape import piece, taken
from graphc.emit.tflite.value import Array, Value, known


@rule("Gather")
def gather(e: Emitter, node: Node) -> Sequence[Value]:
    x, places = node.value(0), node.value(1)
    axis = node.attributes.get("axis", 0) % x.rank
    if places.constant is not None and places.rank == 1:
        return [taken(e, x, [int(n) % x.shape[axis] for n in places.constant], axis)]
    shape = (*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])
    inputs = [e.stored(x), e.stored(from_the_front(e, places, x.shape[axis]))]
    return [e.value(e.op("GATHER", inputs, shape, x.dtype, axis=axis), shape, x.dtype)]


def from_the_front(e: Emitter, places: Value, size: int) -> Value:
    """Makes indices non-negative. In ONNX, negative indices count from the end."""
    if places.constant is not None:
        return known((places.constant % size).astype(np.int32))
    return e.elementwise("FLOOR_MOD", [places, e.number(size, places)])


@rule("GatherElements")
def gather_elements(e: Emitter, node: Node) -> Sequence[Value]:
    """out[i, j, k] = x[i, index[i, j, k], k], as a Gather from x flattened to one axis."""
    x, index = node.value(0), node.value(1)
    axis = node.attributes.get("axis", 0) % x.rank
    if index.constant is not None:
        shifted = as_a_shift(e, x, index.constant % x.shape[axis], axis)
        if shifted is not None:
            return [shifted]
    strides = [math.prod(x.shape[a + 1 :]) for a in range(x.rank)]
    grid = np.indices(index.shape)
    base = sum((grid[a] * strides[a] for a in range(x.rank) if a != axis), np.zeros(index.shape, np.int64))
    front = from_the_front(e, index, x.shape[axis])
    if front.constant is not None:
        places = known((base + front.constant * strides[axis]).astype(np.int32))
    else:
        far = e.elementwise("MUL", [front, e.number(strides[axis], front)])
        places = e.elementwise("ADD", [far, known(base.astype(front.dtype))])
    row = e.given(x, (math.prod(x.shape),))
    made = e.op("GATHER", [e.stored(row), e.stored(places)], index.shape, x.dtype, axis=0)
    return [e.value(made, index.shape, x.dtype)]


def as_a_shift(e: Emitter, x: Value, index: Array, axis: int) -> Value | None:
    """The shift of relative positions as a pad, a slice and a reshape. None for any other index.

    In such an index, row q begins with an entry d·q larger than that of row 0, and continues in steps of one. In the
    flattened input, the rows of the result therefore begin width + d entries apart.
    """
    if axis != x.rank - 1 or x.rank < 2 or x.shape[:-1] != index.shape[:-1]:
        return None
    rows, width, count = x.shape[-2], x.shape[-1], index.shape[-1]
    table = index.reshape(-1, rows, count)
    first = table[0]
    if rows < 2 or not (table == first).all() or not (np.diff(first, axis=1) == 1).all():
        return None
    drift = int(first[1, 0] - first[0, 0])
    if not (np.diff(first[:, 0]) == drift).all() or width + drift < count:
        return None
    lead = math.prod(x.shape[:-2])
    begin, pitch = int(first[0, 0]), width + drift
    needed = begin + rows * pitch
    flat = e.stored(e.given(x, (lead, rows * width)))
    if needed > rows * width:
        pads = e.constant([[0, 0], [0, needed - rows * width]], np.int32)
        flat = e.op("PAD", [flat, pads], (lead, needed), x.dtype)
    places = [e.constant([0, begin], np.int32), e.constant([lead, rows * pitch], np.int32)]
    flat = e.op("SLICE", [flat, *places], (lead, rows * pitch), x.dtype)
    grid = e.value(e.reshaped(flat, (*index.shape[:-1], pitch), x.dtype), (*index.shape[:-1], pitch), x.dtype)
    return piece(e, grid, grid.rank - 1, 0, count)
