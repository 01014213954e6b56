"""Decides by a statistical test whether an error over time is bounded, growing or diverging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

Verdict = Literal["bounded", "growing", "diverging"]

WARM_UP_SHARE = 0.1
BLOCKS = 40
SIGNIFICANCE = 0.01
SMALLEST_RISE_DB = 1.0
FLOOR_DB = -200.0


@dataclass(frozen=True)
class Trend:
    """How an error level changes over a stream.

    Args:
        rise_db: the slope of Theil and Sen times the length of the stream.
        p: the p-value of Mann and Kendall's test that there is no trend.
    """

    verdict: Verdict
    rise_db: float
    p: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def decibels(power: float) -> float:
    return max(10 * float(np.log10(power)), FLOOR_DB) if power > 0 else FLOOR_DB


def trend_of(errors: Sequence[float], signal: float) -> Trend:
    """The trend of error powers, one for each window of a stream. ``signal`` is the mean power of the signal.

    The first tenth is warm-up and is left out. The rest is averaged in at most 40 blocks, so that their levels in
    decibels are nearly independent. The error grows if Mann and Kendall's test (Mann, 1945; Kendall's tau against time)
    finds a rise at p < 0.01 and the slope of Theil and Sen (Sen, 1968) makes it more than 1 dB over the stream. It
    diverges if it is not finite, or grows and ends above the signal.
    """
    from scipy.stats import kendalltau, theilslopes

    powers = np.asarray(errors, np.float64)[int(len(errors) * WARM_UP_SHARE) :]
    if not np.isfinite(powers).all():
        return Trend("diverging", float("inf"), 0.0)
    blocks = [float(b.mean()) for b in np.array_split(powers, min(BLOCKS, len(powers))) if b.size]
    levels = [decibels(b) for b in blocks]
    if len(levels) < 4 or len(set(levels)) == 1:
        return Trend("bounded", 0.0, 1.0)
    time = np.arange(len(levels))
    test = kendalltau(time, levels)
    rise = float(theilslopes(levels, time)[0]) * len(levels)
    grows = test.pvalue < SIGNIFICANCE and test.statistic > 0 and rise > SMALLEST_RISE_DB
    verdict: Verdict = "bounded" if not grows else "diverging" if blocks[-1] >= signal else "growing"
    return Trend(verdict, rise, float(test.pvalue))
