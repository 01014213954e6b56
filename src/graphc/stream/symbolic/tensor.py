"""A tensor as a formula of T and its indices: sizes, and what stands where."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.stream.symbolic.space import (
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
    over,
    scaled,
    substituted,
    tidy,
)

Array = NDArray[Any]
LARGEST_LISTED = 64
MOST_REGIONS = 200


@dataclass(frozen=True, eq=False)
class Number:
    """A whole number or an exact fraction."""

    expr: Expr


@dataclass(frozen=True)
class Special:
    """An infinity, or no number."""

    value: float


@dataclass(frozen=True, eq=False)
class Read:
    """An entry of a tensor that no formula describes: a stored table, or data.

    Args:
        source: the stored array, or the name of the tensor of data.
        places: the index on each of its axes.
    """

    source: Stored | str
    places: tuple[Expr, ...]


@dataclass(frozen=True, eq=False)
class Applied:
    """An op of which only is known that it gives the same for the same operands."""

    op: tuple[object, ...]
    operands: tuple[Leaf, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """A whole row of a tensor as one operand: all entries along its last axes.

    Args:
        kept: the indices on its first axes.
    """

    tensor: Formula
    kept: tuple[Expr, ...]


Leaf = Number | Special | Read | Applied | Row


@dataclass(frozen=True, eq=False)
class Stored:
    """A constant array; two are one table if they are the same object."""

    values: Array


@dataclass(frozen=True, eq=False)
class Piece:
    where: Region
    leaf: Leaf


@dataclass(frozen=True, eq=False)
class Formula:
    """A tensor that depends on T alone, or that moves entries of one that does not.

    Args:
        sizes: of its axes, expressions of T alone.
        pieces: which leaf stands where; they do not overlap.
        folded: entries of another tensor whose rows were laid out anew (``ops/fold.py``); there are no pieces then.
        outside: lengths at which the offline model does not run, or reads past the end of a table.
        rounded: lengths at which numbers are too large for the type that holds them.
    """

    sizes: tuple[Expr, ...]
    dtype: np.dtype[Any]
    pieces: tuple[Piece, ...]
    folded: Any = None
    outside: Region = field(default_factory=lambda: nowhere(0))
    rounded: Region = field(default_factory=lambda: nowhere(0))

    @property
    def rank(self) -> int:
        return len(self.sizes)


def numbered(value: Any, rank: int) -> Leaf:
    """A leaf that is one number."""
    number = value.item() if hasattr(value, "item") else value
    if isinstance(number, complex):
        raise NoFormulaError("complex numbers")
    if isinstance(number, float) and not math.isfinite(number):
        return Special(number)
    return Number(constant(Fraction(number) if isinstance(number, float) else int(number), rank))


def number_in(leaf: Leaf) -> float | Fraction | int | None:
    """The one number that a leaf is, if it is one."""
    if isinstance(leaf, Special):
        return leaf.value
    return number_of(leaf.expr) if isinstance(leaf, Number) else None


def stored(value: Array) -> Formula:
    """The formula of a constant."""
    rank = value.ndim
    sizes = tuple(constant(n, 0) for n in value.shape)
    everywhere = box(sizes)
    if value.dtype.kind not in "iufb":
        raise NoFormulaError(f"numbers of type {value.dtype}")
    if value.size and (value == value.ravel()[0]).all():
        return Formula(sizes, value.dtype, (Piece(everywhere, numbered(value.ravel()[0], rank)),))
    if value.size <= LARGEST_LISTED:
        pieces = []
        all_places: list[tuple[int, ...]] = list(np.ndindex(value.shape))
        for place in all_places:
            here = everywhere
            for axis, at in enumerate(place):
                here = here & index(axis, rank).eq_set(constant(at, rank))
            pieces.append(Piece(here, numbered(value[place], rank)))
        return Formula(sizes, value.dtype, merged(pieces))
    ramp = even_steps(value)
    places = tuple(index(axis, rank) for axis in range(rank))
    leaf = Read(Stored(value), places) if ramp is None else Number(ramp)
    return Formula(sizes, value.dtype, (Piece(everywhere, leaf),))


def even_steps(value: Array) -> Expr | None:
    """A table of whole numbers that grow by even steps along each axis; None of any other."""
    if value.dtype.kind == "b" or (value.dtype.kind == "f" and not (np.isfinite(value) & (value % 1 == 0)).all()):
        return None
    first = int(value.ravel()[0])
    steps = [int(value.take(1, axis=a).ravel()[0]) - first if n > 1 else 0 for a, n in enumerate(value.shape)]
    made: Array = np.full((1,) * value.ndim, first)
    for axis, step in enumerate(steps):
        along = [-1 if a == axis else 1 for a in range(value.ndim)]
        made = made + step * np.arange(value.shape[axis]).reshape(along)
    if not np.array_equal(value, made):
        return None
    expr = constant(first, value.ndim)
    for axis, step in enumerate(steps):
        expr = expr + scaled(index(axis, value.ndim), step)
    return expr


def merged(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The same pieces, all whole numbers among them as one expression, and each special number once."""
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
        raise NoFormulaError(f"falls into {len(found)} cases")
    return tuple(found)


def replaced(leaf: Leaf, places: Sequence[Expr], rank: int, length: Expr | None = None) -> Leaf:
    """A leaf over other indices.

    Args:
        length: another length, an expression of T alone.
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
    """A tensor of these sizes whose entries are those of another at places that follow the new indices and T."""
    rank = len(sizes)
    everywhere = box(sizes)
    pieces = pulled(tensor, places, rank, everywhere)
    return Formula(tuple(sizes), tensor.dtype, merged(pieces), None, tensor.outside, tensor.rounded)


def pulled(tensor: Formula, places: Sequence[Expr], rank: int, within: Region) -> list[Piece]:
    """The pieces of a tensor over new indices, within a set of these."""
    if tensor.folded is not None:
        raise NoFormulaError("rows that were laid out anew are used in another way")
    found = []
    for piece in tensor.pieces:
        where = (substituted(piece.where, places, rank) & within).coalesce()
        if not where.is_empty():
            found.append(Piece(where, replaced(piece.leaf, places, rank)))
    return found


def at_length(tensor: Formula, length: Expr) -> Formula:
    """What a tensor is at another length, as a formula of this one.

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


def size_in(tensor: Formula, axis: int) -> int | None:
    """The size of an axis, where it is the same at every length."""
    number = number_of(tensor.sizes[axis])
    return int(number) if number is not None else None


def fixed_shape(tensor: Formula) -> tuple[int, ...] | None:
    sizes = [size_in(tensor, axis) for axis in range(tensor.rank)]
    return None if any(s is None for s in sizes) else tuple(s for s in sizes if s is not None)


def broadcast(tensors: Sequence[Formula]) -> tuple[list[Expr], list[Formula], Region]:
    """Tensors of one shape, and the lengths at which their sizes do not fit.

    Errors:
        NoFormulaError: they fit at no length.
    """
    rank = max(t.rank for t in tensors)
    sizes: list[Expr] = []
    misfit = nowhere(0)
    for axis in range(rank):
        given = [t.sizes[axis - rank + t.rank] for t in tensors if axis - rank + t.rank >= 0]
        wide = [s for s in given if number_of(s) != 1] or given[:1]
        for other in wide[1:]:
            misfit = misfit | other.ne_set(wide[0])
        sizes.append(wide[0])
    misfit = (misfit & lengths(0)).coalesce()
    if misfit.is_equal(lengths(0)):
        raise NoFormulaError("sizes that fit at no length")
    found = []
    for tensor in tensors:
        lead = rank - tensor.rank
        same = not lead and all(is_same(a, b) for a, b in zip(tensor.sizes, sizes, strict=True))
        places = [
            constant(0, rank) if number_of(size) == 1 else index(axis + lead, rank)
            for axis, size in enumerate(tensor.sizes)
        ]
        found.append(tensor if same else moved(tensor, places, sizes))
    return sizes, found, misfit


Combine = Callable[[Region, int, Sequence[Leaf]], Leaf | list[Piece]]


def combined(combine: Combine, dtype: np.dtype[Any], *tensors: Formula) -> Formula:
    """An elementwise op with broadcasting.

    Args:
        combine: takes a set, its rank, and the operands' leaves there; gives a leaf, or pieces.
    """
    sizes, same, misfit = broadcast(tensors)
    rank = len(sizes)
    groups: list[tuple[Region, tuple[Leaf, ...]]] = [(box(sizes), ())]
    for tensor in same:
        if tensor.folded is not None:
            raise NoFormulaError("rows that were laid out anew are used in another way")
        groups = [
            (where, (*leaves, piece.leaf))
            for region, leaves in groups
            for piece in tensor.pieces
            if not (where := region & piece.where).is_empty()
        ]
        if len(groups) > MOST_REGIONS:
            raise NoFormulaError(f"falls into {len(groups)} cases")
    pieces: list[Piece] = []
    for where, leaves in groups:
        made = combine(where, rank, leaves)
        pieces += made if isinstance(made, list) else [Piece(where, made)]
    outside, rounded = misfit, nowhere(0)
    for tensor in tensors:
        outside, rounded = outside | tensor.outside, rounded | tensor.rounded
    return Formula(tuple(sizes), np.dtype(dtype), merged(pieces), None, outside, rounded)


def numbers_of(tensor: Formula) -> Expr:
    """A tensor of whole numbers as one expression.

    Errors:
        NoFormulaError: some of its entries are none.
    """
    total: Expr | None = None
    for piece in tensor.pieces:
        if not isinstance(piece.leaf, Number):
            raise NoFormulaError("numbers that follow no formula of the length")
        part = piece.leaf.expr.intersect_domain(piece.where)
        total = part if total is None else total.union_add(part)
    if total is None:
        raise NoFormulaError("an empty tensor")
    return total


def listed(tensor: Formula) -> list[Expr]:
    """The entries of a short list, or of one number, each as an expression of T.

    Errors:
        NoFormulaError: its size follows the length, or an entry is no whole number.
    """
    if tensor.rank and size_in(tensor, 0) == 0:
        return []
    expr = numbers_of(tensor)
    if tensor.rank == 0:
        return [expr]
    size = size_in(tensor, 0)
    if size is None or tensor.rank > 1:
        raise NoFormulaError("a list whose size follows the length")
    return [tidy(substituted(expr, [constant(k, 0)], 0)) for k in range(size)]


def fixed_list(tensor: Formula) -> list[int]:
    """A list of numbers that are the same at every length.

    Errors:
        NoFormulaError: they follow the length.
    """
    numbers = [number_of(expr) for expr in listed(tensor)]
    if any(n is None for n in numbers):
        raise NoFormulaError("an argument that follows the length")
    return [int(n) for n in numbers if n is not None]
