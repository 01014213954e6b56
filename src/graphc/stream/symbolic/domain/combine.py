"""Elementwise ops with broadcasting, a piece of each operand at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphc.stream.symbolic.domain.moves import moved
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    index,
    is_same,
    lengths,
    nowhere,
    number_of,
)
from graphc.stream.symbolic.domain.tensor import MOST_REGIONS, Formula, Leaf, Piece, merged


def broadcast(tensors: Sequence[Formula]) -> tuple[list[Expr], list[Formula], Region, Region]:
    """The common sizes of tensors, the tensors broadcast to these sizes, and the lengths at which their sizes differ.

    The differing lengths are two sets: those at which the offline model does not run, and those at which it broadcasts
    a size that is 1.

    Errors:
        NoFormulaError: the sizes fit at no length.
    """
    rank = max(t.rank for t in tensors)
    sizes: list[Expr] = []
    misfit, single = nowhere(0), nowhere(0)
    for axis in range(rank):
        given = [t.sizes[axis - rank + t.rank] for t in tensors if axis - rank + t.rank >= 0]
        wide = [s for s in given if number_of(s) != 1] or given[:1]
        for other in wide[1:]:
            differ, one = other.ne_set(wide[0]), either_single(other, wide[0])
            misfit, single = misfit | (differ - one), single | (differ & one)
        sizes.append(wide[0])
    misfit = (misfit & lengths(0)).coalesce()
    if misfit.is_equal(lengths(0)):
        raise NoFormulaError("the shapes of its inputs do not broadcast at any length")
    found = []
    for tensor in tensors:
        lead = rank - tensor.rank
        same = not lead and all(is_same(a, b) for a, b in zip(tensor.sizes, sizes, strict=True))
        places = [
            constant(0, rank) if number_of(size) == 1 else index(axis + lead, rank)
            for axis, size in enumerate(tensor.sizes)
        ]
        found.append(tensor if same else moved(tensor, places, sizes))
    return sizes, found, misfit, (single & lengths(0)).coalesce()


def either_single(one: Expr, other: Expr) -> Region:
    """The lengths at which one of two sizes is 1."""
    single = constant(1, 0)
    return one.eq_set(single) | other.eq_set(single)


Combine = Callable[[Region, int, Sequence[Leaf]], Leaf | list[Piece]]


def combined(combine: Combine, dtype: np.dtype[Any], *tensors: Formula) -> Formula:
    """The formula of an elementwise op with broadcasting.

    Args:
        combine: called with a set, the rank, and the operands' leaves on that set; returns a leaf, or pieces.
    """
    sizes, same, misfit, past = broadcast(tensors)
    rank = len(sizes)
    groups: list[tuple[Region, tuple[Leaf, ...]]] = [(box(sizes), ())]
    for tensor in same:
        if tensor.folded is not None:
            raise NoFormulaError(
                "it reads a tensor reshaped to rows of another width, and no formula is known for that"
            )
        groups = [
            (where, (*leaves, piece.leaf))
            for region, leaves in groups
            for piece in tensor.pieces
            if not (where := region & piece.where).is_empty()
        ]
        if len(groups) > MOST_REGIONS:
            raise NoFormulaError(f"its formula falls into {len(groups)} cases, which is too many")
    pieces: list[Piece] = []
    for where, leaves in groups:
        made = combine(where, rank, leaves)
        pieces += made if isinstance(made, list) else [Piece(where, made)]
    outside, rounded = misfit, nowhere(0)
    for tensor in tensors:
        outside, rounded, past = outside | tensor.outside, rounded | tensor.rounded, past | tensor.past
    return Formula(tuple(sizes), np.dtype(dtype), merged(pieces), None, outside, rounded, past=past)
