"""The figures of a compiled model. Sweeps, trackers and the docs use the same names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.measure.budget import least_snr

FIGURES = {
    "latency_ms": "the median time of a call on one thread",
    "p99_ms": "the time of a call that one call in a hundred exceeds",
    "rtf": "the real-time factor; needs stream.frame_ms",
    "size_mb": "the size of the model and its data, in 10^6 bytes",
    "snr_db": "the smallest signal-to-noise ratio of any output against the offline model, capped at 200",
    "delay_ms": "the delay of the slowest output; needs stream.frame_ms",
    "state_kb": "the size of the states, in 10^3 bytes",
}
HIGHEST_SNR = 200.0


def figures_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The figures, keyed by the names in ``FIGURES``, without those that do not apply to the model."""
    stream, latency = report["stream"] or {}, report["latency"] or {}
    found = {
        "latency_ms": latency.get("p50_ms"),
        "p99_ms": latency.get("p99_ms"),
        "rtf": latency.get("rtf"),
        "size_mb": report["size"] / 1e6,
        "snr_db": min(least_snr(report), HIGHEST_SNR),
        "delay_ms": stream.get("delay_ms"),
        "state_kb": stream["state_bytes"] / 1e3 if stream else None,
    }
    return {name: float(value) for name, value in found.items() if value is not None}
