"""Ops that make tensors from sizes: ranges, constants, shapes."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import numpy as np

from graphc.ir.graph import Constant
from graphc.ir.import_export import constant_value
from graphc.stream.symbolic.domain.exactness import is_short
from graphc.stream.symbolic.domain.lists import listed, numbers_of, size_in
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    box,
    constant,
    index,
    indicator,
    number_of,
    over,
    scaled,
    substituted,
    tidy,
)
from graphc.stream.symbolic.domain.stored import stored
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Piece, merged, numbered
from graphc.stream.symbolic.ops.logic import choose
from graphc.stream.symbolic.overflow_and_rounding import with_overflow_noted
from graphc.stream.symbolic.registry import Operands, formula_of

INT64 = np.dtype(np.int64)


def shape_vector(sizes: tuple[Expr, ...]) -> Formula:
    """The formula of an int64 vector of sizes, as Shape gives it."""
    shape = (constant(len(sizes), 0),)
    everywhere = box(shape)
    pieces = [
        Piece(everywhere & index(0, 1).eq_set(constant(axis, 1)), Number(over(size, 1)))
        for axis, size in enumerate(sizes)
    ]
    return Formula(shape, INT64, merged(pieces) if pieces else ())


@formula_of("Shape")
def shape(operands: Operands) -> list[Formula]:
    sizes = operands[0].sizes
    end = operands.attribute("end")
    kept = sizes[int(operands.attribute("start", 0)) : None if end is None else int(end)]
    return [shape_vector(kept)]


@formula_of("Size")
def size(operands: Operands) -> list[Formula]:
    return [Formula((), INT64, (Piece(box([]), Number(product_of(operands[0].sizes))),))]


def product_of(sizes: tuple[Expr, ...]) -> Expr:
    """The number of entries of a tensor of these sizes.

    Errors:
        NoFormulaError: two sizes depend on the length.
    """
    numbers = [number_of(s) for s in sizes]
    fixed = prod(int(n) for n in numbers if n is not None)
    moving = [s for s, n in zip(sizes, numbers, strict=True) if n is None]
    if len(moving) > 1:
        raise NoFormulaError("it multiplies two sizes that both depend on the stream's length")
    return scaled(moving[0], fixed) if moving else constant(fixed, 0)


@formula_of("Constant")
def constants(operands: Operands) -> list[Formula]:
    held = constant_value(operands.node)
    value = held.load() if hasattr(held, "load") else held
    return [stored(np.asarray(value))]


@formula_of("ConstantOfShape")
def constant_of_shape(operands: Operands) -> list[Formula]:
    held = operands.attribute("value")
    values = held.values if isinstance(held, Constant) or hasattr(held, "values") else held
    value = np.zeros(1, np.float32) if values is None else np.asarray(values)
    sizes = tuple(listed(operands[0])) if size_in(operands[0], 0) else ()
    return [Formula(sizes, value.dtype, (Piece(box(sizes), numbered(value.ravel()[0], len(sizes))),))]


@formula_of("Range")
def ramp(operands: Operands) -> list[Formula]:
    start, limit, step = (listed(operands[k])[0] for k in range(3))
    by = number_of(step)
    if not by:
        raise NoFormulaError("the step of its Range depends on the length or is zero")
    count = tidy(scaled(limit - start, 1 / Fraction(by)).ceil().max(constant(0, 0)))
    dtype = operands[0].dtype
    leaf: Leaf = Number(over(start, 1) + scaled(index(0, 1), by))
    if dtype.kind == "f" and not is_short(by):
        leaf = Applied(("Range", str(dtype), str(by)), (Number(over(start, 1)), Number(index(0, 1))))
    found = Formula((count,), dtype, (Piece(box((count,)), leaf),))
    return [with_overflow_noted(found)]


@formula_of("OneHot")
def one_hot(operands: Operands) -> list[Formula]:
    places, values = operands[0], operands[2]
    depth = listed(operands[1])[0]
    along = int(operands.attribute("axis", -1)) % (places.rank + 1)
    sizes = [*places.sizes[:along], depth, *places.sizes[along:]]
    rank, everywhere = len(sizes), box(sizes)
    kept = [index(a, rank) for a in range(rank) if a != along]
    place = substituted(numbers_of(places), kept, rank)
    near = index(along, rank)
    on = place.eq_set(near) | (place + over(depth, rank)).eq_set(near)
    mask = Formula(tuple(sizes), np.dtype(bool), (Piece(everywhere, Number(indicator(on, everywhere, rank))),))
    off, hot = (entry(values, k) for k in (0, 1))
    return list(choose(Operands(operands.node, [mask, hot, off], operands.opset, operands.accepted)))


def entry(values: Formula, place: int) -> Formula:
    number = number_of(listed(values)[place])
    if number is None:
        raise NoFormulaError("one of its values depends on the length")
    return stored(np.asarray(float(number), values.dtype))
