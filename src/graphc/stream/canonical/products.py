"""Rewrites products to a plain form: Einsum with two operands and no ellipsis, MatMul instead of FusedMatMul."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from string import ascii_letters

import numpy as np

from graphc.ir.graph import Graph, Node, Tensor, name_of, standard
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.decompose_attention import rank_of
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

ELLIPSIS = "..."


def plain_products(
    graph: Graph, shapes: Shapes, known: Mapping[str, Array], dtypes: Mapping[str, np.dtype[np.generic]]
) -> bool:
    """Rewrites each Einsum and each onnxruntime FusedMatMul that is not in plain form; returns whether there was one.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        known: the value of each time-only tensor, at one evaluated length.
        dtypes: the dtypes of the data tensors.
    """
    changed = False
    for node in list(graph.nodes):
        ranks = [rank_of(t, shapes, known) for t in node.inputs]
        if node.op == "Einsum" and standard(node) and ELLIPSIS in str(node.attrs["equation"]):
            node.attrs = {"equation": with_letters(str(node.attrs["equation"]), ranks)}
        elif node.op == "Einsum" and standard(node) and len(node.inputs) > 2:
            two_at_a_time(graph, node)
        elif node.op == "FusedMatMul" and node.domain == "com.microsoft" and not moves_batches(node):
            split_product(graph, node, ranks, dtypes.get(node.outputs[0].name, np.dtype(np.float32)))
        else:
            continue
        changed = True
    return changed


def two_at_a_time(graph: Graph, node: Node) -> None:
    """Replaces an Einsum of three or more operands by a chain of products of two operands."""
    terms, _, output = with_letters(str(node.attrs["equation"]), [0] * len(node.inputs)).partition("->")
    first, *others = terms.split(",")
    w = Writer(name_of(node))
    result: Tensor = node.inputs[0]
    letters = first
    for index, other in enumerate(others):
        needed = set(output).union(*others[index + 1 :])
        kept = "".join(c for c in dict.fromkeys(letters + other) if c in needed)
        factor = node.inputs[index + 1]
        if sorted(kept) == sorted(letters) == sorted(other) and len(set(kept)) == len(kept):
            result = w.one("Mul", result, w.transposed(factor, [other.index(c) for c in letters]))
        else:
            result = w.one("Einsum", result, factor, equation=f"{letters},{other}->{kept}")
            letters = kept
    w.replace(graph, node, w.transposed(result, [letters.index(c) for c in output]))


def with_letters(equation: str, ranks: Sequence[int]) -> str:
    """The Einsum equation with letters instead of each ellipsis, and with an explicit output.

    The letters do not occur in the equation, and are aligned from the right.

    If an equation has no output, ONNX defines it: the axes of the ellipsis, then the letters that occur once, sorted.

    Args:
        ranks: the rank of each operand.
    """
    terms, arrow, output = equation.replace(" ", "").partition("->")
    operands = terms.split(",")
    widths = [rank - len(t.replace(ELLIPSIS, "")) for t, rank in zip(operands, ranks, strict=True) if ELLIPSIS in t]
    unused = [c for c in ascii_letters if c not in equation][: max(widths, default=0)]
    if not arrow:
        letters = terms.replace(ELLIPSIS, "").replace(",", "")
        output = ELLIPSIS * bool(widths) + "".join(sorted(c for c in letters if letters.count(c) == 1))
    written = [
        t.replace(ELLIPSIS, "".join(unused[len(unused) - (rank - len(t) + len(ELLIPSIS)) :])) if ELLIPSIS in t else t
        for t, rank in zip(operands, ranks, strict=True)
    ]
    return f"{','.join(written)}->{output.replace(ELLIPSIS, ''.join(unused))}"


def moves_batches(node: Node) -> bool:
    return bool(node.attrs.get("transBatchA", 0) or node.attrs.get("transBatchB", 0))


def split_product(graph: Graph, node: Node, ranks: Sequence[int], dtype: np.dtype[np.generic]) -> None:
    """Replaces a FusedMatMul by Transpose, MatMul and Mul.

    The op is ``alpha * MatMul(A, B)``; its attributes say whether the last two axes of A or B are transposed first.
    """
    write = Writer(name_of(node))
    factors: list[Tensor] = []
    for tensor, rank, side in zip(node.inputs, ranks, ("transA", "transB"), strict=True):
        swapped = [*range(rank - 2), rank - 1, rank - 2]
        moves = node.attrs.get(side, 0) and rank > 1
        factors.append(write.one("Transpose", tensor, perm=swapped) if moves else tensor)
    result = write.one("MatMul", *factors)
    alpha = float(node.attrs.get("alpha", 1.0))
    if alpha != 1.0:
        result = write.one("Mul", result, np.asarray(alpha, dtype))
    write.replace(graph, node, result)
