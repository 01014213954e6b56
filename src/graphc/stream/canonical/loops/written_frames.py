"""Finds the carried tensors of a Loop to which each iteration appends a frame, or in which it writes one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from graphc.ir.graph import Graph, Node, Tensor, normalised, producer, standard
from graphc.stream.canonical.loops.frame_picks import Pick, pick_of, views_of
from graphc.stream.canonical.loops.iteration_ops import Entries, line
from graphc.stream.canonical.loops.iteration_values import COUNT, Dims, IterationValues, offset_of
from graphc.stream.canonical.loops.plain_loops import is_captured

DATA, INDICES, UPDATES = range(3)


@dataclass(frozen=True)
class Written:
    """A carried value of a Loop that gets one new frame in each iteration.

    Args:
        index: the index of the value among the carried values.
        writer: the node in the body that appends or writes the frame.
        frame: the frame that is appended or written.
        axis: the axis of the value along which frames are appended or written.
        first: iteration t writes frame t + ``first``; None if iterations append.
        behind: the number of frames after the last written one; they stay unchanged.
        sizes: the shape of a written frame without ``axis``.
        picks: the nodes that read single frames of the value.
    """

    index: int
    writer: Node
    frame: Tensor
    axis: int
    first: int | None = None
    behind: int = 0
    sizes: tuple[int, ...] = ()
    picks: tuple[Pick, ...] = ()


def only_writer(body: Graph, index: int) -> Node | None:
    """The node in the body that makes the next value of a carried value; None if another node reads that next value."""
    tensor = body.outputs[1 + index]
    if tensor.outputs or sum(t is tensor for t in body.outputs) > 1:
        return None
    while (node := producer(tensor)) is not None and node.op == "Identity":
        tensor = node.inputs[0]
        if len(tensor.outputs) > 1 or any(t is tensor for t in body.outputs):
            return None
    inside = node is not None and any(n is node for n in body.nodes)
    return node if node is not None and inside and standard(node) and not is_captured(body, tensor) else None


def appended(body: Graph, index: int, dims: Dims) -> Written | None:
    """The description of a carried value to which each iteration appends a frame; None for any other carried value.

    The node that appends must be the only one that reads the value.
    """
    carried, writer = body.inputs[2 + index], only_writer(body, index)
    if writer is None or writer.op != "Concat" or len(writer.inputs) != 2 or writer.inputs[0] is not carried:
        return None
    axis = normalised(int(writer.attrs["axis"]), len(dims))
    if len(carried.outputs) != 1 or is_captured(body, carried) or any(t is carried for t in body.outputs):
        return None
    return Written(index, writer, writer.inputs[1], axis) if dims[axis].is_plain else None


def written(body: Graph, index: int, dims: Dims, values: IterationValues) -> Written | None:
    """The description of a carried value in which iteration t writes frame t + c; None for any other carried value.

    The body may read single frames of the value, but in iteration t none before frame t.
    """
    carried, writer = body.inputs[2 + index], only_writer(body, index)
    if writer is None or writer.op not in ("ScatterND", "ScatterElements") or writer.inputs[DATA] is not carried:
        return None
    if writer.attrs.get("reduction", "none") != "none" or any(writer.inputs[i] is carried for i in (INDICES, UPDATES)):
        return None
    rows = values.of(writer.inputs[INDICES])
    for axis, size in enumerate(dims):
        spare = size.minus(COUNT)
        sizes = [int(d.rest) for i, d in enumerate(dims) if i != axis and d.is_plain]
        if not spare.is_plain or len(sizes) != len(dims) - 1 or not isinstance(rows, np.ndarray):
            continue
        places = frame_by_rows if writer.op == "ScatterND" else frame_by_elements
        first = places(writer, rows, axis, sizes)
        if first is None or first > spare.rest:
            continue
        picks = single_frames(body, carried, writer, axis, values)
        if picks is not None and all(pick.offset <= spare.rest for pick in picks):
            behind = int(spare.rest) - first
            return Written(index, writer, writer.inputs[UPDATES], axis, first, behind, tuple(sizes), tuple(picks))
    return None


def frame_by_rows(_: Node, rows: Entries, axis: int, sizes: Sequence[int]) -> int | None:
    """The constant c if the index rows of a ScatterND list all positions of frame t + c in order; else None."""
    columns = rows.shape[-1]
    first = offset_of(rows.reshape(-1, columns)[0, axis]) if axis < columns and rows.size else None
    if first is None:
        return None
    ranges: list[Sequence[object]] = [[line(i) for i in range(size)] for size in sizes[: columns - 1]]
    ranges.insert(axis, [rows.reshape(-1, columns)[0, axis]])
    wanted = [list(row) for row in product(*ranges)]
    return first if [list(row) for row in rows.reshape(-1, columns)] == wanted else None


def frame_by_elements(node: Node, rows: Entries, axis: int, sizes: Sequence[int]) -> int | None:
    """The constant c if the indices of a ScatterElements are all t + c and cover a whole frame; else None."""
    shape = [*sizes[:axis], 1, *sizes[axis:]]
    if normalised(int(node.attrs.get("axis", 0)), len(shape)) != axis or list(rows.shape) != shape or not rows.size:
        return None
    place = rows.ravel()[0]
    return offset_of(place) if all(other == place for other in rows.ravel()) else None


def single_frames(body: Graph, carried: Tensor, writer: Node, axis: int, values: IterationValues) -> list[Pick] | None:
    """The nodes that pick a frame t + c of a carried value; None if the body reads anything else but the shape."""
    found: list[Pick] = []
    views = views_of(carried, values)
    for held in views:
        if is_captured(body, held) or any(t is held for t in body.outputs):
            return None
        for node in held.outputs:
            if node is writer or node.op == "Shape" or any(t is view for t in node.outputs for view in views):
                continue
            pick = pick_of(node, values) if node.inputs[DATA] is held else None
            if pick is None or pick.axis != axis:
                return None
            found.append(pick)
    return found
