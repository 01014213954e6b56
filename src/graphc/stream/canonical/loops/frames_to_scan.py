"""Turns a tensor to which each iteration of a Loop appends a frame, or in which it writes one, into a scan output.

Scripted PyTorch models that contain ``ys = torch.cat([ys, y[:, None]], 1)`` or ``ys[:, t] = y`` are exported in this
form. Frames that later iterations read again, as in ``ys[:, t] = x[:, t] + a * ys[:, t - 1]``, become carried values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    drop_dead,
    names_in,
    place_of,
    producer,
    sorted_nodes,
    standard,
    unused_name,
)
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.loops.frame_picks import Pick, counts_of, relied_on, sizes_beside
from graphc.stream.canonical.loops.iteration_ops import line
from graphc.stream.canonical.loops.iteration_values import Dims, IterationValues, lines_of
from graphc.stream.canonical.loops.plain_loops import replace_inside
from graphc.stream.canonical.loops.written_frames import INDICES, Written, appended, written
from graphc.stream.canonical.overlap_add.scatters import MOVABLE
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

SHAPE_OPERANDS = {"Reshape": 1, "Expand": 1, "Tile": 1, "ConstantOfShape": 0}
END = int(np.iinfo(np.int64).max)


def stack_frames(
    graph: Graph, shapes: Shapes, known: Sequence[Mapping[str, Array]], dtypes: Mapping[str, np.dtype[np.generic]]
) -> list[str] | None:
    """Turns the first carried tensor that gets one frame in each iteration of a Loop into a scan output.

    Returns the names of the tensors on which the rewrite relies (``Evaluation.patterns``), or None if there is no such
    tensor.

    Args:
        shapes: the shapes of the tensors outside the loops, at each evaluated length.
        known: the values of the time-only tensors, at each evaluated length.
        dtypes: the dtypes of the data tensors.
    """
    for loop in [n for n in graph.nodes if n.op == "Loop"]:
        body: Graph = loop.attrs["body"]
        counts = counts_of(loop, known)
        for index in range(len(loop.inputs) - 2) if counts else ():
            first = loop.inputs[2 + index]
            sizes = tuple(values[first.name].shape for values in known if first.name in values)
            dims = lines_of(sizes or shapes.get(first.name, ()), counts)
            if dims is None:
                continue
            values = IterationValues(body, counts, shapes, known, {body.inputs[2 + index].name: dims})
            found = appended(body, index, dims) or written(body, index, dims, values)
            if found is not None and is_possible(found, loop, dims, values, dtypes):
                return rewritten(graph, loop, found, dims, values)
    return None


def is_possible(
    found: Written, loop: Node, dims: Dims, values: IterationValues, dtypes: Mapping[str, np.dtype[np.generic]]
) -> bool:
    """Whether appended values are single frames, and onnxruntime can choose between written frames and data."""
    start, last = loop.inputs[2 + found.index], loop.outputs[found.index]
    if found.first is None:
        sizes = [shape[found.axis] for shape in values.shapes.get(last.name, ())]
        return sizes == [int(dims[found.axis].rest) + count for count in values.counts]
    mixed = start.name in dtypes and (found.first > 1 or found.behind > 0)
    return not mixed or str(dtypes[start.name]) in MOVABLE


def fix_shapes(body: Graph, values: IterationValues) -> list[Tensor]:
    """Replaces computed target shapes in a body by constants, if they are the same in every iteration.

    Returns the tensors that were replaced.
    """
    taken, fixed = names_in(body), list[Tensor]()
    for node in body.nodes:
        place = SHAPE_OPERANDS.get(node.op)
        if place is None or len(node.inputs) <= place or not standard(node):
            continue
        shape = values.constant(node.inputs[place])
        if shape is not None and not isinstance(node.inputs[place], Constant):
            fixed.append(node.inputs[place])
            name = unused_name(f"{node.outputs[0].name}/shape", taken)
            node.inputs = [Constant(name, shape) if i == place else t for i, t in enumerate(node.inputs)]
    return fixed


def rewritten(graph: Graph, loop: Node, found: Written, dims: Dims, values: IterationValues) -> list[str]:
    """Makes the written frames a scan output, and concatenates them with the frames that the Loop does not write.

    Returns the names of the tensors on which the rewrite relies.
    """
    body: Graph = loop.attrs["body"]
    index, axis = found.index, found.axis
    carried, start, last = body.inputs[2 + index], loop.inputs[2 + index], loop.outputs[index]
    before, inner, after = (Writer(f"{last.name}/{part}") for part in ("start", "frame", "frames"))
    appends = found.first is None
    used = [t for pick in found.picks for t in pick.node.inputs[1:]]
    used += [] if appends else [found.writer.inputs[INDICES]]
    turns = after.one("Reshape", loop.inputs[0], [1])
    relies = relied_on(values, [*used, *fix_shapes(body, values)], turns, after)
    frame = (
        inner.one("Squeeze", found.frame, [axis])
        if appends
        else inner.one("Reshape", found.frame, np.asarray(found.sizes, np.int64))
    )
    found.writer.inputs.clear()
    found.writer.outputs.clear()
    firsts, registers, nexts = read_again(found, frame, start, before, inner)
    read_unwritten(found, start, inner)
    replace_inside(body, carried, start)
    body.nodes = [n for n in body.nodes if n is not found.writer] + inner.nodes
    stacked = Variable(f"{last.name}/stacked")
    at = len(loop.inputs) - 2
    kept = [*body.inputs[2 : 2 + index], *body.inputs[3 + index :]]
    results = [*body.outputs[1 : 1 + index], *body.outputs[2 + index :]]
    body.inputs = [*body.inputs[:2], *kept, *registers]
    body.outputs = [body.outputs[0], *results[: at - 1], *nexts, *results[at - 1 :], frame]
    loop.inputs = [*loop.inputs[:2], *(t for i, t in enumerate(loop.inputs[2:]) if i != index), *firsts]
    outputs = [t for i, t in enumerate(loop.outputs) if i != index]
    unread = [Variable(f"{t.name}/last") for t in registers]
    loop.outputs = [*outputs[: at - 1], *unread, *outputs[at - 1 :], stacked]
    body.nodes = sorted_nodes(body)
    drop_dead(body)
    relies += sizes_beside(after, start, dims, turns)
    time_only = isinstance(start, Constant) or any(start.name in values for values in values.known)
    result = joined(found, start, stacked, dims, after, time_only)
    position = place_of(graph, loop)
    end = Node("Identity", f"{after.base}/result", {}, [result], [last])
    graph.nodes[position : position + 1] = [*before.nodes, loop, *after.nodes, end]
    return relies


def joined(found: Written, start: Tensor, stacked: Tensor, dims: Dims, w: Writer, time_only: bool) -> Tensor:
    """Places the frames that the iterations write among the frames that they leave unchanged.

    Args:
        time_only: whether the unchanged frames are a time-only constant.
    """
    rank, axis = len(dims), found.axis
    order = list(range(1, rank))
    order.insert(axis, 0)
    moved = w.transposed(stacked, order)
    if not time_only and found.first is not None and (found.first > 1 or found.behind):
        pads = np.zeros((2, rank), np.int64)
        pads[:, axis] = found.first, found.behind
        size = w.size(start, axis)
        index = w.span(size, rank - 1 - axis)
        is_written = w.one("Less", index, w.one("Sub", size, [found.behind]))
        if found.first:
            is_written = w.one("And", is_written, w.one("Less", np.array([found.first - 1]), index))
        return w.one("Where", is_written, w.one("Pad", moved, pads.ravel()), start)
    parts = [moved]
    if found.first is None and dims[axis] != line(0):
        parts.insert(0, start)
    if found.first:
        parts.insert(0, w.one("Slice", start, [0], [found.first], [axis]))
    if found.behind:
        parts.append(w.one("Slice", start, [-found.behind], [END], [axis]))
    return w.one("Concat", *parts, axis=axis) if len(parts) > 1 else parts[0]


def read_again(
    found: Written, frame: Tensor, start: Tensor, before: Writer, inner: Writer
) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Turns written frames that later iterations read into carried values of the Loop.

    Returns three lists with one entry for each carried value: its first value, its input and its output in the body.
    """
    picks = [(pick, found.first - pick.offset) for pick in found.picks if found.first and pick.offset < found.first]
    depth = max((ago for _, ago in picks), default=0)
    first = found.first or 0
    firsts = [before.one("Gather", start, first - ago, axis=found.axis) for ago in range(1, depth + 1)]
    registers = [Variable(f"{inner.base}_{ago}_ago") for ago in range(1, depth + 1)]
    nexts = [inner.one("Identity", tensor) for tensor in [frame, *registers][:depth]]
    for pick, ago in picks:
        held = registers[ago - 1]
        pass_on(pick, inner.one("Unsqueeze", held, [found.axis]) if pick.keeps else held)
    return [*firsts], [*registers], [*nexts]


def read_unwritten(found: Written, start: Tensor, inner: Writer) -> None:
    """Replaces the remaining picks, which read frames before any iteration writes them, by the tensor's initial number.

    Does nothing if the entries of the tensor do not all start as the same number.
    """
    maker = producer(start)
    if maker is None or maker.op != "ConstantOfShape" or not standard(maker):
        return
    fill = maker.attrs["value"].values if "value" in maker.attrs else np.zeros(1, np.float32)
    for pick in found.picks:
        if pick.node.op != "Identity":
            sizes = [*found.sizes[: found.axis], *pick.keeps, *found.sizes[found.axis :]]
            pass_on(pick, inner.one("Expand", np.asarray(fill).reshape(()), np.asarray(sizes, np.int64)))


def pass_on(pick: Pick, tensor: Tensor) -> None:
    """Makes the node of a pick give ``tensor``."""
    pick.node.op, pick.node.attrs, pick.node.inputs = "Identity", {}, [tensor]
