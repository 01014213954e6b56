"""Reads numbers, lists and sizes from formulas."""

from __future__ import annotations

from graphc.stream.symbolic.domain.space import Expr, NoFormulaError, constant, number_of, substituted, tidy
from graphc.stream.symbolic.domain.tensor import Formula, Number


def size_in(tensor: Formula, axis: int) -> int | None:
    """The size of an axis, if it is the same at every length."""
    number = number_of(tensor.sizes[axis])
    return int(number) if number is not None else None


def fixed_shape(tensor: Formula) -> tuple[int, ...] | None:
    sizes = [size_in(tensor, axis) for axis in range(tensor.rank)]
    return None if any(s is None for s in sizes) else tuple(s for s in sizes if s is not None)


def numbers_of(tensor: Formula) -> Expr:
    """The entries of a tensor of integers, as one expression of T and the indices.

    Errors:
        NoFormulaError: some of its entries are not integers.
    """
    total: Expr | None = None
    for piece in tensor.pieces:
        if not isinstance(piece.leaf, Number):
            raise NoFormulaError("no formula is known for some of the numbers that it reads")
        part = piece.leaf.expr.intersect_domain(piece.where)
        total = part if total is None else total.union_add(part)
    if total is None:
        raise NoFormulaError("it reads an empty tensor")
    return total


def listed(tensor: Formula) -> list[Expr]:
    """The entries of a short list, or of one number, each as an expression of T.

    Errors:
        NoFormulaError: the list's size depends on the length, or an entry is not an integer.
    """
    if tensor.rank and size_in(tensor, 0) == 0:
        return []
    expr = numbers_of(tensor)
    if tensor.rank == 0:
        return [expr]
    size = size_in(tensor, 0)
    if size is None or tensor.rank > 1:
        raise NoFormulaError("one of its arguments is not a list of a fixed size")
    return [tidy(substituted(expr, [constant(k, 0)], 0)) for k in range(size)]


def fixed_list(tensor: Formula) -> list[int]:
    """A list of numbers that are the same at every length.

    Errors:
        NoFormulaError: a number depends on the length.
    """
    numbers = [number_of(expr) for expr in listed(tensor)]
    if any(n is None for n in numbers):
        raise NoFormulaError("one of its arguments depends on the length")
    return [int(n) for n in numbers if n is not None]
