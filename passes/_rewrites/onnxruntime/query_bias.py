"""Moves the bias that attention adds to its queries into the product that computes the queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from graphc_passes._rewrites.layout.moves_to_gather import moved
from numpy.typing import NDArray

from graphc.api import Constant, Node, Rewrite, Scene, Tensor, Variable, register_rewrite, standard, weight_of

Array = NDArray[Any]
BIAS = 3
MOVES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose")
SPLITTING = ("Split", "Reshape", "Squeeze", "Unsqueeze", "Flatten")


@dataclass(frozen=True)
class Product:
    """A node that adds a constant bias to the queries.

    Args:
        index: the place of the bias among the inputs of ``node``.
        bias: one entry for each column of the product.
        first: the first entry of the bias that belongs to the queries.
    """

    node: Node
    index: int
    bias: Array
    first: int


@register_rewrite
class QueryBias(Rewrite):
    """The query bias of MultiHeadAttention moves into the bias of the product that computes the queries. If an Add also
    reads these queries (relative positions), the query bias is subtracted from the constant of that Add.
    """

    name = "query_bias"
    stage = "target"
    needs = ("com.microsoft::MultiHeadAttention",)

    def apply(self, scene: Scene) -> int:
        found = [n for n in scene.graph.nodes if n.op == "MultiHeadAttention" and n.domain == "com.microsoft"]
        return sum(moved_back(scene, n) for n in found)


def moved_back(scene: Scene, attention: Node) -> bool:
    own = weight_of(attention.inputs[BIAS]) if len(attention.inputs) > BIAS else None
    query, sizes = attention.inputs[0], scene.fixed(attention.inputs[0])
    if own is None or sizes is None or not scene.is_inner(query) or own.size != 3 * sizes[-1] or own[sizes[-1] :].any():
        return False
    product = product_of(scene, query)
    sums = [sum_behind(scene, query, n) for n in query.outputs if n is not attention]
    if product is None or any(s is None for s in sums) or attention.inputs.count(query) > 1:
        return False
    shift = own[: sizes[-1]].astype(np.float64)
    bias = product.bias.astype(np.float64)
    bias[product.first : product.first + sizes[-1]] += shift
    base = attention.name or attention.outputs[0].name
    product.node.inputs[product.index] = scene.constant(f"{base}/bias", bias.astype(product.bias.dtype))
    for found in sums:
        assert found is not None
        add, index, chain = found
        value = weight_of(add.inputs[index])
        assert value is not None
        rest = value.astype(np.float64) - carried(scene, np.broadcast_to(shift, sizes), chain)
        add.inputs[index] = scene.constant(f"{base}/rest", rest.astype(value.dtype))
    attention.inputs[BIAS] = Variable.empty()
    return True


def product_of(scene: Scene, query: Tensor) -> Product | None:
    """The product with a constant bias that computes the queries; None if there is none.

    The queries may be only some columns of the product.
    """
    tensor, first = query, 0
    while (maker := scene.maker(tensor, *SPLITTING)) is not None:
        source, shape = maker.inputs[0], scene.fixed(maker.inputs[0])
        out = scene.fixed(tensor)
        if shape is None or out is None or len(source.outputs) > 1 or not scene.is_inner(source):
            return None
        if maker.op == "Split":
            if int(maker.attrs.get("axis", 0)) not in (-1, len(shape) - 1):
                return None
            place = next(i for i, t in enumerate(maker.outputs) if t is tensor)
            before = [scene.fixed(t) for t in maker.outputs[:place]]
            if any(b is None for b in before):
                return None
            first += sum(b[-1] for b in before if b)
        elif shape[-1] != out[-1]:
            return None
        tensor = source
    node = scene.maker(tensor, "Gemm", "Add")
    if node is None or len(node.inputs) < 2 or float(node.attrs.get("beta", 1)) != 1:
        return None
    width = (scene.fixed(tensor) or [0])[-1]
    for index in (2,) if node.op == "Gemm" else (0, 1):
        held = node.inputs[index] if index < len(node.inputs) else None
        bias = weight_of(held) if isinstance(held, Constant) else None
        if bias is not None and bias.shape == (width,):
            return Product(node, index, bias, first)
    return None


def sum_behind(scene: Scene, query: Tensor, reader: Node) -> tuple[Node, int, list[Node]] | None:
    """Follows a reader of the queries to an Add of a constant. None if it leads to any other node.

    Returns the Add, the place of the constant among its inputs, and the nodes between the queries and the Add.
    """
    chain: list[Node] = []
    source = query
    while reader.op in MOVES and standard(reader) and reader.inputs[0] is source:
        chain.append(reader)
        source = reader.outputs[0]
        if scene.fixed(source) is None or len(source.outputs) != 1 or not scene.is_inner(source):
            return None
        reader = source.outputs[0]
    if reader.op != "Add" or not standard(reader):
        return None
    index = 0 if reader.inputs[1] is source else 1
    return (reader, index, chain) if weight_of(reader.inputs[index]) is not None else None


def carried(scene: Scene, value: Array, chain: list[Node]) -> Array:
    """An array after a chain of nodes has moved its entries. Axes along which all entries are equal get size 1."""
    for node in chain:
        after = moved(scene, node, value)
        assert after is not None
        value = after
    for axis in range(value.ndim):
        one = value.take([0], axis=axis)
        value = one if np.array_equal(np.broadcast_to(one, value.shape), value) else value
    return value
