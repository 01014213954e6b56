"""Finds the range of a tensor that a quantizer maps to integers, from the tensor's values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Method = Literal["minmax", "percentile", "entropy", "mse"]

BINS = 2048
LEVELS = 256
SMALLEST_SHARE = 0.2
CANDIDATES = 81
STEPS = 256


@dataclass(frozen=True)
class Range:
    """The lowest and the highest value that the quantized integers represent. Values outside are clipped."""

    low: float
    high: float

    @property
    def with_zero(self) -> Range:
        return Range(min(self.low, 0.0), max(self.high, 0.0))


def outward(value: Array, up: bool) -> Array:
    """Rounds each value up (or down) to eight significant bits.

    CPUs add in different orders, so a tensor's values differ in their last bits from machine to machine. With rounding,
    the scales are the same, unless a bound is that close to a rounded number.
    """
    mantissa, exponent = np.frexp(np.asarray(value, np.float64))
    steps = np.ceil(mantissa * STEPS) if up else np.floor(mantissa * STEPS)
    return np.asarray(np.ldexp(steps / STEPS, exponent))


@dataclass
class Histogram:
    """How often a tensor had values in each of ``counts.size`` bins of equal width over a range."""

    range: Range
    counts: NDArray[np.int64]

    @classmethod
    def empty(cls, low: float, high: float) -> Histogram:
        return cls(Range(low, high), np.zeros(BINS, np.int64))

    def add(self, values: Array) -> None:
        if self.range.high > self.range.low:
            finite = values[np.isfinite(values)].astype(np.float64)
            places = (finite - self.range.low) * (BINS / (self.range.high - self.range.low))
            self.counts += np.bincount(np.clip(places, 0, BINS - 1).astype(np.int64), minlength=BINS)

    @property
    def centres(self) -> NDArray[np.float64]:
        edges = np.linspace(self.range.low, self.range.high, self.counts.size + 1)
        return np.asarray((edges[:-1] + edges[1:]) / 2)


def chosen_range(histogram: Histogram, method: Method, percentile: float) -> Range:
    """The range that a method chooses.

    ``percentile`` keeps that percentage of the values, and leaves out the same number at both ends. ``mse`` has the
    least squared error of clipping and of rounding to 256 levels. ``entropy`` has the least Kullback-Leibler divergence
    between the distribution in 256 levels and the one seen, as in TensorRT (Migacz, "8-bit inference with TensorRT",
    2017).
    """
    if method == "minmax" or not histogram.counts.sum() or histogram.range.high <= histogram.range.low:
        return histogram.range
    if method == "percentile":
        return by_percentile(histogram, percentile)
    shares = np.linspace(SMALLEST_SHARE, 1.0, CANDIDATES)
    candidates = [Range(histogram.range.low * s, histogram.range.high * s) for s in shares]
    loss = squared_error if method == "mse" else divergence
    losses = [loss(histogram, c.with_zero) for c in candidates]
    return candidates[int(np.argmin(losses))]


def by_percentile(histogram: Histogram, percentile: float) -> Range:
    shares = np.cumsum(histogram.counts) / histogram.counts.sum()
    outside = (100.0 - percentile) / 200.0
    first = int(np.searchsorted(shares, outside, side="right"))
    last = int(np.searchsorted(shares, 1.0 - outside, side="left"))
    centres = histogram.centres
    low = histogram.range.low if first == 0 else float(centres[first])
    high = histogram.range.high if last >= centres.size - 1 else float(centres[last])
    return Range(low, high)


def squared_error(histogram: Histogram, kept: Range) -> float:
    centres = histogram.centres
    clipped = np.clip(centres, kept.low, kept.high)
    inside = clipped == centres
    step = (kept.high - kept.low) / (LEVELS - 1)
    total = float(np.sum(histogram.counts * (centres - clipped) ** 2))
    return total + float(np.sum(histogram.counts[inside])) * step**2 / 12


def divergence(histogram: Histogram, kept: Range) -> float:
    centres = histogram.centres
    seen = np.where(histogram.counts > 0, histogram.counts, 0).astype(np.float64)
    inside = (centres >= kept.low) & (centres <= kept.high)
    if inside.sum() < LEVELS // 2:
        return float("inf")
    reference = seen[inside].copy()
    reference[0] += seen[centres < kept.low].sum()
    reference[-1] += seen[centres > kept.high].sum()
    step = max((kept.high - kept.low) / (LEVELS - 1), np.finfo(np.float64).tiny)
    level = np.round((centres[inside] - kept.low) / step).astype(np.int64)
    held = seen[inside]
    mass = np.bincount(level, held, minlength=LEVELS)
    places = np.bincount(level, held > 0, minlength=LEVELS)
    spread = np.where(held > 0, mass[level] / np.maximum(places[level], 1), 0.0)
    p, q = reference / reference.sum(), spread / max(spread.sum(), np.finfo(np.float64).tiny)
    both = (p > 0) & (q > 0)
    lost = float(p[(p > 0) & (q <= 0)].sum())
    return float(np.sum(p[both] * np.log(p[both] / q[both]))) + lost * LEVELS
