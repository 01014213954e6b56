"""Where numbers outgrow their type: integers wrap, and floats round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx

from graphc.stream.symbolic.domain.space import (
    NoFormulaError,
    Region,
    constant,
    denominator,
    less,
    nowhere,
    number_of,
    of_lengths,
)
from graphc.stream.symbolic.domain.tensor import Formula, Number

FLOAT_DIGITS = {
    onnx.TensorProto.FLOAT: 24,
    onnx.TensorProto.FLOAT16: 11,
    onnx.TensorProto.BFLOAT16: 8,
    onnx.TensorProto.FLOAT8E4M3FN: 4,
    onnx.TensorProto.FLOAT8E4M3FNUZ: 4,
    onnx.TensorProto.FLOAT8E5M2: 3,
    onnx.TensorProto.FLOAT8E5M2FNUZ: 3,
}


def bounds_of(dtype: np.dtype[Any]) -> tuple[int, int] | None:
    """The smallest and the largest integer that a type holds exactly; None for int64, float64 and bool."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return None if dtype.itemsize == 8 and dtype.kind == "i" else (int(info.min), int(info.max))
    digits = FLOAT_DIGITS.get(onnx.helper.np_dtype_to_tensor_dtype(dtype)) if dtype.kind != "b" else None
    return None if digits is None else (-(2**digits), 2**digits)


def with_overflow_noted(tensor: Formula) -> Formula:
    """The same formula, with the lengths noted at which its numbers are too large for its type.

    Of a table with two growing sizes only integers matter: where these wrap, far entries are no longer far. Floats that
    round are far from each other as before, if the positions that they were made of are exact.

    Errors:
        NoFormulaError: such a table of integers wraps.

    A quotient by an integer keeps its integer part as long as its dividend is exact.
    """
    bounds = bounds_of(tensor.dtype)
    if bounds is None:
        return tensor
    large: Region = nowhere(tensor.rank)
    for piece in tensor.pieces:
        if not isinstance(piece.leaf, Number) or piece.leaf.expr.is_cst():
            continue
        parts = denominator(piece.leaf.expr)
        low, high = (constant(b // parts, tensor.rank) for b in bounds)
        large = large | (piece.where & (less(piece.leaf.expr, low) | less(high, piece.leaf.expr)))
    if large.is_empty():
        return tensor
    if sum(number_of(size) is None for size in tensor.sizes) > 1:
        if tensor.dtype.kind in "iu":
            raise NoFormulaError("its integers wrap at some lengths")
        return tensor
    return replace(tensor, rounded=(tensor.rounded | of_lengths(large, tensor.rank)).coalesce())
