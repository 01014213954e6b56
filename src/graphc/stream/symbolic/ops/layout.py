"""Ops that only move entries along axes that keep their sizes: maps of indices."""

from __future__ import annotations

from dataclasses import replace

from graphc.stream.symbolic.domain.combine import either_single
from graphc.stream.symbolic.domain.lists import listed, size_in
from graphc.stream.symbolic.domain.moves import moved, pulled
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    index,
    lengths,
    nowhere,
    number_of,
    over,
    remainder,
    scaled,
    tidy,
)
from graphc.stream.symbolic.domain.tensor import Formula, Piece, merged
from graphc.stream.symbolic.registry import Operands, formula_of

MOST_COPIES = 16


@formula_of("Transpose")
def transpose(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    rank = tensor.rank
    order = [int(p) for p in operands.attribute("perm", range(rank)[::-1])]
    places = [index(order.index(axis), rank) for axis in range(rank)]
    return [moved(tensor, places, [tensor.sizes[p] for p in order])]


@formula_of("Unsqueeze")
def unsqueeze(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    axes = operands.fixed("axes", 1) or []
    rank = tensor.rank + len(axes)
    added = {a % rank for a in axes}
    kept = [axis for axis in range(rank) if axis not in added]
    sizes = iter(tensor.sizes)
    shape = [constant(1, 0) if axis in added else next(sizes) for axis in range(rank)]
    return [moved(tensor, [index(axis, rank) for axis in kept], shape)]


@formula_of("Squeeze")
def squeeze(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    axes = operands.fixed("axes", 1)
    if axes is None:
        axes = [axis for axis in range(tensor.rank) if size_in(tensor, axis) == 1]
    gone = {a % tensor.rank for a in axes}
    shape = [size for axis, size in enumerate(tensor.sizes) if axis not in gone]
    rank, left = len(shape), iter(range(len(shape)))
    places = [constant(0, rank) if axis in gone else index(next(left), rank) for axis in range(tensor.rank)]
    return [moved(tensor, places, shape)]


@formula_of("Concat")
def concat(operands: Operands) -> list[Formula]:
    parts = operands.given()
    rank = parts[0].rank
    along = int(operands.attribute("axis")) % rank
    sizes = list(parts[0].sizes)
    total: Expr = constant(0, 0)
    begins = []
    for part in parts:
        begins.append(total)
        total = tidy(total + part.sizes[along])
    sizes[along] = total
    everywhere, pieces = box(sizes), list[Piece]()
    outside, rounded = nowhere(0), nowhere(0)
    for begin, part in zip(begins, parts, strict=True):
        first = over(begin, rank)
        places = [index(a, rank) - first if a == along else index(a, rank) for a in range(rank)]
        end = first + over(part.sizes[along], rank)
        here = everywhere & index(along, rank).ge_set(first) & index(along, rank).lt_set(end)
        pieces += pulled(part, places, rank, here)
        outside, rounded = outside | part.outside, rounded | part.rounded
    return [Formula(tuple(sizes), parts[0].dtype, merged(pieces), None, outside, rounded)]


@formula_of("Split")
def split(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    along = int(operands.attribute("axis", 0)) % tensor.rank
    sizes = operands.argument("split", 1)
    count = len(operands.node.outputs)
    if sizes is None:
        whole = size_in(tensor, along)
        if whole is None or whole % count:
            raise NoFormulaError("the size that it splits depends on the length, or does not divide evenly")
        sizes = [constant(whole // count, 0)] * count
    first: Expr = constant(0, 0)
    found = []
    for size in sizes:
        shape = [size if a == along else s for a, s in enumerate(tensor.sizes)]
        shift = over(first, tensor.rank)
        places = [index(a, tensor.rank) + shift if a == along else index(a, tensor.rank) for a in range(tensor.rank)]
        found.append(moved(tensor, places, shape))
        first = tidy(first + size)
    return found


@formula_of("Expand")
def expand(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    want = listed(operands[1])
    rank = max(len(want), tensor.rank)
    have = [constant(1, 0)] * (rank - tensor.rank) + list(tensor.sizes)
    want = [constant(1, 0)] * (rank - len(want)) + want
    sizes, misfit, past = [], nowhere(0), nowhere(0)
    for held, wanted in zip(have, want, strict=True):
        if number_of(held) != 1 and number_of(wanted) != 1:
            differ, one = held.ne_set(wanted), either_single(held, wanted)
            misfit, past = misfit | (differ - one), past | (differ & one)
        sizes.append(wanted if number_of(held) == 1 else held)
    lead = rank - tensor.rank
    places = [
        constant(0, rank) if number_of(size) == 1 else index(axis + lead, rank)
        for axis, size in enumerate(tensor.sizes)
    ]
    return [past_at(outside_at(moved(tensor, places, sizes), misfit), past)]


def outside_at(tensor: Formula, more: Region) -> Formula:
    """The same formula, with more lengths noted at which the offline model does not run."""
    return tensor if more.is_empty() else replace(tensor, outside=(tensor.outside | more).coalesce())


def past_at(tensor: Formula, more: Region) -> Formula:
    """The same formula, with more lengths noted at which the offline model runs but does something else."""
    more = more & lengths(0)
    return tensor if more.is_empty() else replace(tensor, past=(tensor.past | more).coalesce())


@formula_of("Tile")
def tile(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    rank = tensor.rank
    places, sizes = [], []
    for axis, times in enumerate(listed(operands[1])):
        size = size_in(tensor, axis)
        copies = number_of(times)
        if copies == 1:
            places.append(index(axis, rank))
            sizes.append(tensor.sizes[axis])
        elif size is not None:
            places.append(constant(0, rank) if size == 1 else remainder(index(axis, rank), size))
            sizes.append(scaled(times, size))
        elif copies is not None and copies <= MOST_COPIES:
            places.append(in_copy(index(axis, rank), over(tensor.sizes[axis], rank), int(copies), rank))
            sizes.append(scaled(tensor.sizes[axis], copies))
        else:
            raise NoFormulaError(
                "it repeats an axis that depends on the length too often, or as often as the length says"
            )
    return [moved(tensor, places, sizes)]


def in_copy(place: Expr, size: Expr, copies: int, rank: int) -> Expr:
    """Converts a position in ``copies`` copies of a tensor, one after another, to a position in the tensor."""
    found: Expr | None = None
    for copy in range(copies):
        start = scaled(size, copy) if copy else constant(0, rank)
        here = place.ge_set(start) & place.lt_set(start + size)
        part = (place - start).intersect_domain(here)
        found = part if found is None else found.union_add(part)
    assert found is not None
    return tidy(found)
