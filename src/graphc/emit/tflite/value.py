"""A value of the ONNX graph as it lies in a LiteRT tensor: its axes may be stored in another order."""

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
    """A value. Convolutions of LiteRT want the channels last; what stands between two of them stays in that order.

    Args:
        shape: as in ONNX.
        dtype: of its entries.
        tensor: of LiteRT; None for a constant that nothing stores yet.
        order: the tensor's axis i is the ONNX axis ``order[i]``.
        constant: its entries, where they are known.
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
        """Where the tensor has an axis of ONNX; a negative one counts from the end."""
        return self.order.index(axis % self.rank)


def known(content: Array) -> Value:
    """A constant."""
    return Value(content.shape, content.dtype, None, straight(content.ndim), content)


def straight(rank: int) -> Order:
    """The axes as ONNX has them."""
    return tuple(range(rank))


def channels_last(rank: int) -> Order:
    """The axes as a convolution of LiteRT has them."""
    return (0, *range(2, rank), 1)


def in_order(sizes: Sequence[int], order: Order) -> tuple[int, ...]:
    return tuple(sizes[axis] for axis in order)


def last(order: Order, axis: int) -> Order:
    """An order with one ONNX axis behind all others."""
    return (*(a for a in order if a != axis), axis)


def lies_alike(shape: Sequence[int], one: Order, other: Order) -> bool:
    """Whether two orders have the same entries in the same places: axes of one entry may stand anywhere."""
    return [a for a in one if shape[a] != 1] == [a for a in other if shape[a] != 1]


def renamed(order: Order, shape: Sequence[int], other: Sequence[int]) -> Order:
    """The order of a value in a shape that has axes of one entry more or fewer; those come first."""
    places = dict(zip(*([a for a, size in enumerate(s) if size != 1] for s in (shape, other)), strict=True))
    ones = [a for a, size in enumerate(other) if size == 1]
    kept = [places[a] for a in order if a in places]
    return straight(len(other)) if kept == sorted(kept) else (*ones, *kept)
