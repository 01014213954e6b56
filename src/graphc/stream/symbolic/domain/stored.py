"""The formulas of constants."""

from __future__ import annotations

import numpy as np

from graphc.stream.symbolic.domain.space import Expr, NoFormulaError, box, constant, index, scaled
from graphc.stream.symbolic.domain.tensor import Array, Formula, Number, Piece, Read, Stored, merged, numbered

LARGEST_LISTED = 64


def stored(value: Array) -> Formula:
    """The formula of a constant."""
    rank = value.ndim
    sizes = tuple(constant(n, 0) for n in value.shape)
    everywhere = box(sizes)
    if value.dtype.kind not in "iufb":
        raise NoFormulaError(f"no formula is known for numbers of type {value.dtype}")
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
    """The expression of a table of integers that grow by even steps along each axis; None for any other table."""
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
