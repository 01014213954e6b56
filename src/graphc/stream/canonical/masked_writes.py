"""Rewrites writes at the places where a mask is true as choices: ``y[mask] = 0`` is exported with a NonZero."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import TensorProto

from graphc.ir.graph import Constant, Graph, Tensor, name_of, producer, standard
from graphc.ir.node_writer import Writer
from graphc.stream.facts.index_map import Shapes

DATA, INDICES, UPDATES = range(3)
RESHAPING = ("Identity", "Reshape", "Expand", "Unsqueeze", "Squeeze")


def choose_by_mask(graph: Graph, shapes: Shapes, dtypes: Mapping[str, np.dtype[np.generic]]) -> bool:
    """Turns each ScatterND at the places of a mask into a Where; returns whether there was one.

    Args:
        shapes: the shapes of the tensors outside subgraphs, at each length evaluated.
        dtypes: the dtypes of the data tensors.
    """
    changed = False
    for node in [n for n in graph.nodes if n.op == "ScatterND" and standard(n)]:
        data, mask = node.inputs[DATA], mask_of(node.inputs[INDICES])
        if mask is None or mask.name not in shapes or data.name not in shapes:
            continue
        covered, rank = len(shapes[mask.name][0]), len(shapes[data.name][0])
        fits = all(m == d[:covered] for m, d in zip(shapes[mask.name], shapes[data.name], strict=True))
        w = Writer(name_of(node))
        value = written_value(w, node.inputs[UPDATES], rank - covered, shapes)
        if not fits or value is None or node.attrs.get("reduction", "none") != "none":
            continue
        if dtypes.get(mask.name) != np.bool_:
            mask = w.one("Cast", mask, to=TensorProto.BOOL)
        wide = w.one("Unsqueeze", mask, [*range(covered, rank)]) if covered < rank else mask
        w.replace(graph, node, w.one("Where", wide, value, data))
        changed = True
    return changed


def mask_of(indices: Tensor) -> Tensor | None:
    """The mask of which indices are the places, as rows; None if they are not those of a mask."""
    turned = producer(indices)
    found = producer(turned.inputs[0]) if turned is not None and turned.op == "Transpose" else None
    if turned is None or found is None or found.op != "NonZero" or list(turned.attrs.get("perm", (1, 0))) != [1, 0]:
        return None
    return found.inputs[0]


def written_value(w: Writer, updates: Tensor, rest: int, shapes: Shapes) -> Tensor | None:
    """What is written at every place, if it is the same: a tensor that broadcasts to the last ``rest`` axes."""
    tensor = updates
    while (node := producer(tensor)) is not None and node.op in RESHAPING:
        tensor = node.inputs[0]
        if all(np.prod(shape) == 1 for shape in shapes_of(tensor, shapes)):
            return w.one("Reshape", tensor, np.zeros(0, np.int64))
    node = producer(updates)
    if node is None or node.op != "Expand":
        return None
    source = node.inputs[0]
    frames = [shape for shape in shapes_of(source, shapes) if len(shape) <= rest or shape[0] == 1]
    return source if frames and len(frames) == len(shapes_of(source, shapes)) else None


def shapes_of(tensor: Tensor, shapes: Shapes) -> list[tuple[int, ...]]:
    if isinstance(tensor, Constant):
        return [tuple(tensor.shape)]
    return [*shapes.get(tensor.name, ((0,),))]
