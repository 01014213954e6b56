"""Finds edge padding written with Slice and Concat: the first frame repeated in front, or the last frame behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.graph import Constant, Graph, Node, Tensor, names_in, normalised, producer, standard, unused_name
from graphc.stream.canonical.canonicalize import WHOLE
from graphc.stream.canonical.scalar_constants import fixed, value_in
from graphc.stream.facts.index_map import Shapes

REPEATS = ("Expand", "Tile")
FIRST, LAST = 0, -1


def pad_by_edges(graph: Graph, shapes: Shapes) -> bool:
    """Turns each Concat of a tensor with copies of its first or last frame into a Pad; returns whether it did."""
    changed = False
    for node in [n for n in graph.nodes if n.op == "Concat" and standard(n) and len(n.inputs) > 1]:
        sizes = [shapes.get(t.name) for t in node.inputs]
        if any(s is None for s in sizes):
            continue
        rank = len(shapes[node.inputs[0].name][0])
        axis = normalised(int(node.attrs["axis"]), rank)
        for place, tensor in enumerate(node.inputs):
            along = {shape[axis] for shape in shapes[tensor.name]}
            before, after = node.inputs[:place], node.inputs[place + 1 :]
            if len(along) > 1 and all(
                repeats_frame(copy, tensor, axis, which, shapes)
                for copies, which in ((before, FIRST), (after, LAST))
                for copy in copies
            ):
                counts = [sum(shapes[t.name][0][axis] for t in copies) for copies in (before, after)]
                become_pad(graph, node, tensor, axis, rank, counts)
                changed = True
                break
    return changed


def repeats_frame(tensor: Tensor, source: Tensor, axis: int, which: int, shapes: Shapes) -> bool:
    """Whether a tensor is the first or the last frame of another, repeated along ``axis`` only.

    The number of repeats must not be computed from the length, even if it was the same at all lengths evaluated.
    """
    frames = {shape[:axis] + shape[axis + 1 :] for shape in shapes[source.name]}
    node = producer(tensor)
    while node is not None and standard(node) and node.op in REPEATS and fixed(node.inputs[1]):
        if {shape[:axis] + shape[axis + 1 :] for shape in shapes.get(tensor.name, ())} != frames:
            return False
        tensor = node.inputs[0]
        node = producer(tensor)
    if node is None or not standard(node) or node.op != "Slice" or node.inputs[0] is not source:
        return False
    rank = len(shapes[source.name][0])
    return {shape[axis] for shape in shapes.get(tensor.name, ())} == {1} and cuts_out(node, axis, rank, which)


def cuts_out(node: Node, axis: int, rank: int, which: int) -> bool:
    """Whether a Slice takes the first or the last frame of one axis, and all of the others."""
    starts, ends = argument(node, "starts", 1), argument(node, "ends", 2)
    axes, steps = argument(node, "axes", 3, [0]), argument(node, "steps", 4, [1])
    if starts != [which] or ends is None or axes not in ([axis], [axis - rank]) or steps is None or steps[0] < 1:
        return False
    return ends == [1] if which == FIRST else ends[0] >= WHOLE


def argument(node: Node, name: str, index: int, default: list[int] | None = None) -> list[int] | None:
    """An argument of a Slice; None if it is computed."""
    if name in node.attrs:
        return [int(v) for v in node.attrs[name]]
    if index >= len(node.inputs) or not node.inputs[index].name:
        return default
    value = value_in(node.inputs[index])
    return None if value is None else [int(v) for v in np.ravel(value)]


def become_pad(graph: Graph, node: Node, source: Tensor, axis: int, rank: int, counts: Sequence[int]) -> None:
    amounts = np.zeros((2, rank), np.int64)
    amounts[:, axis] = counts
    node.op = "Pad"
    if graph.opset < 11:
        node.attrs, node.inputs = {"mode": "edge", "pads": amounts.ravel().tolist()}, [source]
        return
    name = unused_name(f"{node.outputs[0].name}/amounts", names_in(graph))
    node.attrs, node.inputs = {"mode": "edge"}, [source, Constant(name, amounts.ravel())]
