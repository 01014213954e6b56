"""Keeps weights that a model stores as integers, with their learned scales."""

from __future__ import annotations

import numpy as np

from graphc.ir.graph import Constant, Node, Tensor, constant_of, normalised, op_of, producer
from graphc.stream.evaluation.evaluate import values_of
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder

LEARNED = "learned values"
RESHAPES = ("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity")


def kept_integers(tensor: Tensor, value: Array, evaluation: Evaluation, builder: Builder) -> Tensor | None:
    """The constant as a DequantizeLinear of moved integers, if a DequantizeLinear and nodes that move entries made it.

    None for any other constant, and if scales along an axis cannot move with the integers.

    Integers that the model makes from a float constant are computed once, so that the weight is stored as integers.
    """
    moves: list[Node] = []
    node = producer(tensor)
    while node is not None and op_of(node) in ("Transpose", *RESHAPES):
        moves.append(node)
        node = producer(node.inputs[0])
    if node is None or op_of(node) != "DequantizeLinear" or node.attrs.get("block_size"):
        return None
    parts = [steady_value(t, evaluation) for t in node.inputs]
    if any(p is None for p in parts):
        return None
    integers, *scales = (p for p in parts if p is not None)
    attrs = dict(node.attrs)
    if scales[0].size > 1:
        if any(op_of(m) != "Transpose" for m in moves):
            return None
        axis = normalised(int(attrs.get("axis", 1)), integers.ndim)
        for move in reversed(moves):
            axis = perm_of(move, integers.ndim).index(axis)
        attrs["axis"] = axis
    for move in reversed(moves):
        if op_of(move) == "Transpose":
            integers = integers.transpose(perm_of(move, integers.ndim))
        elif move is moves[0] or all(op_of(m) != "Transpose" for m in moves[: moves.index(move)]):
            integers = integers.reshape(value.shape)
        else:
            return None
    held = [builder.constant(np.ascontiguousarray(integers).reshape(value.shape), f"{tensor.name}/integers")]
    held += [builder.constant(s, f"{tensor.name}/scale") for s in scales]
    return builder.one("DequantizeLinear", *held, hint="weight", **attrs)


def perm_of(node: Node, rank: int) -> list[int]:
    return [int(a) for a in node.attrs.get("perm", range(rank)[::-1])]


def steady_value(tensor: Tensor, evaluation: Evaluation) -> Array | None:
    """The value of a tensor that is the same at every length; None for any other."""
    if isinstance(tensor, Constant):
        return constant_of(tensor)
    known = evaluation.known.get(tensor.name) or learned_values(evaluation).get(tensor.name)
    return None if known is None or known.steady is None else np.asarray(known.steady)


def learned_values(evaluation: Evaluation) -> dict[str, TimeConstant]:
    """The values of the inputs of every DequantizeLinear that reads no data, computed once."""
    if LEARNED not in evaluation.memo:
        carried = evaluation.carried
        nodes = [n for n in evaluation.graph.nodes if op_of(n) == "DequantizeLinear"]
        reads = {t.name for n in nodes if n.inputs[0].name not in carried for t in n.inputs}
        names = sorted(name for name in reads - set(evaluation.known) if name)
        evaluation.memo[LEARNED] = values_of(evaluation, *names) if names else {}
    found: dict[str, TimeConstant] = evaluation.memo[LEARNED]
    return found
