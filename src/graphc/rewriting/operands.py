"""Checks of constant operands that rewrites share."""

from __future__ import annotations

import numpy as np

from graphc.ir.graph import Constant, Tensor, constant_of, is_sparse
from graphc.rewriting.scene import Array


def value_of(tensor: Tensor | None) -> Array | None:
    """The value of a dense numeric constant, else None. Constants of types that numpy lacks are never loaded."""
    return constant_of(tensor) if isinstance(tensor, Constant) and is_plain(tensor, "fiub") else None


def is_plain(tensor: Constant, kinds: str) -> bool:
    """Whether a constant is dense and has a numpy dtype of one of these kinds."""
    return isinstance(tensor.dtype, np.dtype | type) and np.dtype(tensor.dtype).kind in kinds and not is_sparse(tensor)


def weight_of(tensor: Tensor | None) -> Array | None:
    """The value of a dense float constant, which rewrites may merge into other weights; else None."""
    return constant_of(tensor) if isinstance(tensor, Constant) and is_float(tensor) else None


def is_float(tensor: Tensor) -> bool:
    return isinstance(tensor, Constant) and is_plain(tensor, "f")


def scalar_of(tensor: Tensor | None) -> float | None:
    """The value of a float constant with one element, else None."""
    value = weight_of(tensor) if isinstance(tensor, Constant) else None
    return float(value.ravel()[0]) if value is not None and value.size == 1 else None


def is_last(axis: int, rank: int | None) -> bool:
    return axis == -1 or (rank is not None and axis == rank - 1)
