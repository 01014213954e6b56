"""A tensor as a formula of T and its indices: its sizes, and its entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    constant,
    nowhere,
    number_of,
    tidy,
)

Array = NDArray[Any]
MOST_REGIONS = 200


@dataclass(frozen=True, eq=False)
class Number:
    """An integer or an exact fraction."""

    expr: Expr


@dataclass(frozen=True)
class Special:
    """An infinity, or NaN."""

    value: float


@dataclass(frozen=True, eq=False)
class Read:
    """An entry of a tensor that no formula describes: a stored table, or data.

    Args:
        source: the stored array; the string "data" for a tensor of data.
        places: the index on each axis of the source.
    """

    source: Stored | str
    places: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Applied:
    """An op about which only this is known: equal operands give equal results."""

    op: tuple[object, ...]
    operands: tuple[Leaf, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """A whole row of a tensor as one operand: all entries along its last axes.

    Args:
        kept: the indices on the tensor's first axes.
    """

    tensor: Formula
    kept: tuple[Expr, ...]


Leaf = Number | Special | Read | Applied | Row


@dataclass(frozen=True, eq=False)
class Stored:
    """A constant array. Two stored arrays are treated as equal only if they are the same object."""

    values: Array

    @cached_property
    def is_finite(self) -> bool:
        return self.values.dtype.kind not in "fcV" or bool(np.isfinite(self.values.astype(np.complex128)).all())


@dataclass(frozen=True, eq=False)
class Piece:
    where: Region
    leaf: Leaf


@dataclass(frozen=True, eq=False)
class Formula:
    """A tensor that depends on T alone, or whose entries were moved from a tensor of data.

    Args:
        sizes: the size of each axis, as an expression of T alone.
        pieces: the leaf that gives the entries in each region; regions do not overlap.
        folded: the entries of a tensor whose rows were reshaped to another width (``ops/fold.py``); there are no pieces
            then.
        outside: lengths at which the offline model does not run.
        rounded: lengths at which numbers are too large for their dtype.
        cast: lengths at which numbers are too large for their dtype, but are exact numbers that only a Cast to floats
            has rounded.
        past: lengths at which the offline model runs, but does something else: a Slice reaches past the end of a table
            and is cut off there, or a size that depends on the length is 1 and is broadcast.
    """

    sizes: tuple[Expr, ...]
    dtype: np.dtype[Any]
    pieces: tuple[Piece, ...]
    folded: Any = None
    outside: Region = field(default_factory=lambda: nowhere(0))
    rounded: Region = field(default_factory=lambda: nowhere(0))
    cast: Region = field(default_factory=lambda: nowhere(0))
    past: Region = field(default_factory=lambda: nowhere(0))

    @property
    def rank(self) -> int:
        return len(self.sizes)


def numbered(value: Any, rank: int) -> Leaf:
    """The leaf of one number, which may be infinite or NaN."""
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, complex):
        raise NoFormulaError("no formula is known for complex numbers")
    if isinstance(number, float) and not math.isfinite(number):
        return Special(number)
    return Number(constant(Fraction(number) if isinstance(number, float) else int(number), rank))


def number_in(leaf: Leaf) -> float | Fraction | int | None:
    """The number that a leaf always equals; None if there is no such number."""
    if isinstance(leaf, Special):
        return leaf.value
    return number_of(leaf.expr) if isinstance(leaf, Number) else None


def merged(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The same pieces, with all finite numbers merged into one piece, and each infinity or NaN into one piece."""
    numbers = [p for p in pieces if isinstance(p.leaf, Number)]
    found: list[Piece] = []
    if numbers:
        total: Expr | None = None
        for piece in numbers:
            assert isinstance(piece.leaf, Number)
            part = piece.leaf.expr.intersect_domain(piece.where)
            total = part if total is None else total.union_add(part)
        assert total is not None
        expr = tidy(total)
        found.append(Piece(expr.domain(), Number(expr)))
    special: dict[str, Piece] = {}
    for piece in pieces:
        if isinstance(piece.leaf, Special):
            key = str(piece.leaf.value)
            before = special.get(key)
            where = piece.where if before is None else (before.where | piece.where).coalesce()
            special[key] = Piece(where, piece.leaf)
        elif not isinstance(piece.leaf, Number):
            found.append(piece)
    found += special.values()
    if len(found) > MOST_REGIONS:
        raise NoFormulaError(f"its formula falls into {len(found)} cases, which is too many")
    return tuple(found)
