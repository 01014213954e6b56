"""A value of the ONNX graph in a LiteRT tensor, which may store its axes in another order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Order = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """A value. LiteRT's convolutions need the channels last; values between two of them stay in that order.

    Args:
        shape: the shape in ONNX.
        dtype: the type of its entries.
        tensor: the index of the LiteRT tensor; None for a constant, which has none of its own.
        order: the tensor's axis i is the ONNX axis ``order[i]``.
        constant: the entries, if they are known.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    tensor: int | None
    order: Order
    constant: Array | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        return in_order(self.shape, self.order)

    def stored_axis(self, axis: int) -> int:
        """The tensor's axis that holds an ONNX axis. A negative axis counts from the end."""
        return self.order.index(axis % self.rank)


def known(content: Array) -> Value:
    """A value with known entries."""
    return Value(content.shape, content.dtype, None, straight(content.ndim), content)


def straight(rank: int) -> Order:
    """ONNX's order of axes."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """The order of axes of LiteRT's convolutions."""
    return (0, *range(2, rank), 1)


def in_order(sizes: Sequence[int], order: Order) -> tuple[int, ...]:
    return tuple(sizes[axis] for axis in order)


def last(order: Order, axis: int) -> Order:
    """An order with one ONNX axis moved to the end."""
    return (*(a for a in order if a != axis), axis)


def lies_alike(shape: Sequence[int], one: Order, other: Order) -> bool:
    """Whether two orders of axes give the same layout in memory. Axes of size 1 may be anywhere."""
    return [a for a in one if shape[a] != 1] == [a for a in other if shape[a] != 1]


def renamed(order: Order, shape: Sequence[int], other: Sequence[int]) -> Order:
    """The order after a reshape that only adds or drops axes of size 1. Unless it is ONNX's, they come first."""
    places = dict(zip(*([a for a, size in enumerate(s) if size != 1] for s in (shape, other)), strict=True))
    ones = [a for a, size in enumerate(other) if size == 1]
    kept = [places[a] for a in order if a in places]
    return straight(len(other)) if kept == sorted(kept) else (*ones, *kept)
