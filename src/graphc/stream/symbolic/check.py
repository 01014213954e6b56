"""Evaluates a formula at one length, where the result must equal onnxruntime's.

Equality is no evidence about other lengths. It is a check on the formulas of ops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

import islpy as isl
import numpy as np

from graphc.stream.symbolic.domain.space import Expr, Region
from graphc.stream.symbolic.domain.tensor import Array, Formula, Leaf, Number, Read, Special, Stored

MOST_ENTRIES = 2**16
CLOSE = 1e-6
FAR = 2**55


def agrees(formula: Formula, value: Array, frames: int) -> bool:
    """Whether a tensor equals its formula at one length; entries for which the formula has no number are left out."""
    if value.size > MOST_ENTRIES or value.dtype.kind not in "iufb" or formula.folded is not None:
        return True
    shape = tuple(int(at(size, frames, ())) for size in formula.sizes)
    if shape != value.shape:
        return False
    places = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    covered = np.zeros(shape, bool)
    for piece in formula.pieces:
        here = np.broadcast_to(members(piece.where, frames, places), shape)
        covered |= here
        numbers = numbers_of(piece.leaf, frames, places)
        if numbers is not None and not same(np.broadcast_to(numbers, shape)[here], value[here]):
            return False
    return bool(covered.all())


def values_at(formula: Formula, frames: int) -> Array | None:
    """The value of a tensor at one length; None if the formula has no number for some entry."""
    if formula.folded is not None:
        return None
    shape = tuple(int(at(size, frames, ())) for size in formula.sizes)
    if math.prod(shape) > MOST_ENTRIES:
        return None
    places = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    found = np.full(shape, np.nan)
    covered = np.zeros(shape, bool)
    for piece in formula.pieces:
        numbers = numbers_of(piece.leaf, frames, places)
        if numbers is None:
            return None
        here = np.broadcast_to(members(piece.where, frames, places), shape)
        covered |= here
        found = np.where(here, numbers, found)
    return found.astype(formula.dtype) if covered.all() else None


def same(one: Array, other: Array) -> bool:
    a, b = one.astype(np.float64), other.astype(np.float64)
    with np.errstate(invalid="ignore"):
        near = np.abs(a - b) <= CLOSE * np.maximum(np.abs(a), 1)
    return bool((near | (a == b) | np.isnan(a) & np.isnan(b)).all())


def numbers_of(leaf: Leaf, frames: int, places: Sequence[Array]) -> Array | None:
    """The numbers that a leaf gives at ``places``; None if the leaf has no numbers."""
    if isinstance(leaf, Number):
        return at(leaf.expr, frames, places)
    if isinstance(leaf, Special):
        return np.asarray(leaf.value)
    if isinstance(leaf, Read) and isinstance(leaf.source, Stored):
        table = leaf.source.values
        found = [np.nan_to_num(at(p, frames, places)).astype(np.int64) for p in leaf.places]
        return np.asarray(table[tuple(np.clip(p, 0, n - 1) for p, n in zip(found, table.shape, strict=True))])
    return None


def at(expr: Expr, frames: int, places: Sequence[Array]) -> Array:
    """The values of an expression at a length and places; NaN where no case of the expression applies."""
    found: Array = np.asarray(np.nan)
    for where, aff in expr.get_pieces():
        value = affine(aff, frames, places)
        found = np.where(members(where, frames, places), value, found)
    return found


def affine(aff: isl.Aff, frames: int, places: Sequence[Array]) -> Array:
    total: Array = np.asarray(float(Fraction(str(aff.get_constant_val()))))
    for k, place in enumerate((frames, *places)):
        factor = Fraction(str(aff.get_coefficient_val(isl.dim_type.in_, k)))
        if factor:
            total = total + float(factor) * np.asarray(place)
    for k in range(aff.dim(isl.dim_type.div)):
        factor = Fraction(str(aff.get_coefficient_val(isl.dim_type.div, k)))
        if factor:
            total = total + float(factor) * rounded_down(aff.get_div(k), frames, places)
    return total


def rounded_down(aff: isl.Aff, frames: int, places: Sequence[Array]) -> Array:
    """floor, exactly: integer division of the numerator by the denominator."""
    divisor = int(aff.get_denominator_val().to_python())
    whole = aff.scale_val(isl.Val.int_from_si(aff.get_ctx(), divisor))
    return np.floor_divide(np.rint(affine(whole, frames, places)), divisor)


def members(region: Region, frames: int, places: Sequence[Array]) -> Array:
    """A mask of the ``places`` that are in a set at a length."""
    found: Array = np.asarray(False)
    for part in region.compute_divs().get_basic_sets():
        inside: Array = np.asarray(True)
        for constraint in part.get_constraints():
            excess = affine(constraint.get_aff(), frames, places)
            inside = inside & ((excess == 0) if constraint.is_equality() else (excess >= 0))
        found = found | inside
    return found
