"""Where a number that was seen at some lengths is going to be zero."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graphc.stream.facts import Array

WHOLE_SLACK, SLACK = 2.0, 0.02
STRAIGHT, EXACT = 1e-4, 1e-6
LONGEST_FRAME = 4096


class Zero(NamedTuple):
    """A length at which a number is zero, in input frames; exact of lines, squares and reciprocals of lengths.

    Args:
        earliest: the least that it can be, since a few lengths tell little of the rate of slower frames.
    """

    frames: float
    exact: bool
    earliest: float


class Course:
    """Foretells zeros of numbers seen at some lengths.

    Args:
        clocks: [runs] each; the lengths in input frames, and then the lengths of other tensors at these.
    """

    def __init__(self, clocks: Sequence[Sequence[int]]):
        self.clocks = [np.asarray(c, np.float64) for c in clocks]

    def zeros(self, values: Array) -> list[Zero]:
        """The lengths, in input frames, at which a number was zero, and the next at which it is going to be.

        What happened at lengths shorter than half the longest is left aside: a number that was clamped since goes on as
        it is now. A line, a square or a reciprocal of one of the clocks is continued exactly both ways; of other
        numbers, what is nearly a line ahead as a line, and a curve that comes nearer to zero by its latest slope.

        Args:
            values: the number at each length, [runs].
        """
        lengths = self.clocks[0]
        order = np.argsort(lengths, kind="stable")
        late = order[lengths[order] * 2 >= lengths.max()]
        different = len(set(values[late]))
        if different < 2:
            return []
        found = self.zeros_of_line(late, values[late])
        if found is None:
            found = self.zeros_of_curve(values)
        if found is None:
            order = late if different > 2 else order[lengths[order] * 4 >= lengths.max()]
            zeros = zeros_of_course(lengths[order], values[order])
            found = [Zero(z, False, z) for z in zeros if z > lengths[late[0]]]
        found = sorted(z for z in found if math.isfinite(z.frames) and z.frames > 1)
        ahead = [z for z in found if z.frames > lengths[late[0]]]
        return [*(z for z in found if z.frames <= lengths[late[0]]), *ahead[:1]]

    def zeros_of_line(self, runs: Array, y: Array) -> list[Zero] | None:
        """The zero of a line of a clock over some of the lengths, in input frames; None where the number is none."""
        for clock in self.clocks:
            n = clock[runs]
            if len(set(n)) < 3:
                continue
            slope, start = np.polyfit(n, y, 1)
            if np.abs(y - (slope * n + start)).max() <= STRAIGHT * (y.max() - y.min()):
                return self.input_frames(clock, [-start / slope] if slope else [])
        return None

    def zeros_of_curve(self, y: Array) -> list[Zero] | None:
        """The zeros of a square or reciprocal of a clock over all lengths, in input frames; None where it is none."""
        for n in self.clocks:
            for degree, x in ((1, 1 / np.maximum(n, 1)), (2, n)):
                if len(set(x)) < degree + 2:
                    continue
                factors = np.polyfit(x, y, degree)
                if np.abs(np.polyval(factors, x) - y).max() > EXACT * np.abs(y).max():
                    continue
                roots = [float(z.real) for z in np.roots(factors) if abs(z.imag) < EXACT]
                if x is not n:
                    roots = [1 / z for z in roots if z > EXACT / n.max()]
                return self.input_frames(n, roots)
        return None

    def input_frames(self, clock: Array, places: list[float]) -> list[Zero]:
        rate, start = pace(self.clocks[0], clock)
        found = [(place - start) / rate for place in places]
        sure = 1.0 if clock is self.clocks[0] else max(0.0, 1 - 2 / (clock.max() - clock.min()))
        return [Zero(frames, True, frames * sure) for frames in found]

    def other_wholes(self, values: Array) -> list[Zero]:
        """The lengths at which a number comes from and to another whole part; none where these show two."""
        parts = np.floor(values)
        if (parts != parts[0]).any():
            return []
        return [z for limit in (parts[0], parts[0] + 1) for z in self.zeros(values - limit)]


def pace(lengths: Array, clock: Array) -> tuple[float, float]:
    """Frames of a clock to one input frame, and its start: the simplest fraction of which it is a rounded line."""
    slope, start = np.polyfit(lengths, clock, 1)
    for frames in range(1, LONGEST_FRAME):
        rate = round(slope * frames) / frames
        left = clock - rate * lengths
        if rate > 0 and left.max() - left.min() < 1:
            return rate, float(left.max() + left.min()) / 2
    return float(slope), float(start)


def zeros_of_course(n: Array, y: Array) -> list[float]:
    """Of a number that is nearly a line, or comes nearer to zero; none where it goes up and down."""
    slope, start = np.polyfit(n, y, 1)
    left = np.abs(y - (slope * n + start)).max()
    span = abs(slope) * (n[-1] - n[0])
    steps = np.diff(y)
    if span < 2 * left and not ((steps >= 0).all() or (steps <= 0).all()):
        return []
    slack = max(SLACK * span, WHOLE_SLACK if (y == np.rint(y)).all() else 0.0)
    if left <= slack:
        return [-start / slope] if slope else []
    middle = len(n) // 2
    latest = float(y[-1] - y[middle]) / float(n[-1] - n[middle]) if n[-1] > n[middle] else 0.0
    return [float(n[-1] - y[-1] / latest)] if (latest < 0) == (y[-1] > 0) and latest and y[-1] else []
