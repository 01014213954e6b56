"""Measures the latency of a call and the real-time factor of a compiled model."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from graphc.measure.energy import EnergyCounter
from graphc.offline.reference import Offline
from graphc.validate.validation_streams import streamed
from graphc_runtime.session import StreamSession

WARM_UP_CALLS = 5
TURNS = 20


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one call on one thread. ``rtf`` is the median divided by the real time of a chunk.

    ``energy_mj`` is the processor's energy per call in millijoules; None if its counter cannot be read.
    """

    calls: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    rtf: float | None
    energy_mj: float | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure_in_turns(
    sessions: Mapping[str, StreamSession], offline: Offline, calls: int, seconds: float
) -> dict[str, Latency]:
    """Times several sessions of one model in turns of a few calls, so that other load on the machine affects all.

    ``seconds`` is the limit for each session.
    """
    turns = max(1, min(TURNS, calls))
    timed = {name: Timed(session, offline) for name, session in sessions.items()}
    for _ in range(turns):
        for one in timed.values():
            one.calls(-(-calls // turns), seconds / turns)
    return {name: one.latency() for name, one in timed.items()}


def measure(session: StreamSession, offline: Offline, calls: int = 200, seconds: float = 0.5) -> Latency:
    """Times calls on a random chunk with states carried, until ``calls`` or ``seconds`` is reached."""
    timed = Timed(session, offline)
    timed.calls(calls, seconds)
    return timed.latency()


class Timed:
    """A session whose calls are timed on one random chunk, with states carried."""

    def __init__(self, session: StreamSession, offline: Offline):
        session.reset()
        drawn = streamed(offline, offline.draw(session.chunk, np.random.default_rng(0)))
        session.values = {name: drawn[name] for name in session.statics}
        self.session, self.chunk = session, {name: drawn[name] for name in session.streams}
        self.times: list[float] = []
        self.counter, self.energy = EnergyCounter(), 0
        for _ in range(WARM_UP_CALLS):
            session.call(self.chunk, session.chunk)

    def calls(self, count: int, seconds: float) -> None:
        """Runs ``count`` calls, or as many as fit into ``seconds``."""
        started, counted = time.perf_counter(), self.counter.now()
        for _ in range(count):
            before = time.perf_counter()
            self.session.call(self.chunk, self.session.chunk)
            self.times.append((time.perf_counter() - before) * 1e3)
            if time.perf_counter() - started >= seconds:
                break
        self.energy += self.counter.since(counted)

    def latency(self) -> Latency:
        self.session.reset()
        p50, p90, p99 = (float(np.percentile(self.times, q)) for q in (50, 90, 99))
        frame_ms = self.session.manifest.frame_ms
        rtf = p50 / (self.session.chunk * frame_ms) if frame_ms else None
        energy = self.energy / 1000 / len(self.times) if self.counter.is_here else None
        return Latency(len(self.times), p50, p90, p99, rtf, energy)
