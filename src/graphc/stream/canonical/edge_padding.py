"""Turns edge padding that is written with Slice and Concat, before or after a stream, into a Pad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    name_of,
    names_in,
    normalised,
    producer,
    standard,
    unused_name,
)
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.canonicalize import WHOLE
from graphc.stream.canonical.constants_behind_nodes import fixed, value_in
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

REPEATS = ("Expand", "Tile")
FIRST, LAST = 0, -1


def pad_by_edges(graph: Graph, shapes: Shapes) -> list[str] | None:
    """Turns the first Concat of a tensor with copies of its first or last frame into a Pad.

    Returns the names of the tensors on which the rewrite relies (``Evaluation.patterns``), or None if there is no such
    Concat.
    """
    for node in [n for n in graph.nodes if n.op == "Concat" and standard(n) and len(n.inputs) > 1]:
        sizes = [shapes.get(t.name) for t in node.inputs]
        if any(s is None for s in sizes):
            continue
        rank = len(shapes[node.inputs[0].name][0])
        axis = normalised(int(node.attrs["axis"]), rank)
        for place, tensor in enumerate(node.inputs):
            along = {shape[axis] for shape in shapes[tensor.name]}
            before, after = node.inputs[:place], node.inputs[place + 1 :]
            if len(along) < 2:
                continue
            relies = [
                repeats_frame(copy, tensor, axis, which, shapes)
                for copies, which in ((before, FIRST), (after, LAST))
                for copy in copies
            ]
            found = [names for names in relies if names is not None]
            if len(found) == len(relies):
                counts = [sum(shapes[t.name][0][axis] for t in copies) for copies in (before, after)]
                become_pad(graph, node, tensor, axis, rank, counts)
                return [name for names in found for name in names]
    return None


def repeats_frame(tensor: Tensor, source: Tensor, axis: int, which: int, shapes: Shapes) -> list[str] | None:
    """Checks whether a tensor is the first or last frame of ``source``, repeated along ``axis`` only.

    If so, returns the names of the computed sizes in the Expand or Tile nodes that repeat the frame. The caller must
    claim that these sizes are the same at every length. Otherwise returns None.

    Args:
        which: ``FIRST`` or ``LAST``.
    """
    frames = {shape[:axis] + shape[axis + 1 :] for shape in shapes[source.name]}
    if len({shape[axis] for shape in shapes.get(tensor.name, ())}) != 1:
        return None
    relies: list[str] = []
    node = producer(tensor)
    while node is not None and standard(node) and node.op in REPEATS:
        if {shape[:axis] + shape[axis + 1 :] for shape in shapes.get(tensor.name, ())} != frames:
            return None
        relies += [] if fixed(node.inputs[1]) else [node.inputs[1].name]
        tensor = node.inputs[0]
        node = producer(tensor)
    if node is None or not standard(node) or node.op != "Slice" or node.inputs[0] is not source:
        return None
    rank = len(shapes[source.name][0])
    one = {shape[axis] for shape in shapes.get(tensor.name, ())} == {1}
    return relies if one and cuts_out(node, axis, rank, which) else None


def cuts_out(node: Node, axis: int, rank: int, which: int) -> bool:
    """Whether a Slice returns only the first or the last frame (``which``) of one axis, and cuts no other axis."""
    starts, ends = argument(node, "starts", 1), argument(node, "ends", 2)
    axes, steps = argument(node, "axes", 3, [0]), argument(node, "steps", 4, [1])
    if starts != [which] or ends is None or axes not in ([axis], [axis - rank]) or steps is None or steps[0] < 1:
        return False
    return ends == [1] if which == FIRST else ends[0] >= WHOLE


def argument(node: Node, name: str, index: int, default: list[int] | None = None) -> list[int] | None:
    """The values of a Slice argument, or ``default`` if the argument is omitted; None if it is computed by nodes."""
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


def pad_by_last_frames(graph: Graph, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> list[str] | None:
    """Turns the first Concat that appends copies of the last frame, as many as the length requires, into a Pad.

    Returns the names of the tensors on which the rewrite relies (``Evaluation.patterns``), or None if there is no such
    Concat.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        known: the values of the time-only tensors, at each evaluated length.
    """
    for node in [n for n in graph.nodes if n.op == "Concat" and standard(n) and len(n.inputs) == 2]:
        source, copies = node.inputs
        repeat = producer(copies)
        if graph.opset < 11 or not {source.name, copies.name} <= set(shapes) or repeat is None:
            continue
        rank = len(shapes[source.name][0])
        axis = normalised(int(node.attrs["axis"]), rank)
        sizes = [shape[axis] for shape in shapes[source.name]]
        others = [[s[:axis] + s[axis + 1 :] for s in shapes[t.name]] for t in (source, copies)]
        if (
            repeat.op not in REPEATS
            or not standard(repeat)
            or not counts_axis(repeat, rank - axis, known)
            or others[0] != others[1]
            or len(set(sizes)) < 2
        ):
            continue
        cut = producer(repeat.inputs[0])
        if cut is not None and cut.inputs[0] is source and takes_last(cut, axis, rank, sizes, known):
            return padded_behind(graph, node, repeat, cut, axis, rank)
    return None


def counts_axis(repeat: Node, from_right: int, known: Sequence[Mapping[str, Array]]) -> bool:
    """Whether the shape of an Expand, or the repeats of a Tile, has an entry for an axis at every evaluated length.

    Args:
        from_right: the axis, counted from the right, with 1 for the last axis.
    """
    name = repeat.inputs[1].name
    return all(name in values and len(values[name]) >= from_right for values in known)


def takes_last(node: Node, axis: int, rank: int, sizes: Sequence[int], known: Sequence[Mapping[str, Array]]) -> bool:
    """Whether a node is a Slice that returns only the last frame of an axis, at each evaluated length.

    Args:
        sizes: the number of frames on the axis, at each evaluated length.
        known: the values of the time-only tensors, at each evaluated length.
    """
    if node.op != "Slice" or not standard(node) or len(node.inputs) < 4:
        return False
    ends, axes, steps = argument(node, "ends", 2), argument(node, "axes", 3), argument(node, "steps", 4, [1])
    if ends is None or ends[0] < WHOLE or axes not in ([axis], [axis - rank]) or steps != [1]:
        return False
    name = node.inputs[1].name
    return argument(node, "starts", 1) == [-1] or all(
        name in values and values[name].tolist() == [n - 1] for values, n in zip(known, sizes, strict=True)
    )


def padded_behind(graph: Graph, node: Node, repeat: Node, cut: Node, axis: int, rank: int) -> list[str]:
    w = Writer(name_of(node))
    source = node.inputs[0]
    count = w.one("Gather", repeat.inputs[1], [axis - rank], axis=0)
    amounts = w.one("Concat", [0] * (rank + axis), count, np.zeros(rank - 1 - axis, np.int64), axis=0)
    relies = []
    if argument(cut, "starts", 1) is None:
        relies.append(w.one("Equal", cut.inputs[1], w.one("Sub", w.size(source, axis), 1)).name)
    w.replace(graph, node, w.one("Pad", source, amounts, mode="edge"))
    return relies
