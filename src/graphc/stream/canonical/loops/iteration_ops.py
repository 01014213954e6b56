"""Computes ops on small integer tensors in which each entry is an affine function of the iteration of a Loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from graphc.ir.graph import Node
from graphc.stream.canonical.loops.iteration_affine import Line

MOST_ENTRIES = 2**20
WRAPS = 2**31
INTEGERS = (TensorProto.INT32, TensorProto.INT64)

Entries = NDArray[Any]


def line(number: int) -> Line:
    return Line(Fraction(0), Fraction(0), Fraction(number))


def entries(held: Line) -> Entries:
    return filled((), [held])


def filled(shape: tuple[int, ...], lines: Sequence[Line]) -> Entries:
    made = np.empty(len(lines), object)
    made[:] = lines
    return made.reshape(shape)


def plain(value: NDArray[Any]) -> Entries | None:
    """Constant integers or booleans as ``Entries``; None for other types and for very large tensors."""
    if value.dtype.kind not in "iub" or value.size > MOST_ENTRIES:
        return None
    return filled(value.shape, [line(int(v)) for v in value.ravel()])


def added(_: Node, one: Entries, other: Entries) -> Entries:
    return each(lambda a, b: a.plus(b), one, other)


def subtracted(_: Node, one: Entries, other: Entries) -> Entries:
    return each(lambda a, b: a.minus(b), one, other)


def multiplied(_: Node, one: Entries, other: Entries) -> Entries:
    def product(a: Line, b: Line) -> Line:
        if not (a.is_plain or b.is_plain):
            raise ValueError("a product of two lines is no line")
        return b.scaled(a.rest) if a.is_plain else a.scaled(b.rest)

    return each(product, one, other)


def compared(_: Node, one: Entries, other: Entries) -> Entries:
    def same(a: Line, b: Line) -> Line:
        gap = a.minus(b)
        if not gap.is_plain:
            raise ValueError("whether they are equal depends on the iteration")
        return line(int(not gap.rest))

    return each(same, one, other)


def chosen(_: Node, condition: Entries, one: Entries, other: Entries) -> Entries:
    return each(lambda c, a, b: a if c.rest else b, condition, one, other)


def each(function: Callable[..., Line], *operands: Entries) -> Entries:
    """Applies a function to the operands entry by entry, with broadcasting."""
    spread = np.broadcast_arrays(*operands)
    found = [function(*lines) for lines in zip(*(v.ravel() for v in spread), strict=True)]
    if any(abs(held.rest) >= WRAPS or abs(held.turn) > 1 or abs(held.count) > 1 for held in found):
        raise ValueError("numbers this large may wrap around")
    return filled(spread[0].shape, found)


def integers(held: Entries) -> list[int]:
    if not all(v.is_plain for v in held.ravel()):
        raise ValueError("sizes and axes must be constant")
    return [int(v.rest) for v in held.ravel()]


def reshaped(node: Node, held: Entries, shape: Entries) -> Entries:
    kept = not node.attrs.get("allowzero", 0)
    sizes = [held.shape[i] if size == 0 and kept else size for i, size in enumerate(integers(shape))]
    return held.reshape(sizes)


def expanded(_: Node, held: Entries, shape: Entries) -> Entries:
    return np.broadcast_to(held, np.broadcast_shapes(held.shape, tuple(integers(shape))))


def unsqueezed(node: Node, held: Entries, *axes: Entries) -> Entries:
    return np.expand_dims(held, tuple(integers(axes[0]) if axes else node.attrs["axes"]))


def squeezed(node: Node, held: Entries, *axes: Entries) -> Entries:
    given = integers(axes[0]) if axes else node.attrs.get("axes")
    return np.squeeze(held, None if given is None else tuple(given))


def picked(node: Node, held: Entries, places: Entries) -> Entries:
    rows = np.array(integers(places), np.int64).reshape(places.shape)
    return np.asarray(np.take(held, rows, axis=int(node.attrs.get("axis", 0))))


def cast(node: Node, held: Entries) -> Entries | None:
    return held if node.attrs["to"] in INTEGERS else None


def full(node: Node, shape: Entries) -> Entries | None:
    return plain(np.full(integers(shape), node.attrs["value"].values)) if "value" in node.attrs else None


OPS: dict[str, Callable[..., Entries | None]] = {
    "Identity": lambda _, held: held,
    "Cast": cast,
    "Add": added,
    "Sub": subtracted,
    "Mul": multiplied,
    "Equal": compared,
    "Where": chosen,
    "Reshape": reshaped,
    "Expand": expanded,
    "Unsqueeze": unsqueezed,
    "Squeeze": squeezed,
    "Gather": picked,
    "Transpose": lambda node, held: np.transpose(held, node.attrs.get("perm")),
    "Concat": lambda node, *held: np.concatenate(held, axis=int(node.attrs["axis"])),
    "ConstantOfShape": full,
}
