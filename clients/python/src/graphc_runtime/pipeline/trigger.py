"""Decides when scores count as a detection."""

from __future__ import annotations

from collections import deque

from graphc_runtime.pipeline.manifest import TriggerEntry


class Trigger:
    """Decides after the score of every call whether there is a detection.

    Args:
        entry: threshold, smoothing, patience, refractory time and warm-up.
        call_s: the duration of a call, in seconds.

    Example:
        trigger = Trigger(entry, 0.08)
        if trigger.heard(score): print("heard")
    """

    def __init__(self, entry: TriggerEntry, call_s: float):
        self.entry, self.call_s = entry, call_s
        self.reset()

    def reset(self) -> None:
        """Begins another stream."""
        self.last: deque[float] = deque(maxlen=self.entry.smoothing)
        self.calls = self.reached = 0
        self.silent_until = 0.0

    @property
    def seconds(self) -> float:
        """The end of the last call, in seconds from the start of the stream."""
        return self.calls * self.call_s

    @property
    def level(self) -> float:
        """The mean of the last ``smoothing`` scores. Scores before the first call count as 0."""
        return sum(self.last) / self.entry.smoothing

    def heard(self, score: float) -> bool:
        """Adds the score of the next call. Returns whether this makes a detection."""
        self.last.append(0.0 if self.calls < self.entry.warm_up else score)
        self.calls += 1
        self.reached = self.reached + 1 if self.level >= self.entry.threshold else 0
        if self.reached < self.entry.patience or self.seconds < self.silent_until:
            return False
        self.silent_until = self.seconds + self.entry.refractory_s
        return True
