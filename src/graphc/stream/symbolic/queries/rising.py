"""Where one entry of a tensor is above another: for penalties that grow with the distance."""

from __future__ import annotations

import math

import numpy as np

from graphc.stream.symbolic.domain.space import Expr, Region, constant, less, nowhere, scaled
from graphc.stream.symbolic.domain.tensor import Applied, Leaf, Number, Read, Stored, number_in
from graphc.stream.symbolic.queries.differ import Difference, of_leaves

RISING = ("Add", "Mul", "Div", "Sub", "Sqrt", "Relu")
FLOATS = ("float16", "float32", "float64")
FACTORS = ("Mul", "Div")


def rises(one: Leaf, other: Leaf, where: Region, rank: int, sign: int) -> Difference:
    """The entries of a set at which ``other`` is, or may be, above ``one`` (below ``one`` if ``sign`` is -1).

    Rounding keeps the order: sums, products and quotients with a fixed number, and roots, are rounded to the nearest
    number that the type holds, or to infinity (IEEE 754).
    """
    if isinstance(one, Number) and isinstance(other, Number):
        return Difference(where & less(scaled(one.expr, sign), scaled(other.expr, sign)), nowhere(rank))
    if not (isinstance(one, Applied) and isinstance(other, Applied)):
        return of_leaves(one, other, where, rank)
    if one.op != other.op or len(one.operands) != len(other.operands):
        return of_leaves(one, other, where, rank)
    if is_square(one) and is_square(other):
        a, b = (magnitude(leaf.operands[0]) for leaf in (one, other))
        return Difference(where & less(scaled(a, sign), scaled(b, sign)), nowhere(rank))
    pairs = enumerate(zip(one.operands, other.operands, strict=True))
    moving = [index for index, (a, b) in pairs if not is_same(a, b, where, rank)]
    direction = direction_of(one, moving[0], where, rank) if len(moving) == 1 else 0
    if not direction:
        return of_leaves(one, other, where, rank)
    found = rises(one.operands[moving[0]], other.operands[moving[0]], where, rank, sign * direction)
    return Difference(nowhere(rank), found.sure | found.unsure)


def direction_of(leaf: Applied, moving: int, where: Region, rank: int) -> int:
    """1 if an op rises with one operand while the others stay as they are, -1 if it falls, 0 if neither is known.

    Ops on integers, and casts to integers, may wrap, so neither is known.
    """
    op = str(leaf.op[0])
    if len(leaf.op) < 2 or leaf.op[1] not in FLOATS:
        return 0
    if op == "Sqrt" and not never_negative(leaf.operands[0], where, rank):
        return 0
    if op == "Neg":
        return -1
    if op not in RISING:
        return 0
    if op in FACTORS:
        fixed = leaf.operands[1 - moving]
        may_underflow = op == "Div" and (moving == 1 or isinstance(fixed, Applied))
        return 0 if may_underflow else sign_of(fixed, rank)
    return -1 if op == "Sub" and moving == 1 else 1


def sign_of(leaf: Leaf, rank: int) -> int:
    """The sign that a leaf has in all entries; 0 if entries have different signs, or if a sign is not known."""
    if isinstance(leaf, Applied) and leaf.op[0] in FACTORS and leaf.op[1] in FLOATS:
        return math.prod(sign_of(operand, rank) for operand in leaf.operands)
    if isinstance(leaf, Read) and isinstance(leaf.source, Stored):
        signs = np.unique(np.sign(leaf.source.values))
        return int(signs[0]) if len(signs) == 1 and np.isfinite(leaf.source.values).all() else 0
    if not isinstance(leaf, Number):
        return 0
    zero = constant(0, rank)
    above, below = less(zero, leaf.expr), less(leaf.expr, zero)
    return 1 if (leaf.expr.domain() - above).is_empty() else -1 if (leaf.expr.domain() - below).is_empty() else 0


def never_negative(leaf: Leaf, where: Region, rank: int) -> bool:
    """Whether a number, or a product or quotient of such numbers, is at least 0 in all entries of a set."""
    if isinstance(leaf, Applied) and leaf.op[0] in FACTORS and leaf.op[1] in FLOATS:
        return all(never_negative(operand, where, rank) for operand in leaf.operands)
    return isinstance(leaf, Number) and (where & less(leaf.expr, constant(0, rank))).is_empty()


def is_same(one: Leaf, other: Leaf, where: Region, rank: int) -> bool:
    found = of_leaves(one, other, where, rank)
    return found.sure.is_empty() and found.unsure.is_empty()


def is_square(leaf: Applied) -> bool:
    """Whether an op multiplies a float by itself. onnxruntime computes Pow with an exponent of 2 in the same way."""
    one, other = leaf.operands if len(leaf.operands) == 2 else (None, None)
    if not isinstance(one, Number) or not isinstance(other, Number) or leaf.op[1] not in FLOATS:
        return False
    same = leaf.op[0] == "Mul" and one.expr.plain_is_equal(other.expr)
    return same or (leaf.op[0] == "Pow" and number_in(other) == 2)


def magnitude(leaf: Leaf) -> Expr:
    assert isinstance(leaf, Number)
    return leaf.expr.max(leaf.expr.neg())
