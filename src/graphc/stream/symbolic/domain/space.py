"""Quasi-affine expressions and integer sets over (T, i0, i1, ...): T frames of the stream input, and indices.

Both are types of isl (Verdoolaege, "isl: An Integer Set Library for the Polyhedral Model", 2010). Sums, floors and
remainders by constants, minima, comparisons and projections are exact. isl decides for all T at once whether a set is
empty.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from typing import TypeVar

import islpy as isl

CONTEXT = isl.DEFAULT_CONTEXT
LONGEST = 9 * 10**8
MOST_OPERATIONS, FEW_OPERATIONS = 2_000_000, 100_000
MOST_EXHAUSTED = 4
MOST_PIECES = 64

Expr = isl.PwAff
Region = isl.Set
Term = TypeVar("Term", isl.PwAff, isl.Set)
Result = TypeVar("Result")


class NoFormulaError(Exception):
    """No formula is known for a tensor or a node; the text says why."""


class Patience:
    """The limit on isl's operations per question, which is lowered after a few questions have reached it.

    A model that has one formula with too many cases usually has many such formulas.
    """

    exhausted = 0

    @classmethod
    def renew(cls) -> None:
        """Resets the budget for another model."""
        cls.exhausted = 0

    @classmethod
    def operations(cls) -> int:
        return MOST_OPERATIONS if cls.exhausted < MOST_EXHAUSTED else FEW_OPERATIONS


def bounded(ask: Callable[[], Result]) -> Result:
    """The answer of ``ask``, which isl must find within a bounded number of operations.

    Errors:
        NoFormulaError: isl needs more operations, or fails.
    """
    CONTEXT.reset_operations()
    CONTEXT.set_max_operations(Patience.operations())
    try:
        return ask()
    except isl.Error as err:
        Patience.exhausted += 1
        raise NoFormulaError(f"too many cases to decide ({str(err).splitlines()[0][:80]})") from None
    finally:
        CONTEXT.reset_operations()
        CONTEXT.set_max_operations(0)


@cache
def space(rank: int) -> isl.Space:
    return isl.Space.create_from_names(CONTEXT, set=["T", *(f"i{k}" for k in range(rank))])


@cache
def variable(place: int, rank: int) -> Expr:
    aff = isl.Aff.zero_on_domain(isl.LocalSpace.from_space(space(rank)))
    return Expr.from_aff(aff.set_coefficient_val(isl.dim_type.in_, place, value_of(1)))


def frames(rank: int) -> Expr:
    """T, as an expression."""
    return variable(0, rank)


def index(axis: int, rank: int) -> Expr:
    """The index on an axis."""
    return variable(axis + 1, rank)


def value_of(number: int | Fraction) -> isl.Val:
    return isl.Val.read_from_str(CONTEXT, str(number))


@cache
def constant(number: int | Fraction, rank: int) -> Expr:
    aff = isl.Aff.zero_on_domain(isl.LocalSpace.from_space(space(rank)))
    return Expr.from_aff(aff.set_constant_val(value_of(number)))


@cache
def lengths(rank: int) -> Region:
    """All lengths that formulas are about, with all indices."""
    t = frames(rank)
    return t.ge_set(constant(1, rank)) & t.lt_set(constant(LONGEST, rank))


@cache
def nowhere(rank: int) -> Region:
    return Region.empty(space(rank))


def over(size: Expr, rank: int) -> Expr:
    """An expression of T alone, in the space with ``rank`` indices."""
    fixed = number_of(size)
    return constant(fixed, rank) if fixed is not None else substituted(size, [], rank)


def box(sizes: Sequence[Expr]) -> Region:
    """The entries of a tensor of these sizes, at all lengths."""
    rank = len(sizes)
    found = lengths(rank)
    for axis, size in enumerate(sizes):
        place = index(axis, rank)
        found = found & place.ge_set(constant(0, rank)) & place.lt_set(over(size, rank))
    return found


def substituted(what: Term, places: Sequence[Expr], rank: int, length: Expr | None = None) -> Term:
    """An expression or a set with its indices replaced by expressions over ``rank`` new ones, and T by ``length``."""
    inner = len(places)
    pairs = isl.Space.map_from_domain_and_range(space(rank), space(inner))
    entries = isl.PwAffList.alloc(CONTEXT, inner + 1)
    for entry in (frames(rank) if length is None else length, *places):
        entries = entries.add(entry)
    by = isl.MultiPwAff.from_pw_aff_list(pairs, entries)
    if isinstance(what, isl.PwAff):
        return what.pullback_multi_pw_aff(by)
    return what.preimage_multi_pw_aff(by)


def number_of(expr: Expr) -> int | Fraction | None:
    """The number that an expression always equals; None if the expression varies."""
    pieces = expr.get_pieces()
    if not pieces or any(not aff.is_cst() for _, aff in pieces):
        return None
    found = {Fraction(str(aff.get_constant_val())) for _, aff in pieces}
    if len(found) > 1:
        return None
    (number,) = found
    return number.numerator if number.denominator == 1 else number


def scaled(expr: Expr, factor: int | Fraction) -> Expr:
    return expr.scale_val(value_of(factor))


def quotient(expr: Expr, divisor: int) -> Expr:
    """floor(expr / divisor)."""
    return expr.scale_down_val(value_of(divisor)).floor() if divisor != 1 else expr


def remainder(expr: Expr, divisor: int) -> Expr:
    return expr.mod_val(value_of(divisor))


def tidy(expr: Expr) -> Expr:
    """The same expression in fewer pieces.

    Errors:
        NoFormulaError: the expression has too many pieces.
    """
    if expr.n_piece() > 1:
        cases = expr.coalesce().get_pieces()
        some = [(where, aff) for where, aff in cases if not where.is_empty()] or cases[:1]
        expr = Expr.alloc(*some[0])
        for where, aff in some[1:]:
            expr = expr.union_add(Expr.alloc(where, aff))
    if expr.n_piece() > MOST_PIECES:
        raise NoFormulaError(f"its formula falls into {expr.n_piece()} cases, which is too many")
    return expr


def indicator(where: Region, within: Region, rank: int) -> Expr:
    """An expression that is 1 on ``where``, and 0 elsewhere in ``within``."""
    yes = where & within
    one = constant(1, rank).intersect_domain(yes)
    return tidy(one.union_add(constant(0, rank).intersect_domain(within - yes)))


def of_lengths(region: Region, rank: int) -> Region:
    """The lengths at which a set has entries."""
    return region.project_out(isl.dim_type.set, 1, rank) if rank else region


def most(region: Region) -> int:
    """The longest length of a set; 0 if the set is empty."""
    return 0 if region.is_empty() else int(region.dim_max_val(0).to_python())


def least(region: Region) -> int:
    """The shortest length of a set; ``LONGEST``, which is beyond all lengths, if the set is empty."""
    return LONGEST if region.is_empty() else int(region.dim_min_val(0).to_python())


def whole(one: Expr, other: Expr) -> tuple[Expr, Expr]:
    """Two expressions multiplied by one number that makes both of them integers.

    isl's ``lt_set``, ``gt_set`` and ``ne_set`` treat fractions that are less than 1 apart as equal.
    """
    parts = math.lcm(denominator(one), denominator(other))
    return (one, other) if parts == 1 else (scaled(one, parts), scaled(other, parts))


def denominator(expr: Expr) -> int:
    return math.lcm(*(int(aff.get_denominator_val().to_python()) for _, aff in expr.get_pieces()))


def less(one: Expr, other: Expr) -> Region:
    """The set on which one number is below another; both may be fractions."""
    a, b = whole(one, other)
    return a.lt_set(b)


def unequal(one: Expr, other: Expr) -> Region:
    """The set on which two numbers differ; both may be fractions."""
    a, b = whole(one, other)
    return a.ne_set(b)


def differs_at(one: Expr, other: Expr) -> Region:
    """The lengths at which two sizes differ."""
    if one.plain_is_equal(other):
        return nowhere(0)
    return one.ne_set(other) & lengths(0)


def is_same(one: Expr, other: Expr, where: Region | None = None) -> bool:
    """Whether two sizes are equal at every length, or at those of a set."""
    if one.plain_is_equal(other):
        return True
    found = differs_at(one, other)
    return bool((found if where is None else found & where).is_empty())


def some_entries(sizes: Sequence[Expr]) -> Region:
    """The lengths at which a tensor of these sizes has entries."""
    found = lengths(0)
    for size in sizes:
        found = found & size.ge_set(constant(1, 0))
    return found


def number_within(expr: Expr, region: Region) -> int | Fraction | None:
    """The number that an expression equals throughout a set; None if the expression varies there."""
    number = number_of(expr)
    return number if number is not None else number_of(tidy(expr.intersect_domain(region)))
