"""Where a tensor differs from itself some steps along an axis, or at the next length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graphc.contract.length import Length
from graphc.stream.symbolic.domain.lengths import expression_of
from graphc.stream.symbolic.domain.moves import at_length, pulled, replaced
from graphc.stream.symbolic.domain.space import (
    Expr,
    Region,
    constant,
    differs_at,
    frames,
    index,
    lengths,
    nowhere,
    number_of,
    of_lengths,
    over,
    substituted,
)
from graphc.stream.symbolic.domain.tensor import Formula, Piece, number_in
from graphc.stream.symbolic.queries.differ import Difference, entries
from graphc.stream.symbolic.queries.rising import rises


@dataclass(frozen=True)
class Lengths:
    """The lengths that the model is known to accept, evenly spaced.

    Args:
        first: the shortest length that was evaluated.
        apart: the step from one length to the next.
    """

    first: int
    apart: int


def shifts_along(
    x: Formula, axes: tuple[int, int], period: int, reach: int, known: Lengths, falling: int = 0
) -> Difference:
    """The lengths at which a table does not repeat along its diagonal, or changes with the distance beyond a reach.

    Args:
        falling: 1 if entries beyond the reach may also fall as the distance grows, -1 if they may rise, 0 if neither.
    """
    first, second = axes
    distance = index(second, x.rank) - index(first, x.rank)
    ahead, behind = distance.ge_set(constant(reach, x.rank)), distance.le_set(constant(-reach, x.rank))
    beyond = nothing_rises(x, second, ahead, falling) | nothing_rises(x, first, behind, falling)
    return same_at_next(x, known, axes) | same_along(x, {first: period, second: period}) | beyond


def nothing_rises(x: Formula, axis: int, within: Region, falling: int) -> Difference:
    """The lengths at which the entry one step along an axis differs or, if ``falling`` is 1 (-1), rises (falls)."""
    if not falling:
        return same_along(x, {axis: 1}, within)
    places = [index(a, x.rank) + constant(int(a == axis), x.rank) for a in range(x.rank)]
    found = Difference(nowhere(x.rank), nowhere(x.rank))
    for here in x.pieces:
        for there in pulled(x, places, x.rank, lengths(x.rank)):
            both = here.where & there.where & within
            if both.is_empty() or number_in(there.leaf) == -math.inf * falling:
                continue
            found = found | rises(here.leaf, there.leaf, both, x.rank, falling)
    return Difference(of_lengths(found.sure, x.rank), of_lengths(found.unsure, x.rank))


def size_is(x: Formula, axis: int, length: Length) -> Difference:
    return Difference(differs_at(x.sizes[axis], expression_of(length)), nowhere(0))


def at_lengths(x: Formula, other: Sequence[Piece], within: Region | None = None) -> Difference:
    """The lengths at which an entry of a tensor differs from the entry of the pieces ``other`` at the same position."""
    found = entries(x.pieces, tuple(other), x.rank, within)
    return Difference(of_lengths(found.sure, x.rank), of_lengths(found.unsure, x.rank))


def same_along(x: Formula, steps: dict[int, int], within: Region | None = None) -> Difference:
    """The lengths at which an entry differs from the entry ``steps`` further along some axes."""
    places = [index(a, x.rank) + constant(steps.get(a, 0), x.rank) for a in range(x.rank)]
    return at_lengths(x, pulled(x, places, x.rank, lengths(x.rank)), within)


def same_at_next(
    x: Formula,
    known: Lengths,
    growing: Sequence[int] = (),
    from_end: int | None = None,
    within: Region | None = None,
) -> Difference:
    """The lengths at which a tensor differs from the tensor at the neighbouring length, nearer to the first one known.

    Args:
        growing: axes whose sizes may differ between lengths; entries at the same positions are compared.
        from_end: an axis on which positions are counted from the end instead.
        within: the entries to compare; None for all.
    """
    step = frames(0) + constant(known.apart, 0)
    following = at_length(x, step)
    pieces: Sequence[Piece] = following.pieces
    if from_end is not None:
        more = over(following.sizes[from_end] - x.sizes[from_end], x.rank)
        places = [index(a, x.rank) + more if a == from_end else index(a, x.rank) for a in range(x.rank)]
        pieces = [
            Piece(substituted(p.where, places, x.rank), replaced(p.leaf, places, x.rank)) for p in following.pieces
        ]
    found = at_lengths(x, pieces, within)
    sizes = nowhere(0)
    for axis in range(x.rank):
        if axis not in growing:
            sizes = sizes | differs_at(x.sizes[axis], following.sizes[axis])
    return Difference(continued(found.sure | sizes, known), continued(found.unsure, known))


def continued(breaks: Region, known: Lengths) -> Region:
    """Converts lengths at which a tensor differs from the next length to the lengths at which a claim fails.

    Before the first length known, the claim fails at the length itself. From that length on, it fails at the next.
    """
    if breaks.is_empty():
        return breaks
    here, first = frames(0), constant(known.first, 0)
    before = breaks & here.lt_set(first)
    behind = substituted(breaks & here.ge_set(first), [], 0, here - constant(known.apart, 0))
    return before | behind


def fixed_but(x: Formula, growing: Sequence[int], known: Lengths) -> Difference:
    """The lengths at which the size of an axis outside ``growing`` changes."""
    moving = nowhere(0)
    for axis, size in enumerate(x.sizes):
        if axis not in growing and number_of(size) is None:
            later: Expr = substituted(size, [], 0, frames(0) + constant(known.apart, 0))
            moving = moving | differs_at(size, later)
    return Difference(continued(moving, known), nowhere(0))
