"""Rounds a matrix in blocks: each weight to the nearest value, or so that errors cancel on the calibration streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from graphc_passes._quantize.blocks.block_grid import Grid, best_grid
from numpy.typing import NDArray

Array = NDArray[Any]
DAMPING = 0.01
MOST_DAMPING = 100.0


@dataclass(frozen=True)
class Blocks:
    """A matrix [K, N] in blocks of rows.

    Args:
        q: [blocks, block, N] uint8. Rows after row K, which fill the last block, are the zero point.
        scale: [blocks, N] float32.
        zero: [blocks, N] uint8.
    """

    q: Array
    scale: Array
    zero: Array
    bits: int

    @property
    def values(self) -> Array:
        """The float matrix that the blocks encode, including the rows that fill the last block."""
        steps = self.q.astype(np.float32) - self.zero[:, None].astype(np.float32)
        return (steps * self.scale[:, None]).reshape(-1, self.q.shape[2])


def rounded(weight: Array, block: int, bits: int, symmetric: bool) -> Blocks:
    """Rounds each weight to the nearest value of its block's grid.

    Args:
        weight: [K, N] float32.
    """
    rows = in_blocks(weight, block)
    grid = best_grid(rows, bits, symmetric)
    return Blocks(grid.nearest(rows).astype(np.uint8), grid.scale[:, 0], grid.zero[:, 0].astype(np.uint8), bits)


def rounded_for(weight: Array, block: int, bits: int, symmetric: bool, factor: Array) -> Blocks:
    """Rounds one row after the other. Later rows compensate for the error of each row, as far as the inputs of the
    product are correlated (GPTQ: Frantar and others 2022, arXiv:2210.17323).

    Args:
        weight: [K, N] float32.
        factor: the result of ``factor_of`` for the product's inputs.
    """
    rows = in_blocks(weight, block)
    left = rows.reshape(-1, rows.shape[2]).copy()
    known = len(weight)
    q = np.empty_like(left, np.uint8)
    errors = np.empty_like(left)
    grids: list[Grid] = []

    def settle(first: int, end: int) -> None:
        """Rounds the blocks from ``first`` to ``end``. The second half compensates for the errors of the first half."""
        if end - first == 1:
            settle_block(slice(first * block, min(end * block, known)))
            return
        middle = (first + end) // 2
        start, between, stop = first * block, middle * block, min(end * block, known)
        settle(first, middle)
        left[between:stop] -= factor[start:between, between:stop].T @ errors[start:between]
        settle(middle, end)

    def settle_block(place: slice) -> None:
        grid = best_grid(left[place], bits, symmetric)
        grids.append(grid)
        for row in range(place.start, place.stop):
            steps = grid.nearest(left[row : row + 1])
            q[row] = steps[0]
            errors[row] = (left[row] - grid.value(steps)[0]) / factor[row, row]
            left[row + 1 : place.stop] -= factor[row, row + 1 : place.stop, None] * errors[row]

    settle(0, len(rows))
    scale = np.concatenate([g.scale for g in grids])
    zero = np.concatenate([g.zero for g in grids]).astype(np.uint8)
    q = q.reshape(rows.shape)
    behind = len(left) - known
    if behind:
        q[-1, block - behind :] = zero[-1]
    return Blocks(q, scale, zero, bits)


def factor_of(moments: Array) -> Array:
    """The upper Cholesky factor, [K, K], of the inverse of the second moments.

    The diagonal of the moments is increased until the factor exists. If there is none, the result is the identity. The
    factor is computed by reversing rows and columns, factoring, and inverting the triangle; no full matrix is inverted.

    Args:
        moments: [K, K] sums of products of the inputs.
    """
    from scipy.linalg.lapack import spotrf, strtri

    size = len(moments)
    mean = float(np.trace(moments)) / size
    damping = DAMPING
    while mean > 0 and damping <= MOST_DAMPING:
        held = moments[::-1, ::-1] + np.float32(damping * mean) * np.eye(size, dtype=np.float32)
        lower, failed = spotrf(held, lower=True, clean=True, overwrite_a=True)
        inverse, singular = strtri(lower, lower=True, overwrite_c=True)
        if not failed and not singular and np.isfinite(inverse).all():
            return np.ascontiguousarray(inverse[::-1, ::-1])
        damping *= 10
    return np.eye(size, dtype=np.float32)


def in_blocks(weight: Array, block: int) -> Array:
    """The matrix as [blocks, block, N], padded with zero rows."""
    behind = -len(weight) % block
    return np.pad(weight, ((0, behind), (0, 0))).reshape(-1, block, weight.shape[1])
