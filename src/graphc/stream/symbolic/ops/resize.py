"""Resize: the formula gives exact sizes, and treats the entries as those of an unknown op."""

from __future__ import annotations

from fractions import Fraction

from graphc.stream.symbolic.domain.exactness import is_short
from graphc.stream.symbolic.domain.lists import listed, size_in
from graphc.stream.symbolic.domain.space import Expr, NoFormulaError, box, index, number_of, scaled, tidy
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Number, Piece, Row
from graphc.stream.symbolic.registry import Operands, formula_of


@formula_of("Resize", "Upsample")
def resize(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    scales, wanted = operands.get(2 if operands.node.op == "Resize" else 1), operands.get(3)
    axes = operands.fixed("axes", len(operands.inputs)) or list(range(tensor.rank))
    sizes = list(tensor.sizes)
    given = listed(wanted) if wanted is not None and size_in(wanted, 0) else None
    if operands.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise NoFormulaError("its keep_aspect_ratio_policy makes its sizes depend on each other")
    for place, axis in enumerate(axes):
        sizes[axis % tensor.rank] = given[place] if given is not None else by_scale(sizes[axis], scales, place)
    key = (operands.node.op, repr(sorted(operands.node.attrs.items())))
    places = [Number(index(a, tensor.rank)) for a in range(tensor.rank)]
    piece = Piece(box(sizes), Applied(key, (Row(tensor, ()), *places)))
    return [Formula(tuple(sizes), tensor.dtype, (piece,))]


def by_scale(size: Expr, scales: Formula | None, place: int) -> Expr:
    """floor(size * scale), for scales whose products floats hold exactly."""
    number = None if scales is None else number_of(listed(scales)[place])
    if number is None or not is_short(Fraction(number)):
        raise NoFormulaError("its scale depends on the length, or its product with a size is rounded")
    return tidy(scaled(size, number).floor())
