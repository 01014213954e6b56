"""Removes folds: a Reshape that folds axes into rows, ops on the rows, and a Reshape that unfolds the rows.

If there is an axis before time, as in attention over frequency with frames as its batch, a fold would mix frames with
that axis. The ops run on all axes instead.
"""

from __future__ import annotations

import math

import numpy as np

from graphc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    constant_of,
    is_sparse,
    names_in,
    place_of,
    producer,
    standard,
    unused_name,
)
from graphc.stream.canonical.constants_behind_nodes import fixed
from graphc.stream.facts.index_map import Shapes
from graphc.stream.lowering.frame_by_frame import is_elementwise


def unfold_rows(graph: Graph, shapes: Shapes) -> bool:
    """Removes each pair of Reshapes that folds axes into rows and unfolds them; returns whether there was one.

    A Gemm between the two Reshapes becomes a MatMul.
    """
    changed = False
    ports = {id(t) for t in graph.outputs}
    for fold in [n for n in graph.nodes if n.op == "Reshape" and standard(n)]:
        rows = chain_of_rows(fold, ports) if fold.outputs else None
        if rows is None:
            continue
        *between, unfold = rows
        sizes = sizes_unfolded(fold, unfold, shapes)
        if sizes is None or not one_follows_time(unfold):
            continue
        name = unused_name(f"{fold.outputs[0].name}/sizes", names_in(graph))
        fold.inputs = [fold.inputs[0], Constant(name, np.array(sizes, np.int64))]
        fold.attrs = {}
        for node in (fold, *between):
            node.outputs[0].shape = None
            if node.op == "Gemm":
                as_matmul(graph, node)
        position = place_of(graph, unfold)
        source, output = unfold.inputs[0], unfold.outputs[0]
        unfold.inputs.clear()
        unfold.outputs.clear()
        source.inputs[0].outputs = [output]
        del graph.nodes[position]
        changed = True
    return changed


def chain_of_rows(fold: Node, ports: set[int]) -> list[Node] | None:
    """The nodes after a folding Reshape, up to and including the Reshape that unfolds the rows.

    None if a tensor between the two Reshapes is read elsewhere, or if a node between them does not work row by row.

    Args:
        ports: the ids of the graph's outputs.
    """
    found: list[Node] = []
    tensor = fold.outputs[0]
    while id(tensor) not in ports and len(tensor.outputs) == 1:
        node = tensor.outputs[0]
        if node.op == "Reshape" and standard(node) and node.inputs[0] is tensor and found:
            return [*found, node]
        if not on_rows(node, tensor):
            return None
        found.append(node)
        tensor = node.outputs[0]
    return None


def on_rows(node: Node, tensor: Tensor) -> bool:
    """Whether a node computes each output row only from the same row of ``tensor`` and from constants."""
    others = [t for t in node.inputs if t is not tensor and t.name]
    shapes = [tuple(t.shape) for t in others if isinstance(t, Constant) and not is_sparse(t)]
    if not standard(node) or len(node.outputs) != 1 or len(shapes) < len(others):
        return False
    if node.op == "Gemm":
        return node.inputs[0] is tensor and not node.attrs.get("transA") and all(is_row(s) for s in shapes[1:])
    if node.op == "MatMul":
        return node.inputs[0] is tensor and [len(s) for s in shapes] == [2]
    return is_elementwise(node) and all(is_row(s) for s in shapes)


def is_row(shape: tuple[int, ...]) -> bool:
    """Whether a constant of this shape is the same for every row."""
    return len(shape) < 3 and math.prod(shape[:-1]) == 1


def sizes_unfolded(fold: Node, unfold: Node, shapes: Shapes) -> list[int] | None:
    """The new target shape of the folding Reshape: the unfolded axes (-1 for time), then the row's own axis.

    None if all axes before time have size 1, or if the tensors between the two Reshapes are not rows.
    """
    seen = [shapes.get(t.name, ()) for t in (fold.outputs[0], unfold.inputs[0], unfold.outputs[0])]
    if any(not s for s in seen):
        return None
    folded, last, unfolded = seen
    rank = len(unfolded[0])
    if any(len(s) != 2 for s in (*folded, *last)) or len({len(s) for s in unfolded}) > 1 or rank < 3:
        return None
    if any(u[-1] != s[-1] for u, s in zip(unfolded, last, strict=True)) or len({s[-1] for s in folded}) > 1:
        return None
    varying = [a for a in range(rank) if len({s[a] for s in unfolded}) > 1]
    if len(varying) != 1 or varying[0] == rank - 1 or math.prod(unfolded[0][: varying[0]]) == 1:
        return None
    return [*(-1 if a == varying[0] else size for a, size in enumerate(unfolded[0][:-1])), folded[0][-1]]


def one_follows_time(unfold: Node) -> bool:
    """Whether at most one size in the target shape of an unfolding Reshape is not a constant."""
    shape = unfold.inputs[1]
    if fixed(shape):
        return True
    maker = producer(shape)
    return maker is not None and maker.op == "Concat" and sum(not fixed(t) for t in maker.inputs) == 1


def as_matmul(graph: Graph, node: Node) -> None:
    """Replaces a Gemm on rows by MatMul and Add, which accept tensors of more than two axes."""
    tensor, weight, *rest = node.inputs
    value, taken = constant_of(weight), names_in(graph)
    assert value is not None
    product = (value.T if node.attrs.get("transB") else value) * value.dtype.type(node.attrs.get("alpha", 1.0))
    node.inputs = [tensor, Constant(unused_name(f"{weight.name}/product", taken), np.ascontiguousarray(product))]
    bias = constant_of(rest[0]) if rest and rest[0].name else None
    if bias is not None:
        output, part = node.outputs[0], Variable(unused_name(f"{node.outputs[0].name}/product", taken))
        node.outputs = [part]
        value = bias.ravel() * bias.dtype.type(node.attrs.get("beta", 1.0))
        added = Constant(unused_name(f"{rest[0].name}/added", taken), value)
        graph.nodes.insert(place_of(graph, node) + 1, Node("Add", f"{node.name}/add", {}, [part, added], [output]))
    node.op, node.attrs = "MatMul", {}
