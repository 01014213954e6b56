"""Whole numbers that follow a length: the rounded line that explains those seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np

from graphc.length import Length

LONGEST_STEP = 4096
LARGEST = 2**40


def rounded_line(lengths: Sequence[int], numbers: Sequence[int], steps: Sequence[int] = ()) -> Length | None:
    """The simplest ``factor * floor((mul * T + add) / div) + more`` through all numbers, or None.

    Where the lengths leave a choice of ``add``, the middle one.

    Args:
        steps: divisors that are likely, and so tried before all others.
    """
    first = numbers[0]
    factor = math.gcd(*(n - first for n in numbers))
    if factor == 0:
        return Length.fixed(first)
    if max(abs(n) for n in numbers) > LARGEST:
        return None
    frames = np.asarray(lengths, np.int64)
    taken = (np.asarray(numbers, np.int64) - first) // factor
    slope = float(np.polyfit(frames, taken, 1)[0])
    for div in chain((1,), steps, range(2, LONGEST_STEP + 1)):
        mul = round(slope * div)
        if mul == 0 or math.gcd(mul, div) > 1:
            continue
        least = int((div * taken - mul * frames).max())
        most = int((div * taken + div - 1 - mul * frames).min())
        if least <= most:
            return Length(((mul, (least + most) // 2, div), (factor, first, 1)))
    return None
