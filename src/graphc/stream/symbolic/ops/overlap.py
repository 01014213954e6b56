"""Transposed convolutions over equal frames, such as the sum of overlapping windows that normalises an inverse STFT."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.stream.symbolic.check import numbers_of
from graphc.stream.symbolic.domain.lists import size_in
from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    frames,
    index,
    over,
    remainder,
    scaled,
    substituted,
    tidy,
    unequal,
)
from graphc.stream.symbolic.domain.tensor import Applied, Array, Formula, Leaf, Number, Piece, Read, Stored
from graphc.stream.symbolic.registry import Operands, formula_of

DIGITS = 20
SOME_LENGTH = 10**6


@formula_of("ConvTranspose")
def overlap_add(operands: Operands) -> list[Formula]:
    """After the first frames and before the last ones, the sum repeats with the stride."""
    tensor, weight = operands[0], fixed_values(operands[1], range(operands[1].rank))
    if tensor.rank != 3 or operands.attribute("group", 1) != 1:
        raise NoFormulaError("it has several spatial axes or groups")
    if operands.attribute("auto_pad", "NOTSET") != "NOTSET" or operands.attribute("output_shape") is not None:
        raise NoFormulaError("it sets auto_pad or output_shape")
    stride, dilation = (int(operands.attribute(name, [1])[0]) for name in ("strides", "dilations"))
    extra = int(operands.attribute("output_padding", [0])[0])
    before, after = (int(p) for p in operands.attribute("pads", [0, 0]))
    spread = np.zeros((*weight.shape[1:2], (weight.shape[2] - 1) * dilation + 1))
    spread[:, ::dilation] = np.einsum("c,cmk->mk", fixed_values(tensor, (1,)), weight)
    bias = operands.get(2)
    added = np.zeros(len(spread)) if bias is None else fixed_values(bias, (0,))
    count, extent = tensor.sizes[2], spread.shape[1]
    size = tidy(scaled(count, stride) + constant(extent - stride + extra - before - after, 0))
    sizes = (tensor.sizes[0], constant(len(spread), 0), size)
    tables = [snapped(part + added[:, None], spread) for part in sums_of(spread, stride)]
    pieces = placed(sizes, over(scaled(count, stride), 3), before, extent - stride, tables)
    return [Formula(sizes, tensor.dtype, pieces, None, tensor.outside, tensor.rounded)]


def sums_of(spread: Array, stride: int) -> tuple[Array, Array, Array]:
    """The sums of overlapping copies of ``spread`` [channels, extent]: at the start, in the middle, and at the end."""
    channels, extent = spread.shape
    head, midst, tail = (
        np.zeros((channels, max(extent - stride, 1))),
        np.zeros((channels, stride)),
        np.zeros((channels, extent)),
    )
    for tap in range(extent):
        head[:, tap::stride] += spread[:, tap, None]
        midst[:, tap % stride] += spread[:, tap]
        if tap >= stride:
            tail[:, tap % stride : tap - stride + 1 : stride] += spread[:, tap, None]
    return head, midst, tail


def snapped(values: Array, like: Array) -> Array:
    """The values rounded to few digits, so that values which differ only by rounding become equal.

    Args:
        like: values of the magnitude to which the rounding is relative.
    """
    unit = float(np.abs(like).max(initial=0.0)) * 2.0**-DIGITS or 1.0
    return np.asarray(np.round(values / unit) * unit)


def placed(sizes: Sequence[Expr], end: Expr, before: int, edge: int, tables: Sequence[Array]) -> tuple[Piece, ...]:
    """The pieces of the output: each table of sums in the region where it applies.

    Args:
        end: the position in the uncropped output at which one more copy would begin.
        before: the number of entries cropped at the start.
        edge: the number of entries at the start that fewer copies add to.
    """
    head, midst, tail = (Stored(table) for table in tables)
    everywhere = box(sizes)
    channel, place = index(1, 3), index(2, 3) + constant(before, 3)
    begun, ended = place.ge_set(constant(edge, 3)), place.ge_set(end)
    parts: list[tuple[Region, Leaf]] = [
        (everywhere - begun - ended, Read(head, (channel, place))),
        ((everywhere & begun) - ended, Read(midst, (channel, remainder(place, period_of(tables[1]))))),
        (everywhere & begun & ended, Read(tail, (channel, place - end))),
        ((everywhere & ended) - begun, Applied(("overlap",), (Number(place), Number(end)))),
    ]
    return tuple(Piece(where.coalesce(), leaf) for where, leaf in parts if not where.is_empty())


def period_of(table: Array) -> int:
    """The smallest number of columns after which a table repeats."""
    width = table.shape[1]
    return next(p for p in range(1, width + 1) if width % p == 0 and (table == np.tile(table[:, :p], width // p)).all())


def fixed_values(tensor: Formula, axes: Sequence[int]) -> Array:
    """The entries along ``axes``, of a tensor that is the same along all other axes and at every length.

    Errors:
        NoFormulaError: the tensor is not known to be the same along other axes and at every length.
    """
    sizes = [size_in(tensor, axis) if axis in axes else 1 for axis in range(tensor.rank)]
    shape = [size for size in sizes if size is not None]
    if len(shape) < tensor.rank or len(tensor.pieces) != 1 or not is_fixed(tensor.pieces[0].leaf, tensor.rank, axes):
        raise NoFormulaError("its frames are not all equal, or its weights are not constant")
    places = np.meshgrid(*[np.arange(size) for size in shape], indexing="ij")
    numbers = numbers_of(tensor.pieces[0].leaf, SOME_LENGTH, places)
    if numbers is None or not np.isfinite(numbers).all():
        raise NoFormulaError("its frames or weights are not known finite numbers")
    return np.broadcast_to(numbers, shape).reshape([shape[axis] for axis in axes])


def is_fixed(leaf: Leaf, rank: int, axes: Sequence[int]) -> bool:
    """Whether a leaf is the same along all axes that are not in ``axes``, and at the next length."""
    if not isinstance(leaf, Number | Read):
        return False
    beside = [a for a in range(rank) if a not in axes]
    for expr in (leaf.expr,) if isinstance(leaf, Number) else leaf.places:
        for axis in (None, *beside):
            places = [index(a, rank) + constant(int(a == axis), rank) for a in range(rank)]
            length = frames(0) + constant(1, 0) if axis is None else None
            there = None if length is None else over(length, rank)
            if not unequal(expr, substituted(expr, places, rank, there)).is_empty():
                return False
    return True
