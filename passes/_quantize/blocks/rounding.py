"""A matrix in blocks: rounded to the nearest, or so that errors cancel on the calibration streams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from graphc_passes._quantize.blocks.grid import Grid, best_grid
from numpy.typing import NDArray

Array = NDArray[Any]
DAMPING = 0.01
MOST_DAMPING = 100.0
TOGETHER = 128


@dataclass(frozen=True)
class Blocks:
    """A matrix [K, N] in blocks of rows.

    Args:
        q: [blocks, block, N] uint8; rows behind K are zero points.
        scale: [blocks, N] float32.
        zero: [blocks, N] uint8.
    """

    q: Array
    scale: Array
    zero: Array
    bits: int

    @property
    def values(self) -> Array:
        """The matrix that the blocks stand for, with all rows."""
        steps = self.q.astype(np.float32) - self.zero[:, None].astype(np.float32)
        return (steps * self.scale[:, None]).reshape(-1, self.q.shape[2])


def rounded(weight: Array, block: int, bits: int, symmetric: bool) -> Blocks:
    """Each weight as the nearest value of its block's grid.

    Args:
        weight: [K, N] float32.
    """
    rows = in_blocks(weight, block)
    grid = best_grid(rows, bits, symmetric)
    return Blocks(grid.nearest(rows).astype(np.uint8), grid.scale[:, 0], grid.zero[:, 0].astype(np.uint8), bits)


def rounded_for(weight: Array, block: int, bits: int, symmetric: bool, factor: Array) -> Blocks:
    """Rounds row after row, and takes each row's errors back in the rows behind it, as far as the inputs of the product
    go together (GPTQ: Frantar and others 2022, arXiv:2210.17323).

    Args:
        weight: [K, N] float32.
        factor: of the product's inputs, see ``factor_of``.
    """
    rows = in_blocks(weight, block)
    left = rows.reshape(-1, rows.shape[2]).copy()
    known = len(weight)
    chosen: list[Grid] = []
    q = np.empty_like(left, np.uint8)
    for start in range(0, known, TOGETHER):
        end = min(start + TOGETHER, known)
        errors = np.zeros((end - start, left.shape[1]), np.float32)
        for row in range(start, end):
            if row % block == 0:
                chosen.append(best_grid(left[row : row + block], bits, symmetric))
            grid = chosen[-1]
            steps = grid.nearest(left[row : row + 1])
            q[row] = steps[0]
            error = (left[row] - grid.value(steps)[0]) / factor[row, row]
            left[row + 1 : end] -= factor[row, row + 1 : end, None] * error
            errors[row - start] = error
        left[end:known] -= factor[start:end, end:].T @ errors
    scale = np.concatenate([g.scale for g in chosen])
    zero = np.concatenate([g.zero for g in chosen]).astype(np.uint8)
    q = q.reshape(rows.shape)
    behind = len(left) - known
    if behind:
        q[-1, block - behind :] = zero[-1]
    return Blocks(q, scale, zero, bits)


def factor_of(moments: Array) -> Array:
    """The upper Cholesky factor of the inverse of the second moments, damped until there is one.

    Args:
        moments: [K, K] sums of products of the inputs.
    """
    size = len(moments)
    mean = float(np.trace(moments)) / size
    damping = DAMPING
    while mean > 0 and damping <= MOST_DAMPING:
        try:
            held = moments + np.float32(damping * mean) * np.eye(size, dtype=np.float32)
            found: Array = np.linalg.cholesky(np.linalg.inv(held)).T
            if np.isfinite(found).all():
                return np.ascontiguousarray(found)
        except np.linalg.LinAlgError:
            pass
        damping *= 10
    return np.eye(size, dtype=np.float32)


def in_blocks(weight: Array, block: int) -> Array:
    """[blocks, block, N], filled up with zeros."""
    behind = -len(weight) % block
    return np.pad(weight, ((0, behind), (0, 0))).reshape(-1, block, weight.shape[1])
