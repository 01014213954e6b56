"""Rewrites a tensor that is split to a sequence, as in scripted PyTorch models, to the slices taken from it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from graphc.ir.graph import Graph, Node, captured, name_of, normalised, standard
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.constants_behind_nodes import value_in
from graphc.stream.facts.index_map import Shapes

DATA, SPLIT = range(2)


def slice_sequences(graph: Graph, shapes: Shapes) -> bool:
    """Turns each SplitToSequence whose elements are taken one by one into slices; returns whether there was one.

    Args:
        shapes: the shapes of the data tensors, at each length evaluated.
    """
    changed = False
    for node in [n for n in graph.nodes if n.op == "SplitToSequence" and standard(n)]:
        seen, sequence = shapes.get(node.inputs[DATA].name), node.outputs[0]
        inner = any(t is sequence for n in graph.nodes for t in captured(n))
        if seen is None or inner or any(t is sequence for t in graph.outputs):
            continue
        axis = normalised(int(node.attrs.get("axis", 0)), len(seen[0]))
        readers, sizes = list(sequence.outputs), {shape[axis] for shape in seen}
        places = [int(p) for r in readers if r.op == "SequenceAt" and (p := value_in(r.inputs[1])) is not None]
        ends = ends_of(node, sizes.pop()) if len(sizes) == 1 else None
        if ends is None or not readers or len(places) < len(readers):
            continue
        pieces = list(pairwise(ends))
        for reader, place in zip(readers, places, strict=True):
            start, end = pieces[place]
            w = Writer(name_of(reader))
            piece = w.one("Slice", node.inputs[DATA], [start], [end], [axis])
            w.replace(graph, reader, piece if keeps_axis(node) else w.one("Squeeze", piece, [axis]))
        changed = True
    return changed


def keeps_axis(node: Node) -> bool:
    """Whether elements keep the axis. onnxruntime drops it if ``keepdims`` is 0, unless a list of sizes is given."""
    split = value_in(node.inputs[SPLIT]) if has_sizes(node) else np.array(1)
    return bool(node.attrs.get("keepdims", 1)) or split.ndim > 0


def has_sizes(node: Node) -> bool:
    return len(node.inputs) > SPLIT and bool(node.inputs[SPLIT].name)


def ends_of(node: Node, size: int) -> list[int] | None:
    """Where the pieces of an axis of ``size`` entries begin, and where the last one ends; None if that is not known."""
    split = value_in(node.inputs[SPLIT]) if has_sizes(node) else np.array(1)
    if split is None:
        return None
    if split.ndim:
        return [0, *(int(end) for end in np.cumsum(split))]
    return [*range(0, size, int(split)), size]
