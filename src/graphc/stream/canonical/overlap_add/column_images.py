"""Rewrites Col2Im over one axis, to which ``torch.nn.functional.fold`` is exported for overlap-add."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Graph, Node, constant_of, name_of, standard
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.overlap_add.even_places import EvenPlaces, fitting
from graphc.stream.canonical.overlap_add.overlapped_frames import length_of, overlapped
from graphc.stream.facts.index_map import Shapes


def spread_columns(graph: Graph, shapes: Shapes) -> list[str] | None:
    """Rewrites the first Col2Im over one axis to a sum of shifted frames.

    Returns the names of the tensors on which the rewrite relies (``Evaluation.patterns``), or None if there is no such
    node.

    Args:
        shapes: the shapes of the tensors that nodes make, at each evaluated length.
    """
    for node in graph.nodes:
        if node.op != "Col2Im" or not standard(node):
            continue
        columns, _, block = node.inputs
        extent, images = constant_of(block), [shape[2:] for shape in shapes.get(node.outputs[0].name, ())]
        if columns.name not in shapes or extent is None or not images:
            continue
        moving = [a for a in range(len(extent)) if extent[a] != 1 or any(i[a] != 1 for i in images)]
        if len(moving) != 1:
            continue
        (axis,) = moving
        frames = [shape[2] for shape in shapes[columns.name]]
        places = places_on(node, axis, int(extent[axis]), frames, [int(i[axis]) for i in images])
        if places is not None:
            return rewritten(graph, node, axis, len(extent), places, shapes[columns.name][0][1])
    return None


def places_on(node: Node, axis: int, entries: int, frames: Sequence[int], sizes: Sequence[int]) -> EvenPlaces | None:
    """The positions on one image axis to which a Col2Im adds the entries of its blocks; None if it is not supported.

    Padding of other axes is not supported. Dilations are supported only for images of two axes, since onnxruntime
    deviates from ONNX for others.

    Args:
        entries: the number of entries of a block along the axis.
        frames: the number of blocks, at each evaluated length.
        sizes: the size of the image along the axis, at each evaluated length.
    """
    rank = len(node.attrs.get("pads", ())) // 2 or axis + 1
    pads = [int(p) for p in node.attrs.get("pads", [0] * 2 * rank)]
    hops, gaps = (node.attrs.get(name, [1] * rank) for name in ("strides", "dilations"))
    others = [p for a in range(rank) if a != axis for p in (pads[a], pads[a + rank])]
    if any(others) or len(set(frames)) < 2 or (rank != 2 and any(int(g) != 1 for g in gaps)):
        return None
    offsets = tuple(int(gaps[axis]) * k for k in range(entries))
    return fitting(int(hops[axis]), offsets, frames, sizes, pads[axis])


def rewritten(graph: Graph, node: Node, axis: int, rank: int, places: EvenPlaces, channels: int) -> list[str]:
    columns, image, _ = node.inputs
    w = Writer(name_of(node))
    entries = len(places.offsets)
    apart = w.one("Reshape", columns, [0, channels // entries, entries, -1])
    frames = w.one("Transpose", apart, perm=[0, 1, 3, 2])
    spread = overlapped(w, frames, 4, places)
    shape = [0, 0, *[1] * axis, -1, *[1] * (rank - 1 - axis)]
    result = w.one("Reshape", spread, shape)
    right = w.one("Equal", w.one("Gather", image, [axis], axis=0), length_of(w, w.size(columns, 2), places))
    w.replace(graph, node, result)
    return [right.name]
