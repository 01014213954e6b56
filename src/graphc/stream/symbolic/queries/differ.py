"""Where two tensors differ: all claims about formulas are reduced to this question."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import islpy as isl
import numpy as np

from graphc.stream.symbolic.domain.moves import pulled
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    constant,
    differs_at,
    index,
    lengths,
    nowhere,
    number_of,
    of_lengths,
    substituted,
    unequal,
)
from graphc.stream.symbolic.domain.tensor import (
    Applied,
    Array,
    Formula,
    Leaf,
    Number,
    Piece,
    Read,
    Row,
    Special,
    Stored,
    number_in,
)

MOST_ODD = 400


@dataclass(frozen=True, eq=False)
class Difference:
    """The lengths, or entries, at which two tensors certainly differ, and those at which they may."""

    sure: Region
    unsure: Region

    def __or__(self, other: Difference) -> Difference:
        return Difference(self.sure | other.sure, self.unsure | other.unsure)

    def within(self, region: Region) -> Difference:
        return Difference(self.sure & region, self.unsure & region)


def none(rank: int) -> Difference:
    return Difference(nowhere(rank), nowhere(rank))


def difference(one: Formula, other: Formula, within: Region | None = None) -> Difference:
    """The lengths at which two tensors differ: in a size, or in an entry within a set."""
    if one is other:
        return none(0)
    if one.rank != other.rank:
        return Difference(lengths(0), nowhere(0))
    sizes = nowhere(0)
    if within is None:
        for a, b in zip(one.sizes, other.sizes, strict=True):
            sizes = sizes | differs_at(a, b)
    found = entries(one.pieces, other.pieces, one.rank, within)
    return Difference(
        (sizes | of_lengths(found.sure, one.rank)).coalesce(), of_lengths(found.unsure, one.rank).coalesce()
    )


def entries(one: tuple[Piece, ...], other: tuple[Piece, ...], rank: int, within: Region | None) -> Difference:
    """The entries that both tensors have and in which they differ."""
    found = none(rank)
    for a in one:
        here = a.where if within is None else a.where & within
        if here.is_empty():
            continue
        for b in other:
            both = here & b.where
            if not both.is_empty():
                found = found | of_leaves(a.leaf, b.leaf, both, rank)
    return found


def of_leaves(one: Leaf, other: Leaf, where: Region, rank: int) -> Difference:
    """The entries of a set at which two leaves differ."""
    if isinstance(one, Number) and isinstance(other, Number):
        return Difference(of_numbers(one.expr, other.expr, where, rank), nowhere(rank))
    if isinstance(one, Special) and isinstance(other, Special):
        same = str(one.value) == str(other.value)
        return none(rank) if same else Difference(where, nowhere(rank))
    if isinstance(one, Read) and isinstance(other, Read):
        return of_reads(one, other, where, rank)
    if isinstance(one, Applied) and isinstance(other, Applied):
        same_op = one.op == other.op and len(one.operands) == len(other.operands)
        return of_operands(one, other, where, rank) if same_op else Difference(nowhere(rank), where)
    if isinstance(one, Row) and isinstance(other, Row):
        return of_rows(one, other, where, rank)
    for read, number in ((one, other), (other, one)):
        if isinstance(read, Read) and isinstance(read.source, Stored) and isinstance(number, Number | Special):
            return of_read_and_number(read, number, where, rank)
    if isinstance(one, Number | Special) and isinstance(other, Number | Special):
        return Difference(where, nowhere(rank))
    return Difference(nowhere(rank), where)


def of_numbers(one: Expr, other: Expr, where: Region, rank: int) -> Region:
    return nowhere(rank) if one.plain_is_equal(other) else where & unequal(one, other)


def of_operands(one: Applied, other: Applied, where: Region, rank: int) -> Difference:
    """Where two results of one op differ: they may differ where the operands differ, and some ops must differ there."""
    found = [of_leaves(a, b, where, rank) for a, b in zip(one.operands, other.operands, strict=True)]
    sure, unsure = nowhere(rank), nowhere(rank)
    for part in found:
        sure, unsure = sure | part.sure, unsure | part.unsure
    return Difference(sure, unsure) if tells_apart(one, found) else Difference(nowhere(rank), sure | unsure)


def tells_apart(leaf: Applied, found: Sequence[Difference]) -> bool:
    """Whether an op's results must differ where its operands do.

    That holds for sums, products and quotients if one operand differs and the other is one number, not 0.
    """
    if leaf.op[0] not in ("Mul", "Add", "Sub", "Div", "Neg"):
        return False
    equal = [
        operand
        for operand, part in zip(leaf.operands, found, strict=True)
        if part.sure.is_empty() and part.unsure.is_empty()
    ]
    return len(equal) == len(found) - 1 and all(number_in(operand) not in (None, 0) for operand in equal)


def of_places(one: tuple[Expr, ...], other: tuple[Expr, ...], where: Region, rank: int) -> Region:
    found = nowhere(rank)
    for a, b in zip(one, other, strict=True):
        found = found | of_numbers(a, b, where, rank)
    return found


def of_reads(one: Read, other: Read, where: Region, rank: int) -> Difference:
    """Two reads of one table differ where they read different places, unless these places hold the same value."""
    if one.source is not other.source:
        return Difference(nowhere(rank), where)
    apart = of_places(one.places, other.places, where, rank)
    if apart.is_empty():
        return none(rank)
    if not isinstance(one.source, Stored):
        return Difference(apart, nowhere(rank))
    shift = [number_of((b - a).intersect_domain(where)) for a, b in zip(one.places, other.places, strict=True)]
    if any(s is None for s in shift):
        return Difference(nowhere(rank), apart)
    odd = odd_places(one.source.values, [int(s) for s in shift if s is not None])
    return Difference(where & at_places(one.places, odd, one.source.values.shape, rank), nowhere(rank))


def odd_places(table: Array, shift: list[int]) -> Array:
    """A mask, in the table's shape, of the entries that differ from the entry ``shift`` places further."""
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, table.shape, strict=True))
    there = tuple(slice(max(0, s), n + min(0, s)) for s, n in zip(shift, table.shape, strict=True))
    found = np.zeros(table.shape, bool)
    one, other = table[here], table[there]
    found[here] = (one != other) & ~((one != one) & (other != other))
    return found


def at_places(places: tuple[Expr, ...], odd: Array, shape: tuple[int, ...], rank: int) -> Region:
    """The entries that read a table at the places marked in ``odd``.

    Errors:
        NoFormulaError: there are very many such places.
    """
    if not odd.any():
        return nowhere(rank)
    found = nowhere(rank)
    lead = len(shape) - 1
    count = 0
    rows = np.argwhere(odd.any(axis=-1)) if lead else np.zeros((1, 0), np.int64)
    if len(rows) > MOST_ODD:
        raise NoFormulaError("it reads a table that changes at too many positions")
    for row in map(tuple, rows.tolist()):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], odd[row].astype(np.int8), [0]])))
        for first, end in edges.reshape(-1, 2).tolist():
            count += 1
            if count > MOST_ODD:
                raise NoFormulaError("it reads a table that changes at too many positions")
            last = places[lead]
            run = last.ge_set(constant(first, rank)) & last.lt_set(constant(end, rank))
            for axis, at in enumerate(row):
                run = run & places[axis].eq_set(constant(at, rank))
            found = found | run
    return found.coalesce()


def of_read_and_number(read: Read, number: Number | Special, where: Region, rank: int) -> Difference:
    """The entries of a set at which a table does not hold the number."""
    assert isinstance(read.source, Stored)
    value = number.value if isinstance(number, Special) else number_of(number.expr.intersect_domain(where))
    if value is None:
        return Difference(nowhere(rank), where)
    table = read.source.values
    odd = table.astype(np.float64) != float(value)
    return Difference(where & at_places(read.places, odd, table.shape, rank), nowhere(rank))


def of_rows(one: Row, other: Row, where: Region, rank: int) -> Difference:
    """The entries of a set at which two rows differ somewhere."""
    if one.tensor is other.tensor and of_places(one.kept, other.kept, where, rank).is_empty():
        return none(rank)
    rest = one.tensor.rank - len(one.kept)
    if other.tensor.rank - len(other.kept) != rest:
        return Difference(nowhere(rank), where)
    found = entries(whole_row(one, rank, rest), whole_row(other, rank, rest), rank + rest, None)
    sizes = nowhere(0)
    for k in range(1, rest + 1):
        sizes = sizes | differs_at(one.tensor.sizes[-k], other.tensor.sizes[-k])
    may = found.sure | found.unsure
    may = may.project_out(isl.dim_type.set, rank + 1, rest) if rest else may
    return Difference(nowhere(rank), ((may | at_all_entries(sizes, rank)) & where).coalesce())


def at_all_entries(of: Region, rank: int) -> Region:
    """All entries at the lengths of a set."""
    return substituted(of, [], rank)


def whole_row(leaf: Row, rank: int, rest: int) -> tuple[Piece, ...]:
    """All entries of the row that a leaf reads, as pieces over ``rank + rest`` indices.

    The first ``rank`` indices are those of the leaf, the others run along the row.
    """
    beside = [index(axis, rank + rest) for axis in range(rank)]
    kept = [substituted(place, beside, rank + rest) for place in leaf.kept]
    along = [index(rank + axis, rank + rest) for axis in range(rest)]
    return tuple(pulled(leaf.tensor, [*kept, *along], rank + rest, lengths(rank + rest)))
