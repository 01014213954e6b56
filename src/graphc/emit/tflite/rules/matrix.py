"""Products of matrices: FULLY_CONNECTED for known weights, BATCH_MATMUL for two computed values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter, entries
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.value import Array, Value, known, last, straight


@rule("Gemm")
def gemm(e: Emitter, node: Node) -> Sequence[Value]:
    a, b, c = node.value(0), node.value(1), node.present(2)
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    a = swapped(a) if node.attributes.get("transA", 0) else a
    b = swapped(b) if node.attributes.get("transB", 0) else b
    if b.constant is None:
        product = matmul_of(e, a, b)
        product = product if alpha == 1.0 else e.elementwise("MUL", [product, e.number(alpha)])
        if c is None:
            return [product]
        return [e.elementwise("ADD", [product, c if beta == 1.0 else e.elementwise("MUL", [c, e.number(beta)])])]
    weights = alpha_times(entries(b), alpha)
    width = b.shape[1]
    row = c is not None and c.constant is not None and c.constant.size in (1, width) and c.constant.shape[-1:] != (1,)
    bias = alpha_times(np.broadcast_to(entries(c).reshape(-1), (width,)), beta) if c is not None and row else None
    made = connected(e, a, weights, bias)
    if c is None or row:
        return [made]
    scaled = c if beta == 1.0 else e.elementwise("MUL", [c, e.number(beta)])
    return [e.elementwise("ADD", [made, scaled])]


def alpha_times(array: Array, factor: float) -> Array:
    return array if factor == 1.0 else (array * np.asarray(factor, array.dtype))


def swapped(x: Value) -> Value:
    """A matrix with its two axes swapped. No entries move."""
    if x.constant is not None:
        return known(np.swapaxes(x.constant, -1, -2))
    moves = [*range(x.rank - 2), x.rank - 1, x.rank - 2]
    return Value(tuple(x.shape[a] for a in moves), x.dtype, x.tensor, tuple(moves.index(a) for a in x.order))


def connected(e: Emitter, x: Value, weights: Array, bias: Array | None) -> Value:
    """x times known weights (inputs, outputs) along the last axis, plus a bias. The other axes may be in any order."""
    order = last(x.order, x.rank - 1)
    shape = (*x.shape[:-1], weights.shape[1])
    inputs = [e.stored(x, order), e.constant(weights.T)]
    inputs.append(-1 if bias is None else e.constant(bias))
    made = e.op("FULLY_CONNECTED", inputs, [shape[a] for a in order], x.dtype, keepNumDims=True)
    return e.value(made, shape, x.dtype, order)


@rule("MatMul")
def matmul(e: Emitter, node: Node) -> Sequence[Value]:
    a, b = node.value(0), node.value(1)
    if b.constant is not None and b.rank == 2 and a.rank > 0 and a.dtype == np.float32:
        return [connected(e, a, b.constant, None)]
    return [matmul_of(e, a, b)]


def matmul_of(e: Emitter, a: Value, b: Value) -> Value:
    """numpy's matmul of two computed values."""
    left = e.given(a, (1, *a.shape)) if a.rank == 1 else a
    right = e.given(b, (*b.shape, 1)) if b.rank == 1 else b
    rank = max(left.rank, right.rank)
    left, right = (e.given(v, (1,) * (rank - v.rank) + v.shape) for v in (left, right))
    batch = np.broadcast_shapes(left.shape[:-2], right.shape[:-2])
    shape = (*batch, left.shape[-2], right.shape[-1])
    (x, flip_x), (y, flip_y) = (either_way(e, v) for v in (left, right))
    made = e.value(e.op("BATCH_MATMUL", [x, y], shape, a.dtype, adjX=flip_x, adjY=flip_y), shape, a.dtype)
    if a.rank == 1:
        shape = (*shape[:-2], shape[-1])
    if b.rank == 1:
        shape = shape[:-1]
    return e.given(made, shape)


def either_way(e: Emitter, x: Value) -> tuple[int, bool]:
    """The tensor of a matrix, and whether the product must transpose it: its last two axes may be stored swapped."""
    turned = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    if x.constant is None and x.order == turned and x.order != straight(x.rank):
        return e.stored(x, turned), True
    return e.stored(x), False


@rule("Einsum")
def einsum(e: Emitter, node: Node) -> Sequence[Value]:
    """An einsum of two inputs as a matrix product: batch axes are in both and the result, summed axes in both only."""
    equation = node.attributes["equation"].decode().replace(" ", "")
    terms, _, result = equation.partition("->")
    names = terms.split(",")
    if len(names) != 2 or not result or "." in equation or any(len(set(n)) < len(n) for n in names):
        raise node.refused(
            f"graphc converts products of two inputs, each axis named once, and its equation is {equation}"
        )
    (left, right), (a, b) = names, (node.value(0), node.value(1))
    sizes = dict(zip(left + right, a.shape + b.shape, strict=True))
    both = [n for n in left if n in right and n in result]
    summed = [n for n in left if n in right and n not in result]
    ours, theirs = ([n for n in one if n not in other] for one, other in ((left, right), (right, left)))
    if any(n not in result for n in (*ours, *theirs)):
        raise node.refused(
            f"its equation {equation} sums over an axis that only one of the inputs has", "sum it with ReduceSum first"
        )
    x = arranged(e, a, left, both, ours, summed, sizes)
    y = arranged(e, b, right, both, summed, theirs, sizes)
    order = [*both, *ours, *theirs]
    made = e.given(matmul_of(e, x, y), [sizes[n] for n in order])
    assert made.tensor is not None
    return [
        Value(tuple(sizes[n] for n in result), a.dtype, made.tensor, tuple(result.index(order[i]) for i in made.order))
    ]


def arranged(
    e: Emitter, x: Value, names: str, batch: list[str], rows: list[str], columns: list[str], sizes: dict[str, int]
) -> Value:
    """A value reshaped into a batch of matrices."""
    moves = [names.index(n) for n in (*batch, *rows, *columns)]
    shape = [*(sizes[n] for n in batch), math.prod(sizes[n] for n in rows), math.prod(sizes[n] for n in columns)]
    if x.constant is not None:
        return known(np.transpose(x.constant, moves).reshape(shape))
    moved = Value(tuple(x.shape[a] for a in moves), x.dtype, x.tensor, tuple(moves.index(a) for a in x.order))
    return e.given(moved, shape)
