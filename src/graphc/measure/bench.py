"""Latency of one call and the real-time factor of a compiled model."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphc.client.session import StreamSession
from graphc.offline.reference import Offline
from graphc.validate.validation_streams import streamed

WARM_UP_CALLS = 5


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one call, one thread. ``rtf`` is the median over the real time of a chunk."""

    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    rtf: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(session: StreamSession, offline: Offline, calls: int = 200, seconds: float = 0.5) -> Latency:
    """Times calls on random chunks, states carried, for so many calls or seconds, whichever ends first."""
    session.reset()
    drawn = streamed(offline, offline.draw(session.chunk, np.random.default_rng(0)))
    session.values = {name: drawn[name] for name in session.statics}
    chunk = {name: drawn[name] for name in session.streams}
    for _ in range(WARM_UP_CALLS):
        session.call(chunk, session.chunk)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < calls and time.perf_counter() - started < seconds:
        before = time.perf_counter()
        session.call(chunk, session.chunk)
        times.append((time.perf_counter() - before) * 1e3)
    session.reset()
    p50, p90, p99 = (float(np.percentile(times, q)) for q in (50, 90, 99))
    frame_ms = session.manifest.frame_ms
    return Latency(len(times), p50, p90, p99, p50 / (session.chunk * frame_ms) if frame_ms else None)
