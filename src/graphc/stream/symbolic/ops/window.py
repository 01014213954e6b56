"""Convolutions over time-only tensors, such as masks: sums of shifted entries."""

from __future__ import annotations

import numpy as np

from graphc.stream.symbolic.domain.lists import fixed_shape, listed, size_in
from graphc.stream.symbolic.domain.moves import moved, pulled
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    box,
    constant,
    index,
    number_of,
    quotient,
    scaled,
    substituted,
    tidy,
)
from graphc.stream.symbolic.domain.stored import stored
from graphc.stream.symbolic.domain.tensor import Formula, Piece, merged, numbered
from graphc.stream.symbolic.ops.arithmetic import two
from graphc.stream.symbolic.registry import Operands, formula_of

MOST_TAPS = 16


@formula_of("Conv")
def conv(operands: Operands) -> list[Formula]:
    """Supports only one channel, and one spatial axis."""
    tensor, weight, bias = operands[0], operands[1], operands.get(2)
    shape = fixed_shape(weight)
    one_channel = tensor.rank == 3 and size_in(tensor, 1) == 1 and shape is not None and shape[:2] == (1, 1)
    if not one_channel or shape is None or shape[2] > MOST_TAPS:
        raise NoFormulaError("it has several channels or a wide kernel")
    if operands.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise NoFormulaError("its padding by auto_pad depends on the length")
    before, after = (int(p) for p in operands.attribute("pads", [0, 0]))
    stride, dilation = (int(operands.attribute(name, [1])[0]) for name in ("strides", "dilations"))
    whole = padded(tensor, before, after)
    extent = (shape[2] - 1) * dilation + 1
    count = tidy((quotient(whole.sizes[2] - constant(extent, 0), stride) + constant(1, 0)).max(constant(0, 0)))
    sizes: list[Expr] = [tensor.sizes[0], constant(1, 0), count]
    terms = []
    for tap in range(shape[2]):
        place = scaled(index(2, 3), stride) + constant(tap * dilation, 3)
        entries = moved(whole, [index(0, 3), index(1, 3), place], sizes)
        factor = moved(weight, [constant(0, 0), constant(0, 0), constant(tap, 0)], [])
        terms.append(two(operands, "Mul", entries, factor))
    total = terms[0]
    for term in terms[1:]:
        total = two(operands, "Add", total, term)
    return [total if bias is None else two(operands, "Add", total, stored_number(bias, total))]


def padded(tensor: Formula, before: int, after: int) -> Formula:
    if not before and not after:
        return tensor
    sizes = (*tensor.sizes[:2], tidy(tensor.sizes[2] + constant(before + after, 0)))
    places = [index(0, 3), index(1, 3), index(2, 3) - constant(before, 3)]
    everywhere = box(sizes)
    around = everywhere - substituted(box(tensor.sizes), places, 3)
    pieces = [*pulled(tensor, places, 3, everywhere), Piece(around.coalesce(), numbered(0, 3))]
    return Formula(sizes, tensor.dtype, merged([p for p in pieces if not p.where.is_empty()]))


def stored_number(bias: Formula, like: Formula) -> Formula:
    number = number_of(listed(bias)[0])
    if number is None:
        raise NoFormulaError("its bias depends on the stream's length")
    return stored(np.asarray(float(number), like.dtype))
