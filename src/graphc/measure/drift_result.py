"""The result of a drift measurement, as numbers and as lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.measure.trend import Trend, decibels
from graphc.offline.feeds import Feeds

Array = NDArray[Any]
TWICE = 2.0
SILENCE_DB = -50.0


@dataclass
class Course:
    """For each window, the power of signal and error of every output, and the relative errors of the states."""

    signal: dict[str, list[float]] = field(default_factory=dict)
    error: dict[str, list[float]] = field(default_factory=dict)
    states: dict[str, list[float]] = field(default_factory=dict)

    def snr_db(self, name: str) -> float:
        error = sum(self.error[name])
        return decibels(sum(self.signal[name])) - decibels(error) if np.isfinite(error) else -float("inf")


@dataclass(frozen=True)
class Rehearsal:
    """A long stream for the compiled model and the float one.

    Args:
        chunks: a function that yields the chunks of the stream from the start of the stream.
        calls: the number of calls of the stream.
        window: the number of calls for one point of the course.
        call_s: the real time of a call, in seconds.
    """

    chunks: Callable[[], Iterator[Feeds]]
    calls: int
    window: int
    call_s: float


@dataclass(frozen=True)
class Drift:
    """The drift over a long stream.

    Args:
        first_state: the state whose error grows first, if an output's error grows.
        resets: the SNR in dB of the worst output, keyed by the time between resets, or by "silence".
        reset_s: the recommended interval between resets; None if none helps or none is needed.
    """

    minutes: float
    point_s: float
    source: str
    course: Course
    trends: dict[str, Trend]
    first_state: str | None
    resets: dict[str, float]
    reset_s: float | None

    @property
    def verdict(self) -> str:
        found = {t.verdict for t in self.trends.values()}
        return next((v for v in ("diverging", "growing") if v in found), "bounded")

    @property
    def snr_db(self) -> float:
        return min((self.course.snr_db(n) for n in self.trends), default=float("inf"))

    def as_dict(self) -> dict[str, Any]:
        return {
            "minutes": self.minutes,
            "point_s": self.point_s,
            "source": self.source,
            "verdict": self.verdict,
            "outputs": {
                name: {
                    **trend.as_dict(),
                    "snr_db": self.course.snr_db(name),
                    "error_db": [decibels(e) for e in self.course.error[name]],
                    "signal_db": decibels(float(np.mean(self.course.signal[name]))),
                }
                for name, trend in self.trends.items()
            },
            "first_state": self.first_state,
            "resets": self.resets,
            "reset_s": self.reset_s,
        }


def drift_lines(drift: Mapping[str, Any]) -> list[str]:
    """The record of a drift, as lines for people."""
    minutes = f"{drift['minutes']:g} minute{'s' * (drift['minutes'] != 1)}"
    said = [f"{minutes} of {drift['source']}: the error is {drift['verdict']}"]
    for name, o in drift["outputs"].items():
        said.append(
            f"{name}: SNR {o['snr_db']:.1f} dB, trend {o['rise_db']:+.1f} dB (p {o['p']:.2g}), {o['verdict']} "
            f"{sparkline(o['error_db'])}"
        )
    if drift["first_state"] is not None:
        said.append(f"the state that grows first: {drift['first_state']}")
    for name, snr in drift["resets"].items():
        said.append(f"reset {'in' if name == 'silence' else 'every'} {name}: SNR {snr:.1f} dB")
    if drift["reset_s"] is not None:
        said.append(f"recommended: a reset every {drift['reset_s']:g} s")
    return said


def sparkline(levels: Sequence[float], width: int = 60) -> str:
    """Levels as a line of blocks, from the lowest to the highest."""
    steps = "▁▂▃▄▅▆▇█"
    means = [float(np.mean(part)) for part in np.array_split(np.asarray(levels), min(width, len(levels)))]
    finite = [v for v in means if np.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    return "".join(
        steps[int((v - low) / max(high - low, 1e-9) * (len(steps) - 1))] if np.isfinite(v) else steps[-1] for v in means
    )
