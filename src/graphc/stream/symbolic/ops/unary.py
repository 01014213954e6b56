"""Ops with one operand: integer parts, signs and casts are exact; other ops give equal results for equal operands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx

from graphc.stream.symbolic.domain.combine import combined
from graphc.stream.symbolic.domain.space import (
    Expr,
    Region,
    constant,
    indicator,
    less,
    remainder,
    scaled,
    tidy,
    unequal,
)
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Special, number_in, numbered
from graphc.stream.symbolic.ops.arithmetic import toward_zero
from graphc.stream.symbolic.overflow_and_rounding import with_overflow_noted
from graphc.stream.symbolic.registry import Operands, formula_of

SAME = ("Identity", "Dropout")
NUMPY: dict[str, Any] = {
    "Sqrt": np.sqrt,
    "Exp": np.exp,
    "Log": np.log,
    "Reciprocal": np.reciprocal,
    "Sin": np.sin,
    "Cos": np.cos,
    "Tanh": np.tanh,
}
OPAQUE = (
    *("Sin", "Cos", "Tan", "Exp", "Log", "Sqrt", "Tanh", "Sigmoid", "Reciprocal", "Erf", "Softplus", "Atan", "Asin"),
    *("HardSigmoid", "HardSwish", "LeakyRelu", "Elu", "Selu", "Gelu", "Sinh", "Cosh", "ThresholdedRelu", "Shrink"),
    *("Softsign", "Celu", "Mish", "Swish", "Acos", "Acosh", "Asinh", "Atanh", "BitwiseNot"),
)
EXACT = ("Neg", "Floor", "Ceil", "Round", "Abs", "Sign", "Relu")


@formula_of(*SAME)
def same(operands: Operands) -> list[Formula]:
    return [operands[0]]


@formula_of(*EXACT, *OPAQUE)
def unary(operands: Operands) -> list[Formula]:
    op, tensor = operands.node.op, operands[0]
    key = (op, str(tensor.dtype), repr(sorted(operands.node.attrs.items())))

    def combine(where: Region, rank: int, leaves: Sequence[Leaf]) -> Leaf:
        (leaf,) = leaves
        if isinstance(leaf, Number) and op in EXACT:
            return Number(tidy(of_number(op, leaf.expr.intersect_domain(where), rank, where)))
        if isinstance(leaf, Special) and op == "Neg":
            return Special(-leaf.value)
        value = number_in(leaf)
        if value is not None and op in NUMPY and tensor.dtype.kind == "f":
            with np.errstate(all="ignore"):
                return numbered(NUMPY[op](np.asarray(float(value), tensor.dtype)).astype(np.float64), rank)
        return Applied(key, (leaf,))

    return [combined(combine, tensor.dtype, tensor)]


def of_number(op: str, expr: Expr, rank: int, where: Region) -> Expr:
    zero = constant(0, rank)
    if op == "Neg":
        return expr.neg()
    if op == "Floor":
        return expr.floor()
    if op == "Ceil":
        return expr.ceil()
    if op == "Round":
        return half_to_even(expr, rank)
    if op == "Abs":
        return expr.max(expr.neg())
    if op == "Relu":
        return expr.max(zero)
    return indicator(less(zero, expr), where, rank) - indicator(less(expr, zero), where, rank)


def half_to_even(expr: Expr, rank: int) -> Expr:
    """The nearest integer, ties to even (ONNX, Round)."""
    near = (expr + constant(Fraction(1, 2), rank)).floor()
    tie = scaled(expr, 2).eq_set(scaled(near, 2) - constant(1, rank)) & remainder(near, 2).eq_set(constant(1, rank))
    return (near - constant(1, rank)).intersect_domain(tie).union_add(near.intersect_domain(near.domain() - tie))


@formula_of("Cast", "CastLike")
def cast(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    if operands.node.op == "CastLike":
        to = operands[1].dtype
    else:
        to = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(int(operands.attribute("to"))))
    return [casted(tensor, to)]


def casted(tensor: Formula, to: np.dtype[Any]) -> Formula:
    if to == tensor.dtype:
        return tensor
    whole = to.kind in "iu" and tensor.dtype.kind not in "iub"

    def combine(where: Region, rank: int, leaves: Sequence[Leaf]) -> Leaf:
        (leaf,) = leaves
        if isinstance(leaf, Number):
            if to.kind == "b":
                return Number(indicator(unequal(leaf.expr, constant(0, rank)), where, rank))
            return Number(tidy(toward_zero(leaf.expr.intersect_domain(where), rank))) if whole else leaf
        if isinstance(leaf, Special) and to.kind in "fV":
            return leaf
        if isinstance(leaf, Special) and to.kind == "b":
            return numbered(True, rank)
        return Applied(("Cast", str(to)), (leaf,))

    made = combined(combine, to, tensor)
    noted = with_overflow_noted(made)
    return replace(noted, rounded=made.rounded, cast=noted.rounded - made.rounded) if to.kind == "f" else noted
