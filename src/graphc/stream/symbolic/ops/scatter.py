"""Scatter ops: entries overwrite others, at positions that do not depend on data."""

from __future__ import annotations

from graphc.stream.symbolic.domain.lists import numbers_of, size_in
from graphc.stream.symbolic.domain.moves import pulled
from graphc.stream.symbolic.domain.space import (
    NoFormulaError,
    Region,
    box,
    constant,
    index,
    number_of,
    remainder,
    substituted,
    value_of,
)
from graphc.stream.symbolic.domain.tensor import Formula, Piece, merged
from graphc.stream.symbolic.registry import Operands, formula_of


@formula_of("ScatterElements")
def scatter_elements(operands: Operands) -> list[Formula]:
    """Supports one written entry along the axis, for each position on the other axes."""
    data, places, updates = operands[0], operands[1], operands[2]
    rank = data.rank
    along = int(operands.attribute("axis", 0)) % rank
    if size_in(places, along) != 1 or operands.attribute("reduction", "none") != "none":
        raise NoFormulaError("it writes several entries along its axis, or combines them with a reduction")
    first = [constant(0, rank) if a == along else index(a, rank) for a in range(rank)]
    place = substituted(numbers_of(places), first, rank)
    inside = substituted(box(places.sizes), first, rank)
    written = inside & index(along, rank).eq_set(place)
    return [over_data(data, updates, written, pulled(updates, first, rank, written & box(data.sizes)))]


def over_data(data: Formula, updates: Formula, written: Region, pieces: list[Piece]) -> Formula:
    kept = [Piece(where, p.leaf) for p in data.pieces if not (where := p.where - written).is_empty()]
    return Formula(
        data.sizes,
        data.dtype,
        merged([*pieces, *kept]),
        None,
        data.outside | updates.outside,
        data.rounded | updates.rounded,
    )


@formula_of("ScatterND")
def scatter_nd(operands: Operands) -> list[Formula]:
    """Supports writes to evenly spaced entries of the first axis, in order."""
    data, places, updates = operands[0], operands[1], operands[2]
    rank = data.rank
    if places.rank != 2 or size_in(places, 1) != 1 or operands.attribute("reduction", "none") != "none":
        raise NoFormulaError("it writes to positions on several axes, or combines entries with a reduction")
    row = substituted(numbers_of(places), [index(0, 1), constant(0, 1)], 1)
    start = number_of(substituted(row, [constant(0, 0)], 0))
    step = number_of(substituted(row, [index(0, 1) + constant(1, 1)], 1) - row)
    if start is None or step is None or step < 1:
        raise NoFormulaError("it writes to positions that are not evenly spaced")
    behind = index(0, rank) - constant(start, rank)
    turn = behind.scale_down_val(value_of(int(step))).floor()
    inside = box(data.sizes) & substituted(box(places.sizes[:1]), [turn], rank)
    written = inside & remainder(behind, int(step)).eq_set(constant(0, rank)) if step > 1 else inside
    others = [index(a, rank) for a in range(1, rank)]
    return [over_data(data, updates, written, pulled(updates, [turn, *others], rank, written))]
