"""The scale of an array, without the large numbers that only mark masked entries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SMALLEST_MASK = 13  # binary exponent: 4,096 and more
APART = 7  # binary exponents: a factor of 64 and more
FEWEST = 4


def scale_beside_masks(values: NDArray[Any]) -> float:
    """The largest finite magnitude, without magnitudes that are far above the rest. 0 if there is none.

    Masks put -1e4, -1e9 or the lowest float beside scores of a few units. A tolerance based on the largest magnitude
    would not see the scores at all.
    """
    sizes = np.abs(values if values.dtype.kind == "c" else values.astype(np.float64)).ravel()
    sizes = sizes[np.isfinite(sizes) & (sizes > 0)]
    largest = float(sizes.max(initial=0.0))
    if not largest >= 2.0 ** (SMALLEST_MASK - 1):
        return largest
    exponents = np.frexp(sizes)[1]
    lowest = int(exponents.min())
    counts = np.bincount(exponents - lowest)
    levels = np.flatnonzero(counts)
    gaps = (
        (np.diff(levels) >= APART) & (levels[1:] + lowest >= SMALLEST_MASK) & (np.cumsum(counts)[levels[:-1]] >= FEWEST)
    )
    if not gaps.any():
        return largest
    return float(sizes[exponents <= levels[np.argmax(gaps)] + lowest].max())
