"""Lengths as expressions of T, and back."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import islpy as isl

from graphc.contract.length import Length
from graphc.stream.symbolic.domain.space import (
    Expr,
    constant,
    frames,
    lengths,
    most,
    scaled,
    tidy,
    value_of,
)

FAR = 10**8


@cache
def expression_of(length: Length) -> Expr:
    """A length as an expression of T; the expression may be below 0 where the tensor has no frames."""
    found = frames(0)
    for mul, add, div in length.steps:
        found = scaled(found, mul) if mul else constant(0, 0)
        found = found + constant(add, 0)
        found = found.scale_down_val(value_of(div)).floor() if div != 1 else found
    return tidy(found)


def length_of(expr: Expr) -> Length | None:
    """The length that equals an expression of T for long streams; None if it is not a chain of roundings."""
    piece = last_piece(expr)
    found = None if piece is None else chain_of(piece)
    return None if found is None else counted_from_zero(found)


def counted_from_zero(length: Length) -> Length:
    """An equal length in which only the last step can go below 0: a Length stops each step at 0, a formula does not."""
    found, left = Length(), 0
    for k, (mul, add, div) in enumerate(length.steps, 1):
        start = add - mul * left
        left = max(0, -(start // div)) if k < len(length.steps) else 0
        found = found.then(mul, start + left * div, div)
    return found


def last_piece(expr: Expr) -> isl.Aff | None:
    """The case of an expression that applies to all long streams; None unless there is exactly one such case."""
    endless = [aff for where, aff in expr.get_pieces() if most(where & lengths(0)) >= FAR]
    return endless[0] if len(endless) == 1 else None


def chain_of(aff: isl.Aff) -> Length | None:
    """An expression as a chain of nested roundings, the innermost first; None if it is not such a chain."""
    t = fraction(aff.get_coefficient_val(isl.dim_type.in_, 0))
    start, roundings = fraction(aff.get_constant_val()), list[tuple[Fraction, isl.Aff]]()
    for k in range(aff.dim(isl.dim_type.div)):
        factor, inner = fraction(aff.get_coefficient_val(isl.dim_type.div, k)), aff.get_div(k)
        if inner.is_cst():
            start += factor * math.floor(fraction(inner.get_constant_val()))
        elif factor:
            roundings.append((factor, inner))
    if not roundings:
        return step(Length(), t, start)
    factor, inner = roundings[-1]
    if factor < 0:
        factor, inner = -factor, rounded_up(inner)
    if len(roundings) > 1 or t:
        before = joined(aff.add_constant_val(value_of(-start)).scale_val(value_of(1 / factor)), inner)
        return None if before is None else step(before, factor, start)
    if factor == 1 and start.denominator == 1:
        return chain_of(inner.add_constant_val(value_of(int(start))))
    before = chain_of(inner)
    return None if before is None else step(before, factor, start)


def joined(aff: isl.Aff, inner: isl.Aff) -> Length | None:
    """Joins a rounding with whole terms beside it: n + floor(x) is floor(n + x). None if the sum is not simpler."""
    rest = aff.sub(inner.floor())
    together = inner.add(rest)
    whole, fewer = rest.get_denominator_val().is_one(), terms_of(together) < terms_of(aff)
    return chain_of(together) if whole and fewer else None


def terms_of(aff: isl.Aff) -> int:
    """How many terms an expression has: its roundings, and T."""
    divs = range(aff.dim(isl.dim_type.div))
    found = sum(not aff.get_coefficient_val(isl.dim_type.div, k).is_zero() for k in divs)
    return found + (not aff.get_coefficient_val(isl.dim_type.in_, 0).is_zero())


def rounded_up(aff: isl.Aff) -> isl.Aff:
    """The expression whose floor is minus the floor of ``aff``: -floor(x/d) is floor((d - 1 - x)/d)."""
    div = int(aff.get_denominator_val().to_python())
    return aff.neg().add_constant_val(value_of(Fraction(div - 1, div)))


def step(before: Length, factor: Fraction, start: Fraction) -> Length:
    """The length floor(factor * before + start). The floor changes nothing, since every case is an integer."""
    div = factor.denominator * start.denominator
    return before.then(int(factor * div), int(start * div), div)


def fraction(value: isl.Val) -> Fraction:
    return Fraction(str(value))
