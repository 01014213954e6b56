"""Slices, padding and triangles: entries are left out, or added around a tensor."""

from __future__ import annotations

import numpy as np
import onnx

from graphc.stream.symbolic.domain.lists import listed, numbers_of, size_in
from graphc.stream.symbolic.domain.moves import moved, pulled
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    index,
    indicator,
    lengths,
    nowhere,
    number_of,
    over,
    scaled,
    substituted,
    tidy,
    value_of,
)
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Piece, Row, Special, merged, numbered
from graphc.stream.symbolic.ops.layout import past_at
from graphc.stream.symbolic.registry import Operands, formula_of

BEFORE_ALL = -(2**40)


def wrapped(place: Expr, size: Expr) -> Expr:
    """Converts a position that counts from the end if it is negative to a position from the start."""
    number = number_of(place)
    if number is not None:
        return place if number >= 0 else tidy(place + size)
    zero = constant(0, 0)
    back = (place + size).intersect_domain(place.lt_set(zero))
    return tidy(place.intersect_domain(place.ge_set(zero)).union_add(back))


@formula_of("Slice")
def cut(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    starts, ends = operands.argument("starts", 1), operands.argument("ends", 2)
    if starts is None or ends is None:
        raise NoFormulaError("its starts or its ends are missing")
    axes = operands.fixed("axes", 3) or list(range(len(starts)))
    steps = operands.fixed("steps", 4) or [1] * len(starts)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        tensor = cut_axis(tensor, axis % tensor.rank, start, end, step)
    return [tensor]


def cut_axis(tensor: Formula, axis: int, start: Expr, end: Expr, step: int) -> Formula:
    size, zero = tensor.sizes[axis], constant(0, 0)
    first, last = wrapped(start, size), wrapped(end, size)
    past = past_table(tensor, axis, (start, end), (first, last))
    if step > 0:
        low, high = first.max(zero).min(size), last.max(zero).min(size)
        count = scaled_up(high - low, step)
    else:
        top = size - constant(1, 0)
        to_the_front = number_of(end)
        low = first.min(top).max(zero)
        high = last.max(constant(-1, 0)).min(top)
        if to_the_front is not None and to_the_front < BEFORE_ALL:
            high = constant(-1, 0)
        count = scaled_up(low - high, -step)
    count, low = tidy(count.max(zero)), tidy(low)
    sizes = [count if a == axis else s for a, s in enumerate(tensor.sizes)]
    if tensor.folded is not None:
        rows: Formula = tensor.folded.cut(tensor, axis, start, count, step)
        return rows
    if number_of(low) == 0 and step == 1 and number_of(count) == number_of(size) is not None:
        return tensor
    places = [index(a, tensor.rank) for a in range(tensor.rank)]
    places[axis] = over(low, tensor.rank) + scaled(places[axis], step)
    return past_at(moved(tensor, places, sizes), past)


def scaled_up(span: Expr, step: int) -> Expr:
    """ceil(span / step)."""
    return span if step == 1 else span.scale_down_val(value_of(step)).ceil()


def past_table(tensor: Formula, axis: int, given: tuple[Expr, ...], places: tuple[Expr, ...]) -> Region:
    """The lengths at which a start or an end that depends on the length lies outside an axis of fixed size.

    Args:
        given: the start and the end as the node has them.
        places: the start and the end counted from the start of the axis.
    """
    found = nowhere(0)
    size = size_in(tensor, axis)
    if size is None:
        return found
    for raw, place in zip(given, places, strict=True):
        if number_of(raw) is None:
            found = found | place.lt_set(constant(0, 0)) | place.gt_set(constant(size, 0))
    return (found & lengths(0)).coalesce()


@formula_of("Pad")
def pad(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    mode = operands.attribute("mode", "constant")
    amounts = operands.argument("pads", 1)
    if amounts is None:
        raise NoFormulaError("its pads are missing")
    axes = operands.fixed("axes", 3) or list(range(tensor.rank))
    rank = tensor.rank
    before, after = [constant(0, 0)] * rank, [constant(0, 0)] * rank
    for k, axis in enumerate(axes):
        before[axis % rank], after[axis % rank] = amounts[k], amounts[k + len(axes)]
    if all(number_of(a) == 0 for a in (*before, *after)):
        return [tensor]
    sizes = [tidy(b + s + a) for b, s, a in zip(before, tensor.sizes, after, strict=True)]
    places = [index(a, rank) - over(before[a], rank) for a in range(rank)]
    everywhere = box(sizes)
    if mode != "constant":
        whole = Applied(("Pad", mode), (Row(tensor, ()), *(Number(p) for p in places)))
        return [Formula(tuple(sizes), tensor.dtype, (Piece(everywhere, whole),), None, tensor.outside, tensor.rounded)]
    pieces = pulled(tensor, places, rank, everywhere)
    inside = box(list(tensor.sizes))
    around = (everywhere - substituted(inside, places, rank)).coalesce()
    if not around.is_empty():
        pieces.append(Piece(around, filler(operands, rank)))
    return [Formula(tuple(sizes), tensor.dtype, merged(pieces), None, tensor.outside, tensor.rounded)]


def filler(operands: Operands, rank: int) -> Leaf:
    given = operands.get(2)
    if given is None:
        return numbered(operands.attribute("value", 0.0), rank)
    if len(given.pieces) == 1 and isinstance(given.pieces[0].leaf, Special):
        return given.pieces[0].leaf
    number = number_of(numbers_of(given))
    if number is None:
        raise NoFormulaError("its padding value depends on the length")
    return Number(constant(number, rank))


@formula_of("Trilu")
def triangle(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    rank = tensor.rank
    diagonal = listed(operands[1])[0] if operands.get(1) is not None else constant(0, 0)
    ahead, edge = index(rank - 1, rank) - index(rank - 2, rank), over(diagonal, rank)
    keep = ahead.ge_set(edge) if operands.attribute("upper", 1) else ahead.le_set(edge)
    pieces = []
    for piece in tensor.pieces:
        for where, leaf in ((piece.where & keep, piece.leaf), (piece.where - keep, Number(constant(0, rank)))):
            if not where.is_empty():
                pieces.append(Piece(where.coalesce(), leaf))
    return [Formula(tensor.sizes, tensor.dtype, merged(pieces), None, tensor.outside, tensor.rounded)]


@formula_of("EyeLike")
def eye(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    to = operands.attribute("dtype")
    dtype = tensor.dtype if to is None else np.dtype(onnx.helper.tensor_dtype_to_np_dtype(int(to)))
    everywhere = box(list(tensor.sizes))
    on = (index(1, 2) - index(0, 2)).eq_set(constant(int(operands.attribute("k", 0)), 2))
    ones = Number(indicator(on, everywhere, 2))
    return [Formula(tensor.sizes, dtype, (Piece(everywhere, ones),), None, tensor.outside, tensor.rounded)]
