"""Tensors with entries moved to other places, or taken at other lengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    index,
    lengths,
    number_of,
    over,
    substituted,
    tidy,
)
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Piece, Read, Row, merged


def replaced(leaf: Leaf, places: Sequence[Expr], rank: int, length: Expr | None = None) -> Leaf:
    """A leaf with its indices replaced by ``places``, which are expressions of ``rank`` new indices and T.

    Args:
        length: replaces T, if given; an expression of T alone.
    """
    there = None if length is None else over(length, rank)

    def expr(found: Expr) -> Expr:
        return substituted(found, places, rank, there)

    if isinstance(leaf, Number):
        number = number_of(leaf.expr)
        return Number(constant(number, rank) if number is not None else tidy(expr(leaf.expr)))
    if isinstance(leaf, Read):
        return Read(leaf.source, tuple(expr(p) for p in leaf.places))
    if isinstance(leaf, Applied):
        return Applied(leaf.op, tuple(replaced(o, places, rank, length) for o in leaf.operands))
    if isinstance(leaf, Row):
        tensor = leaf.tensor if length is None else at_length(leaf.tensor, length)
        return Row(tensor, tuple(expr(p) for p in leaf.kept))
    return leaf


def moved(tensor: Formula, places: Sequence[Expr], sizes: Sequence[Expr]) -> Formula:
    """A tensor of the given sizes that reads ``tensor`` at ``places``, expressions of the new indices and T."""
    rank = len(sizes)
    everywhere = box(sizes)
    pieces = pulled(tensor, places, rank, everywhere)
    return replace(tensor, sizes=tuple(sizes), pieces=merged(pieces), folded=None)


def pulled(tensor: Formula, places: Sequence[Expr], rank: int, within: Region) -> list[Piece]:
    """The pieces of a tensor read at ``places``, expressions of ``rank`` new indices, on a set of new indices."""
    if tensor.folded is not None:
        raise NoFormulaError("it reads a tensor reshaped to rows of another width, and no formula is known for that")
    found = []
    for piece in tensor.pieces:
        where = (substituted(piece.where, places, rank) & within).coalesce()
        if not where.is_empty():
            found.append(Piece(where, replaced(piece.leaf, places, rank)))
    return found


def at_length(tensor: Formula, length: Expr) -> Formula:
    """The tensor at another length, as a formula of T.

    Args:
        length: the other length, an expression of T alone.
    """
    sizes = tuple(substituted(s, [], 0, length) for s in tensor.sizes)
    rank = tensor.rank
    places = [index(axis, rank) for axis in range(rank)]
    there, known = over(length, rank), lengths(rank)
    pieces = tuple(
        Piece(substituted(p.where, places, rank, there) & known, replaced(p.leaf, places, rank, length))
        for p in tensor.pieces
    )
    return Formula(sizes, tensor.dtype, pieces)
