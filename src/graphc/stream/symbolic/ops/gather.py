"""Entries picked by indices, and tables looked up."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.stream.symbolic.domain.lists import numbers_of, size_in
from graphc.stream.symbolic.domain.moves import moved, replaced
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    index,
    lengths,
    number_of,
    of_lengths,
    over,
    substituted,
    tidy,
)
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Number, Piece, Read, merged
from graphc.stream.symbolic.ops.layout import outside_at
from graphc.stream.symbolic.registry import Operands, formula_of


def within(place: Expr, size: Expr, rank: int) -> Expr:
    """Converts an index that counts from the end if it is negative to an index from the start."""
    number = number_of(place)
    if number is not None and number >= 0:
        return place
    zero = constant(0, rank)
    back = (place + over(size, rank)).intersect_domain(place.lt_set(zero))
    return tidy(place.intersect_domain(place.ge_set(zero)).union_add(back))


def beyond(place: Expr, size: Expr, everywhere: Region, rank: int) -> Region:
    """The lengths at which an index lies outside its axis: the offline model does not run there."""
    outside = place.lt_set(constant(0, rank)) | place.ge_set(over(size, rank))
    return (of_lengths(everywhere & outside, rank) & lengths(0)).coalesce()


@formula_of("Gather")
def gather(operands: Operands) -> list[Formula]:
    table, indices = operands[0], operands[1]
    along = int(operands.attribute("axis", 0)) % table.rank
    sizes = [*table.sizes[:along], *indices.sizes, *table.sizes[along + 1 :]]
    rank, depth = len(sizes), indices.rank
    behind = range(along + 1, table.rank)
    rest = [index(a, rank) for a in range(along)], [index(a + depth - 1, rank) for a in behind]
    own = [index(along + k, rank) for k in range(depth)]
    if not all(isinstance(p.leaf, Number) for p in indices.pieces):
        return [looked_up(table, indices, own, rest, sizes, along)]
    place = substituted(numbers_of(indices), own, rank)
    place = within(place, table.sizes[along], rank)
    past = beyond(place, table.sizes[along], box(sizes), rank)
    return [outside_at(moved(table, [*rest[0], place, *rest[1]], sizes), past | indices.outside)]


def looked_up(
    table: Formula,
    indices: Formula,
    own: Sequence[Expr],
    rest: tuple[list[Expr], list[Expr]],
    sizes: Sequence[Expr],
    along: int,
) -> Formula:
    """A table read at indices that have no expression, such as entries of a table: equal indices give equal entries."""
    rank = len(sizes)
    if size_in(table, along) is None or any(not isinstance(p.leaf, Read | Number) for p in table.pieces):
        raise NoFormulaError("it reads a table whose size depends on the length, or whose values have no formula")
    everywhere = box(sizes)
    pieces = []
    others = [Number(place) for place in (*rest[0], *rest[1])]
    key = (
        "Gather",
        along,
        *(
            str(p.leaf.expr) if isinstance(p.leaf, Number) else id(p.leaf.source)
            for p in table.pieces
            if isinstance(p.leaf, Read | Number)
        ),
    )
    for piece in indices.pieces:
        where = substituted(piece.where, own, rank) & everywhere
        if not where.is_empty():
            pieces.append(Piece(where, Applied(key, (replaced(piece.leaf, own, rank), *others))))
    return Formula(
        tuple(sizes),
        table.dtype,
        merged(pieces),
        None,
        table.outside | indices.outside,
        table.rounded | indices.rounded,
    )


@formula_of("GatherElements")
def gather_elements(operands: Operands) -> list[Formula]:
    table, indices = operands[0], operands[1]
    rank = table.rank
    along = int(operands.attribute("axis", 0)) % rank
    place = within(numbers_of(indices), table.sizes[along], rank)
    past = beyond(place, table.sizes[along], box(list(indices.sizes)), rank)
    places = [place if a == along else index(a, rank) for a in range(rank)]
    return [outside_at(moved(table, places, indices.sizes), past | indices.outside)]


@formula_of("GatherND")
def gather_nd(operands: Operands) -> list[Formula]:
    table, indices = operands[0], operands[1]
    if operands.attribute("batch_dims", 0):
        raise NoFormulaError("no formula is known for batch_dims")
    depth, lead = size_in(indices, indices.rank - 1), indices.rank - 1
    if depth is None:
        raise NoFormulaError("the last size of its indices depends on the length")
    sizes = [*indices.sizes[:-1], *table.sizes[depth:]]
    rank = len(sizes)
    own = [index(k, rank) for k in range(lead)]
    past, places = indices.outside, list[Expr]()
    numbers = numbers_of(indices)
    for axis in range(depth):
        place = within(substituted(numbers, [*own, constant(axis, rank)], rank), table.sizes[axis], rank)
        past = past | beyond(place, table.sizes[axis], box(sizes), rank)
        places.append(place)
    places += [index(lead + k, rank) for k in range(table.rank - depth)]
    return [outside_at(moved(table, places, sizes), past)]
