"""Where a Min or Max has reached its bound: min(f(n), 7) is 7 from some n on if f rises with n, as T5's buckets do.

The numbers of f are known up to rounding, so they are intervals. The intervals are wider than any kernel's rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from graphc.stream.symbolic.domain.space import Expr, Region, constant, denominator, scaled
from graphc.stream.symbolic.domain.tensor import Applied, Leaf, Number, number_in

Interval = tuple[float, float]
FLOATS = ("float32", "float64")
INTEGERS = ("int32", "int64")
ROUNDING = 1e-5
SMALLEST, GREATEST = 1e-36, 1e36  # beyond these float32 loses digits, or overflows
LARGEST = 2.0**31


@dataclass(frozen=True)
class Monotone:
    """A function that rises or falls with one expression.

    Args:
        sign: 1 if the function rises, -1 if it falls.
        at: the interval of the function at a value of the expression; NaN if the function has none there.
    """

    expr: Expr
    sign: int
    at: Callable[[float], Interval]


def at_bound(op: str, leaf: Leaf, bound: float | Fraction | int, where: Region, rank: int) -> Region | None:
    """The entries at which the Min or Max of a leaf and a bound certainly is the bound; None if none are known."""
    found = monotone(leaf)
    if found is None:
        return None
    parts = denominator(found.expr)
    values = scaled(found.expr, parts).intersect_domain(where)
    if values.domain().is_empty():
        return None
    ends = values.min_val(), values.max_val()
    if not all(end.is_int() for end in ends):
        return None
    low, high = (int(end.to_python()) for end in ends)

    def reached(step: int) -> bool:
        least, most = found.at(step / parts)
        return least >= float(bound) if op == "Min" else most <= float(bound)

    upward = (op == "Min") == (found.sign > 0)
    near, far = (low, high) if upward else (high, low)
    if not reached(far):
        return None
    while abs(far - near) > 1:
        middle = (near + far) // 2
        near, far = (near, middle) if reached(middle) else (middle, far)
    first = near if reached(near) else far
    edge = constant(first, rank)
    return values.ge_set(edge) if upward else values.le_set(edge)


def monotone(leaf: Leaf) -> Monotone | None:
    """A leaf as a function that rises or falls with one expression; None if the leaf is not known to be one."""
    if isinstance(leaf, Number):
        return Monotone(leaf.expr, 1, lambda value: (value, value))
    if not isinstance(leaf, Applied):
        return None
    op, kind = str(leaf.op[0]), str(leaf.op[1]) if len(leaf.op) > 1 else ""
    numbers = [number_in(operand) for operand in leaf.operands]
    moving = [index for index, number in enumerate(numbers) if number is None]
    inner = monotone(leaf.operands[moving[0]]) if len(moving) == 1 else None
    if inner is None:
        return None
    if len(leaf.operands) == 1 and op in UNARY and (kind in FLOATS or (op == "Cast" and kind in INTEGERS)):
        sign, step = UNARY[op] if kind in INTEGERS or op != "Cast" else (1, float)
        return Monotone(inner.expr, inner.sign * sign, applied(step, inner.at))
    if len(leaf.operands) == 2 and (kind in FLOATS or (kind in INTEGERS and op in ("Add", "Sub"))):
        fixed = float(numbers[1 - moving[0]] or 0)
        sign, step = with_number(op, moving[0], fixed)
        whole = kind in INTEGERS
        at = applied(exact_in_32_bits(step), inner.at, rounding=0) if whole else applied(step, inner.at)
        return Monotone(inner.expr, inner.sign * sign, at) if sign else None
    return None


def with_number(op: str, moving: int, fixed: float) -> tuple[int, Callable[[float], float]]:
    """The direction of an op with one fixed operand, and the op as a function of the other operand.

    The direction is 1 if the op rises with the other operand, -1 if it falls, 0 if neither is known.
    """
    sign = (fixed > 0) - (fixed < 0)
    if op == "Add":
        return 1, lambda x: x + fixed
    if op == "Sub":
        return (1, lambda x: x - fixed) if moving == 0 else (-1, lambda x: fixed - x)
    if op == "Mul":
        return sign, lambda x: x * fixed
    if op == "Div" and moving == 0:
        return sign, lambda x: x / fixed
    return 0, float


def logarithm(x: float) -> float:
    return math.log(x) if x > 0 else math.nan


def root(x: float) -> float:
    return math.sqrt(x) if x >= 0 else math.nan


def exact_in_32_bits(step: Callable[[float], float]) -> Callable[[float], float]:
    return lambda x: found if abs(found := step(x)) < LARGEST else math.nan


UNARY: dict[str, tuple[int, Callable[[float], float]]] = {
    "Log": (1, logarithm),
    "Sqrt": (1, root),
    "Neg": (-1, lambda x: -x),
    "Floor": (1, exact_in_32_bits(np.floor)),
    "Ceil": (1, exact_in_32_bits(np.ceil)),
    "Cast": (1, exact_in_32_bits(np.trunc)),
}


def applied(
    step: Callable[[float], float], inner: Callable[[float], Interval], rounding: float = ROUNDING
) -> Callable[[float], Interval]:
    def at(value: float) -> Interval:
        least, most = inner(value)
        if math.isnan(least + most):
            return math.nan, math.nan
        slack = max(rounding * abs(least), rounding * abs(most), SMALLEST)
        ends = step(least - slack), step(most + slack)
        return (min(ends), max(ends)) if max(map(abs, ends)) < GREATEST else (math.nan, math.nan)

    return at
