"""Comparisons, logic and choices: sets of entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.stream.symbolic.domain.combine import combined
from graphc.stream.symbolic.domain.exactness import is_rounded
from graphc.stream.symbolic.domain.space import Expr, Region, constant, denominator, indicator, less, unequal
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Piece, Special, number_in, numbered
from graphc.stream.symbolic.registry import Operands, formula_of

COMPARED: dict[str, tuple[Callable[[Expr, Expr], Region], Callable[[float, float], Any]]] = {
    "Less": (less, np.less),
    "LessOrEqual": (Expr.le_set, np.less_equal),
    "Greater": (lambda one, other: less(other, one), np.greater),
    "GreaterOrEqual": (Expr.ge_set, np.greater_equal),
    "Equal": (Expr.eq_set, np.equal),
}
BOOL = np.dtype(bool)


@formula_of(*COMPARED)
def compare(operands: Operands) -> list[Formula]:
    name = operands.node.op
    holds, ask = COMPARED[name]

    def combine(where: Region, rank: int, leaves: Sequence[Leaf]) -> Leaf:
        one, other = leaves
        if isinstance(one, Number) and isinstance(other, Number) and is_certain(one.expr, other.expr):
            return Number(indicator(holds(one.expr, other.expr), where, rank))
        if all(isinstance(leaf, Number | Special) for leaf in leaves):
            values = [leaf.value if isinstance(leaf, Special) else 0.0 for leaf in leaves]
            return numbered(bool(ask(values[0], values[1])), rank)
        return Applied((name,), (one, other))

    return [combined(combine, BOOL, operands[0], operands[1])]


def is_certain(one: Expr, other: Expr) -> bool:
    """Whether rounding changes no comparison: neither number is rounded, or the other is an integer."""
    return not any(is_rounded(a) and denominator(b) != 1 for a, b in ((one, other), (other, one)))


@formula_of("And", "Or", "Xor", "Not")
def logic(operands: Operands) -> list[Formula]:
    name = operands.node.op

    def combine(where: Region, rank: int, leaves: Sequence[Leaf]) -> Leaf:
        known = [unequal(leaf.expr, constant(0, rank)) for leaf in leaves if isinstance(leaf, Number)]
        if len(known) < len(leaves):
            return decided(name, where, leaves) or Applied((name,), tuple(leaves))
        if name == "Not":
            return Number(indicator(where - known[0], where, rank))
        one, other = known
        found = one & other if name == "And" else one | other if name == "Or" else (one - other) | (other - one)
        return Number(indicator(found, where, rank))

    return [combined(combine, BOOL, *operands.given())]


def decided(name: str, where: Region, leaves: Sequence[Leaf]) -> Leaf | None:
    """The result of And with false, or of Or with true, whatever the other operand is; None for anything else."""
    for leaf in leaves:
        value = number_in(leaf)
        if (name, value) in (("And", 0), ("Or", 1)):
            return leaf
    return None


@formula_of("Where")
def choose(operands: Operands) -> list[Formula]:
    def combine(where: Region, rank: int, leaves: Sequence[Leaf]) -> Leaf | list[Piece]:
        condition, one, other = leaves
        if not isinstance(condition, Number):
            return Applied(("Where",), tuple(leaves))
        yes = unequal(condition.expr, constant(0, rank))
        parts = [(where & yes, one), (where - yes, other)]
        return [Piece(region.coalesce(), leaf) for region, leaf in parts if not region.is_empty()]

    return [combined(combine, operands[1].dtype, operands[0], operands[1], operands[2])]


@formula_of("IsNaN", "IsInf")
def is_special(operands: Operands) -> list[Formula]:
    name = operands.node.op
    signs = (bool(operands.attribute("detect_negative", 1)), bool(operands.attribute("detect_positive", 1)))

    def combine(where: Region, rank: int, leaves: Sequence[Leaf]) -> Leaf:
        (leaf,) = leaves
        if isinstance(leaf, Number):
            return Number(constant(0, rank))
        if isinstance(leaf, Special):
            infinite = np.isinf(leaf.value) and signs[int(leaf.value > 0)]
            return numbered(bool(np.isnan(leaf.value) if name == "IsNaN" else infinite), rank)
        return Applied((name, signs), (leaf,))

    return [combined(combine, BOOL, operands[0])]
