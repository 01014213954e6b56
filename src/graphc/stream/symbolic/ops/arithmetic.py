"""Sums, products, quotients, minima and maxima: exact on integers and on fractions that floats represent exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from math import inf, isinf

import numpy as np

from graphc.stream.symbolic.domain.combine import combined
from graphc.stream.symbolic.domain.exactness import is_finite, is_power_of_two, is_rounded, is_short
from graphc.stream.symbolic.domain.saturation import at_bound
from graphc.stream.symbolic.domain.space import (
    Expr,
    Region,
    constant,
    less,
    nowhere,
    number_of,
    of_lengths,
    quotient,
    remainder,
    scaled,
    substituted,
    tidy,
    unequal,
)
from graphc.stream.symbolic.domain.stored import stored
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Piece, Special, number_in, numbered
from graphc.stream.symbolic.overflow_and_rounding import with_overflow_noted
from graphc.stream.symbolic.registry import Operands, formula_of

LARGEST_FACTOR = 2**33  # times the longest length, it fits int64
LARGEST_RATIO = 65
MOST_RATIOS = 8
NUMPY = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Min": np.minimum,
    "Max": np.maximum,
    "Pow": np.power,
}


@formula_of("Add", "Sub", "Mul", "Div", "Min", "Max", "Mod", "Sum", "Pow", "BitShift")
def arithmetic(operands: Operands) -> list[Formula]:
    op = "Add" if operands.node.op == "Sum" else operands.node.op
    found, *rest = operands.given()
    for other in rest:
        found = two(operands, op, found, other)
    return [found]


def two(operands: Operands, op: str, one: Formula, other: Formula) -> Formula:
    """The formula of an op on two tensors, with the lengths noted at which results are too large for their dtype."""
    whole = one.dtype.kind in "iu"
    if op == "Mod" and operands.attribute("fmod", 0):
        op = "Fmod"
    if op == "BitShift":
        op = f"Shift{operands.attribute('direction')}"

    def combine(where: Region, rank: int, leaves: Sequence[Leaf]) -> Leaf | list[Piece]:
        if op == "Div" and whole:
            few = ratio(where & substituted(operands.accepted, [], rank), rank, leaves[0], leaves[1])
            if few is not None:
                return few
        return of_leaves(op, where, rank, leaves[0], leaves[1], whole, one.dtype)

    made = with_overflow_noted(combined(combine, one.dtype, one, other))
    if whole and op in ("Div", "Mod", "Fmod"):
        return replace(made, outside=(made.outside | zero_lengths(other)).coalesce())
    return made


def zero_lengths(divisor: Formula) -> Region:
    """The lengths at which a divisor has an entry of 0, so that the offline model does not run."""
    found = nowhere(0)
    for piece in divisor.pieces:
        if isinstance(piece.leaf, Number):
            zero = piece.where & piece.leaf.expr.eq_set(constant(0, divisor.rank))
            found = found | of_lengths(zero, divisor.rank)
    return found


def of_leaves(
    op: str, where: Region, rank: int, one: Leaf, other: Leaf, whole: bool, dtype: np.dtype[np.generic]
) -> Leaf | list[Piece]:
    values = [number_in(one), number_in(other)]
    fixed = op in NUMPY and values[0] is not None and values[1] is not None
    if isinstance(one, Number) and isinstance(other, Number) and (whole or not fixed):
        a, b = one.expr.intersect_domain(where), other.expr.intersect_domain(where)
        exact = of_numbers(op, where, rank, a, b, whole)
        if exact is not None:
            return exact
    if fixed and values[0] is not None and values[1] is not None:
        kind = dtype if dtype.kind == "f" else np.dtype(np.float64)
        with np.errstate(all="ignore"):
            found = NUMPY[op](np.asarray(float(values[0]), kind), np.asarray(float(values[1]), kind))
        return numbered(found.astype(np.float64), rank)
    special = of_special(op, one, other)
    if special is not None:
        return special
    if op == "Mul" and 0 in values and is_finite(one) and is_finite(other):
        return Number(constant(0, rank))
    if op == "Pow" and values[1] == 1:
        return one
    if op == "Mul":
        chosen = kept_or_gone(where, rank, one, other)
        if chosen is not None:
            return chosen
    if op in ("Min", "Max"):
        bounded = of_bounded(op, where, rank, one, other, dtype)
        if bounded is not None:
            return bounded
    if whole:
        product = of_products(op, where, one, other, dtype)
        if product is not None:
            return product
    return Applied((op, str(dtype)), (one, other))


def kept_or_gone(where: Region, rank: int, one: Leaf, other: Leaf) -> list[Piece] | None:
    """An operand times ones and zeros, as pieces that are the operand or 0; None for any other product."""
    for mask, leaf in ((one, other), (other, one)):
        if isinstance(mask, Number) and not isinstance(leaf, Number) and is_finite(leaf):
            cases = [(region, number_of(Expr.from_aff(aff))) for region, aff in mask.expr.get_pieces()]
            if all(n in (0, 1) for _, n in cases):
                return [Piece(where & region, leaf if n else Number(constant(0, rank))) for region, n in cases]
    return None


def of_bounded(
    op: str, where: Region, rank: int, one: Leaf, other: Leaf, dtype: np.dtype[np.generic]
) -> list[Piece] | None:
    """The Min or Max of a fixed number and a function that rises or falls; None for any other operands.

    One piece is the fixed number, where the result certainly is that number.
    """
    for bound, leaf in ((one, other), (other, one)):
        number = number_in(bound)
        if number is None or isinstance(bound, Special) or not isinstance(leaf, Applied):
            continue
        reached = at_bound(op, leaf, number, where, rank)
        if reached is not None:
            return [Piece(reached, bound), Piece(where - reached, Applied((op, str(dtype)), (one, other)))]
    return None


def of_products(op: str, where: Region, one: Leaf, other: Leaf, dtype: np.dtype[np.generic]) -> Leaf | None:
    """The result of Pow, Mul or Div that is a product of two integers which depend on the length, or one factor of it.

    None for any other operands.
    """
    key = ("Mul", str(dtype))
    if op == "Pow" and number_in(other) == 2:
        return Applied(key, (one, one))
    if op == "Mul":
        for factor, product in ((one, other), (other, one)):
            number = number_in(factor)
            if (
                number
                and isinstance(product, Applied)
                and product.op == key
                and isinstance(product.operands[0], Number)
            ):
                first = Number(scaled(product.operands[0].expr, Fraction(number)))
                return Applied(key, (first, product.operands[1]))
    if op == "Div" and isinstance(one, Applied) and one.op == key:
        return cancelled(where, one, other)
    return None


def cancelled(where: Region, product: Applied, divisor: Leaf) -> Leaf | None:
    """A product of integers divided by one of its factors; None if the divisor is no factor."""
    one, other = product.operands
    for factor, left in ((one, other), (other, one)):
        if isinstance(factor, Number) and isinstance(divisor, Number):
            differs = where & unequal(factor.expr, divisor.expr)
            if differs.is_empty():
                return left
    return None


def of_special(op: str, one: Leaf, other: Leaf) -> Special | None:
    """The infinite result of a sum, Min or Max of an infinity and a finite number; None for anything else."""
    infinite = [isinstance(leaf, Special) and isinf(leaf.value) for leaf in (one, other)]
    finite = [isinstance(leaf, Number) for leaf in (one, other)]
    for side in (0, 1):
        leaf = (one, other)[side]
        if infinite[side] and finite[1 - side] and isinstance(leaf, Special):
            if op == "Add" or (op == "Sub" and side == 0):
                return leaf
            if op == "Sub":
                return Special(-leaf.value)
            if (op, leaf.value) in (("Min", -inf), ("Max", inf)):
                return leaf
    return None


def of_numbers(op: str, where: Region, rank: int, a: Expr, b: Expr, whole: bool) -> Leaf | list[Piece] | None:
    """The exact result of an op on two numbers; None if that is not a quasi-affine expression."""
    first, second = number_of(a), number_of(b)
    rounded = [] if whole else [is_rounded(a), is_rounded(b)]
    if (op in ("Add", "Sub") and all(rounded) and rounded) or (op in ("Mod", "Fmod") and any(rounded)):
        return None
    if op == "Add":
        return Number(tidy(a + b))
    if op == "Sub":
        return Number(tidy(a - b))
    if op in ("Min", "Max"):
        return Number(tidy(a.min(b) if op == "Min" else a.max(b)))
    if op == "Mul":
        if first is None and second is None:
            return piecewise_product(where, rank, a, b, whole)
        factor, number = (a, second) if second is not None else (b, first)
        assert number is not None
        if whole and abs(Fraction(number)) > LARGEST_FACTOR:
            return None
        short = number == 0 or whole or (is_power_of_two(number) if any(rounded) else is_short(number))
        return Number(scaled(factor, number) if number else constant(0, rank)) if short else None
    if op == "Div" and second:
        made = scaled(a, 1 / Fraction(second))
        if whole:
            return Number(tidy(toward_zero(made, rank)))
        return Number(made) if Fraction(second).denominator == 1 or is_short(1 / Fraction(second)) else None
    if op in ("Mod", "Fmod") and second and Fraction(second).denominator == 1:
        return of_remainder(op, where, rank, a, int(second), whole)
    if op in ("ShiftRIGHT", "ShiftLEFT") and second is not None:
        power = 2 ** int(second)
        return Number(quotient(a, power) if op == "ShiftRIGHT" else scaled(a, power))
    if op == "Pow" and second in (0, 1):
        return Number(a if second == 1 else constant(1, rank))
    return None


def ratio(where: Region, rank: int, one: Leaf, other: Leaf) -> list[Piece] | None:
    """The quotient of two growing integers, such as T // (T // 4), if it has few different values; otherwise None.

    Where the divisor is 0, the offline model does not run, so the value there does not matter.
    """
    if not isinstance(one, Number) or not isinstance(other, Number):
        return None
    a, b = one.expr.intersect_domain(where), other.expr.intersect_domain(where)
    if where.is_empty() or number_of(b) is not None:
        return None
    zero = where & b.eq_set(constant(0, rank))
    found = [Piece(zero, Number(constant(0, rank)))] if not zero.is_empty() else []
    left = where - zero
    for number in range(LARGEST_RATIO):
        here = left & b.gt_set(constant(0, rank)) & a.ge_set(scaled(b, number)) & a.lt_set(scaled(b, number + 1))
        if not here.is_empty():
            found.append(Piece(here, Number(constant(number, rank))))
            left = left - here
        if left.is_empty():
            break
        if len(found) > MOST_RATIOS:
            return None
    return found if left.is_empty() else None


def of_remainder(op: str, where: Region, rank: int, a: Expr, divisor: int, whole: bool) -> Leaf | None:
    positive = bool((where & less(a, constant(0, rank))).is_empty())
    if divisor < 0 or not (op == "Mod" or positive) or not (whole or positive):
        return None
    return Number(remainder(a, divisor))


def toward_zero(expr: Expr, rank: int) -> Expr:
    negative = less(expr, constant(0, rank))
    return expr.floor().intersect_domain(negative.complement()).union_add(expr.ceil().intersect_domain(negative))


def piecewise_product(where: Region, rank: int, a: Expr, b: Expr, whole: bool) -> list[Piece] | None:
    """The product of two numbers, if one of them is a constant in each of its cases; otherwise None."""
    for one, other in ((a, b), (b, a)):
        cases = other.get_pieces()
        if all(aff.is_cst() for _, aff in cases):
            numbers = [(region, Fraction(str(aff.get_constant_val()))) for region, aff in cases]
            taken = is_power_of_two if is_rounded(one) else is_short
            if not (whole or all(n == 0 or taken(n) for _, n in numbers)):
                continue
            return [Piece(where & region, Number(scaled(one, n) if n else constant(0, rank))) for region, n in numbers]
    return None


@formula_of("Clip")
def clip(operands: Operands) -> list[Formula]:
    found = operands[0]
    for name, place, op in (("min", 1, "Max"), ("max", 2, "Min")):
        bound = operands.get(place)
        if bound is None and operands.attribute(name) is not None:
            bound = stored(np.asarray(operands.attribute(name), found.dtype))
        if bound is not None:
            found = two(operands, op, found, bound)
    return [replace(found, dtype=operands[0].dtype)]
