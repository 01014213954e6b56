"""Sums, minima and maxima over axes, and running sums."""

from __future__ import annotations

from fractions import Fraction
from math import inf

import islpy as isl
import numpy as np

from graphc.stream.symbolic.domain.exactness import is_rounded, is_short
from graphc.stream.symbolic.domain.lists import numbers_of, size_in
from graphc.stream.symbolic.domain.moves import moved
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    denominator,
    index,
    number_of,
    scaled,
    space,
    tidy,
)
from graphc.stream.symbolic.domain.stored import stored
from graphc.stream.symbolic.domain.tensor import Formula, Number, Piece, Special
from graphc.stream.symbolic.ops.arithmetic import two
from graphc.stream.symbolic.overflow_and_rounding import with_overflow_noted
from graphc.stream.symbolic.registry import Operands, formula_of

MOST_TERMS = 64
MOST_PARTS = 2**8
PAIRWISE = {"ReduceSum": "Add", "ReduceMax": "Max", "ReduceMin": "Min", "ReduceProd": "Mul", "ReduceMean": "Add"}


@formula_of(*PAIRWISE)
def reduce(operands: Operands) -> list[Formula]:
    tensor, op = operands[0], operands.node.op
    axes = operands.fixed("axes", 1)
    if axes is None:
        axes = [] if operands.attribute("noop_with_empty_axes", 0) else list(range(tensor.rank))
    for axis in sorted({a % tensor.rank for a in axes}):
        size = size_in(tensor, axis)
        if size is None or size > MOST_TERMS:
            tensor = over_time(tensor, axis, op)
        else:
            tensor = over_few(operands, tensor, axis, op, size)
    if not operands.attribute("keepdims", 1):
        gone = {a % tensor.rank for a in axes}
        kept = [s for a, s in enumerate(tensor.sizes) if a not in gone]
        left = iter(range(len(kept)))
        places = [constant(0, len(kept)) if a in gone else index(next(left), len(kept)) for a in range(tensor.rank)]
        tensor = moved(tensor, places, kept)
    return [with_overflow_noted(tensor)]


def over_few(operands: Operands, tensor: Formula, axis: int, op: str, size: int) -> Formula:
    rank = tensor.rank
    sizes = [constant(1, 0) if a == axis else s for a, s in enumerate(tensor.sizes)]
    if not size:
        raise NoFormulaError("it reduces over an empty axis")
    terms = [
        moved(tensor, [constant(k, rank) if a == axis else index(a, rank) for a in range(rank)], sizes)
        for k in range(size)
    ]
    total = terms[0]
    for term in terms[1:]:
        total = two(operands, PAIRWISE[op], total, term)
    return two(operands, "Div", total, stored(np.asarray(size, tensor.dtype))) if op == "ReduceMean" else total


def over_time(tensor: Formula, axis: int, op: str) -> Formula:
    """The maximum, minimum or sum along an axis whose size depends on the length; the axis stays with one entry."""
    if op not in ("ReduceMax", "ReduceMin", "ReduceSum"):
        raise NoFormulaError(f"it computes {op} along an axis that depends on the length")
    sizes = tuple(constant(1, 0) if a == axis else s for a, s in enumerate(tensor.sizes))
    everywhere = box(sizes)
    if op == "ReduceSum":
        numbers = numbers_of(tensor)
        if denominator(numbers) > MOST_PARTS or is_rounded(numbers):
            raise NoFormulaError("it sums fractions that are rounded")
        total = summed(numbers, tensor, axis)
        pieces: tuple[Piece, ...] = (Piece(everywhere, Number(tidy(total.intersect_domain(everywhere)))),)
    else:
        pieces = extremes(tensor, axis, op == "ReduceMax", everywhere)
    outside = tensor.outside | over_nothing(tensor, axis, op)
    return Formula(sizes, tensor.dtype, pieces, None, outside, tensor.rounded)


def extremes(tensor: Formula, axis: int, largest: bool, everywhere: Region) -> tuple[Piece, ...]:
    """The pieces of the largest (smallest) entries along an axis: an infinity only where there is no finite number."""
    losing = -inf if largest else inf
    numbers = [p.leaf.expr.intersect_domain(p.where) for p in tensor.pieces if isinstance(p.leaf, Number)]
    alone = [p for p in tensor.pieces if isinstance(p.leaf, Special) and p.leaf.value == losing]
    if not numbers or len(numbers) + len(alone) < len(tensor.pieces):
        raise NoFormulaError("no formula is known for some of the numbers that it reads")
    expr = numbers[0]
    for other in numbers[1:]:
        expr = expr.union_add(other)
    found = tidy(extreme(expr, tensor, axis, largest).intersect_domain(everywhere))
    rest = everywhere - found.domain()
    return (Piece(found.domain(), Number(found)), *([] if rest.is_empty() else [Piece(rest, Special(losing))]))


def over_nothing(tensor: Formula, axis: int, op: str) -> Region:
    """The lengths at which a maximum or minimum has no entries to choose from; no lengths for a sum."""
    empty = tensor.sizes[axis].le_set(constant(0, 0))
    return empty & empty.complement() if op == "ReduceSum" else empty


def extreme(expr: Expr, tensor: Formula, axis: int, largest: bool) -> Expr:
    """The largest (smallest) value along an axis: isl's lexicographic optimum of (others -> value)."""
    rank = tensor.rank
    parts = denominator(expr)
    values = isl.Map.from_pw_aff(scaled(expr, parts).intersect_domain(box(list(tensor.sizes))))
    over_axis = values.project_out(isl.dim_type.in_, axis + 1, 1).insert_dims(isl.dim_type.in_, axis + 1, 1)
    best = over_axis.lexmax_pw_multi_aff() if largest else over_axis.lexmin_pw_multi_aff()
    return scaled(rebuilt(best.get_pw_aff(0), rank), Fraction(1, parts))


def rebuilt(expr: Expr, rank: int) -> Expr:
    """Restores the names of an expression's indices, which a projection drops."""
    names = isl.MultiAff.identity(space(rank).map_from_set())
    found = expr
    for place in range(rank + 1):
        found = found.set_dim_id(isl.dim_type.in_, place, names.get_dim_id(isl.dim_type.in_, place))
    return found


def summed(expr: Expr, tensor: Formula, axis: int) -> Expr:
    """The sum along an axis of an expression that is a constant in each of its cases.

    Errors:
        NoFormulaError: the numbers grow along the axis, or the entries of a case are no interval.
    """
    rank = tensor.rank
    everywhere = box(list(tensor.sizes))
    total: Expr = constant(0, rank)
    for region, aff in expr.get_pieces():
        if not aff.is_cst():
            raise NoFormulaError("it sums numbers that differ from entry to entry")
        factor = number_of(Expr.from_aff(aff))
        if not factor:
            continue
        for part in (region & everywhere).make_disjoint().get_basic_sets():
            total = tidy(total + scaled(interval(isl.Set.from_basic_set(part), axis, rank, everywhere), factor))
    return total


def interval(part: Region, axis: int, rank: int, everywhere: Region) -> Expr:
    """The number of entries of a set along an axis, for each position on the other axes.

    Errors:
        NoFormulaError: the entries are no interval.
    """
    place = isl.Map.from_pw_aff(index(axis, rank).intersect_domain(part))
    place = place.project_out(isl.dim_type.in_, axis + 1, 1).insert_dims(isl.dim_type.in_, axis + 1, 1)
    last, first = (
        rebuilt(found.get_pw_aff(0), rank) for found in (place.lexmax_pw_multi_aff(), place.lexmin_pw_multi_aff())
    )
    filled = index(axis, rank).le_set(last) & index(axis, rank).ge_set(first) & everywhere
    if not (filled - part).is_empty():
        raise NoFormulaError("it sums entries that are not next to each other")
    count = last - first + constant(1, rank)
    nothing = count.domain().complement()
    return count.union_add(constant(0, rank).intersect_domain(nothing))


def is_summable(tensor: Formula, number: Fraction | int) -> bool:
    """Whether the tensor's dtype represents exactly the multiples of a number that are sums over time."""
    return tensor.dtype.kind != "f" or is_short(number)


@formula_of("CumSum")
def running_sum(operands: Operands) -> list[Formula]:
    """A running sum of a tensor whose entries are all the same number."""
    tensor = operands[0]
    axes = operands.fixed("axis", 1)
    number = number_of(numbers_of(tensor))
    if number is None or not axes or operands.attribute("reverse", 0) or not is_summable(tensor, number):
        raise NoFormulaError("its running sum is not of one number, or is rounded or reversed")
    axis, rank = axes[0] % tensor.rank, tensor.rank
    more = 0 if operands.attribute("exclusive", 0) else 1
    entries = scaled(index(axis, rank) + constant(more, rank), number) if number else constant(0, rank)
    found = Formula(
        tensor.sizes, tensor.dtype, (Piece(box(list(tensor.sizes)), Number(entries)),), None, tensor.outside
    )
    return [with_overflow_noted(found)]
