"""Searches for the scale and the zero point of a block of weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
SHRUNK = {4: (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7), 8: (1.0,)}


@dataclass(frozen=True)
class Grid:
    """The evenly spaced values that weights are rounded to: ``scale * (q - zero)`` for q from 0 to 2**bits - 1.

    Args:
        scale, zero: float32, of the same shape; zero is a whole number.
    """

    scale: Array
    zero: Array
    bits: int

    def nearest(self, weights: Array) -> Array:
        """For each weight, the q of the nearest value of the grid. The q are whole numbers as float32."""
        found: Array = np.clip(np.rint(weights / self.scale) + self.zero, 0, 2**self.bits - 1)
        return found

    def value(self, q: Array) -> Array:
        found: Array = (q - self.zero) * self.scale
        return found


def best_grid(weights: Array, bits: int, symmetric: bool, importance: Array | float = 1.0) -> Grid:
    """The grid with the least squared error, among grids over the whole range of the weights or a part of it.

    A smaller range cuts outliers off, but has finer steps for all other weights. Each candidate's scale is then fitted
    to its integers by least squares.

    Args:
        weights: [..., block, columns] float32. Each column of a block gets its own grid.
        symmetric: whether the zero point is the middle of the integers, so that no zero point needs to be stored.
        importance: a factor for each squared error, broadcast to the weights.

    Returns:
        A grid of shape [..., 1, columns].
    """
    best: Grid | None = None
    least = np.zeros(0, np.float32)
    for fraction in SHRUNK[bits]:
        grid = fitted(candidate(weights, bits, symmetric, fraction), weights, importance)
        error = np.sum(importance * (weights - grid.value(grid.nearest(weights))) ** 2, axis=-2, keepdims=True)
        if best is None:
            best, least = grid, error
            continue
        better = error < least
        best = Grid(np.where(better, grid.scale, best.scale), np.where(better, grid.zero, best.zero), bits)
        least = np.minimum(error, least)
    assert best is not None
    return best


def candidate(weights: Array, bits: int, symmetric: bool, fraction: float) -> Grid:
    """The grid over a part of the weights' range: each end times ``fraction``."""
    high = np.maximum(weights.max(-2, keepdims=True), 0) * np.float32(fraction)
    low = np.minimum(weights.min(-2, keepdims=True), 0) * np.float32(fraction)
    if symmetric:
        middle = np.float32(2 ** (bits - 1))
        scale = np.where(high > -low, high, low) / -middle
        return Grid(np.where(scale == 0, 1, scale).astype(np.float32), np.full_like(scale, middle), bits)
    scale = (high - low) / np.float32(2**bits - 1)
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return Grid(scale, np.clip(np.rint(-low / scale), 0, 2**bits - 1).astype(np.float32), bits)


def fitted(grid: Grid, weights: Array, importance: Array | float) -> Grid:
    """The grid with the same zero points, and the scale that fits the integers best (least squares)."""
    steps = grid.nearest(weights) - grid.zero
    over = np.sum(importance * steps * steps, axis=-2, keepdims=True)
    scale = np.sum(importance * weights * steps, axis=-2, keepdims=True) / np.where(over == 0, 1, over)
    return Grid(np.where(scale == 0, grid.scale, scale).astype(np.float32), grid.zero, grid.bits)
