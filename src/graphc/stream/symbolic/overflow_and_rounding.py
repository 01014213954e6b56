"""The lengths at which numbers are too large for their dtype: integers wrap, and floats round."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import islpy as isl
import numpy as np
import onnx

from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    constant,
    denominator,
    index,
    less,
    nowhere,
    number_of,
    of_lengths,
)
from graphc.stream.symbolic.domain.tensor import Formula, Number

NEAR = 2**10
LARGE = isl.Val.int_from_si(isl.DEFAULT_CONTEXT, 2**28)
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
    """The smallest and the largest integer that a type holds exactly; None for float64 and bool."""
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return (int(info.min), int(info.max))
    digits = FLOAT_DIGITS.get(onnx.helper.np_dtype_to_tensor_dtype(dtype)) if dtype.kind != "b" else None
    return None if digits is None else (-(2**digits), 2**digits)


def with_overflow_noted(tensor: Formula) -> Formula:
    """The same formula, with the lengths noted at which its numbers are too large for its dtype.

    In a table of floats with two growing sizes, only entries near the diagonal matter: a large distance stays large
    when it is rounded. A large integer that wraps does not stay large. A quotient by an integer has the right integer
    part as long as the dividend is exact.

    Errors:
        NoFormulaError: integers wrap in a table with two growing sizes.
    """
    bounds = bounds_of(tensor.dtype)
    if bounds is None:
        return tensor
    large: Region = nowhere(tensor.rank)
    for piece in tensor.pieces:
        if not isinstance(piece.leaf, Number) or piece.leaf.expr.is_cst():
            continue
        if tensor.dtype == np.int64 and is_small(piece.leaf.expr):
            continue
        parts = denominator(piece.leaf.expr)
        low, high = (constant(b // parts, tensor.rank) for b in bounds)
        large = large | (piece.where & (less(piece.leaf.expr, low) | less(high, piece.leaf.expr)))
    if large.is_empty():
        return tensor
    growing = [axis for axis, size in enumerate(tensor.sizes) if number_of(size) is None]
    if len(growing) > 1:
        if tensor.dtype.kind in "iu":
            raise NoFormulaError("its integers overflow at some lengths")
        one, other = (index(axis, tensor.rank) for axis in growing[-2:])
        near = constant(NEAR, tensor.rank)
        large = large & (one - other).le_set(near) & (other - one).le_set(near)
    return replace(tensor, rounded=(tensor.rounded | of_lengths(large, tensor.rank)).coalesce())


def is_small(expr: Expr) -> bool:
    """Whether all factors and terms of a number are so small that the number fits int64 at every length."""
    kinds = (isl.dim_type.in_, isl.dim_type.param, isl.dim_type.div)
    for _, aff in expr.get_pieces():
        values = [aff.get_constant_val()]
        values += [aff.get_coefficient_val(kind, k) for kind in kinds for k in range(aff.dim(kind))]
        if any(value.abs().gt(LARGE) for value in values):
            return False
    return True
