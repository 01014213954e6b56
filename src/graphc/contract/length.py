"""The number of offline frames of a tensor, as a function of the number of input frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Length:
    """A number of frames: a chain of steps ``floor((mul * T + add) / div)`` from T input frames, each clamped at 0.

    Example:
        >>> Length().then(1, 1, 2).then(2, 0, 1)(5)
        6
    """

    steps: tuple[tuple[int, int, int], ...] = ()

    def then(self, mul: int, add: int, div: int) -> Length:
        """The length after one more step. Steps that compose exactly are merged.

        A step that may be clamped at 0 is not merged with a step that adds frames.
        """
        if not self.steps:
            return Length() if (mul, add, div) == (1, 0, 1) else Length((reduced(mul, add, div),))
        *before, (last_mul, last_add, last_div) = self.steps
        stops_at_zero = last_add < 0 < add
        if stops_at_zero:
            return Length((*self.steps, reduced(mul, add, div)))
        if last_div == 1:
            merged = (mul * last_mul, mul * last_add + add, div)
        elif mul == 1:
            merged = (last_mul, last_add + add * last_div, last_div * div)
        else:
            return Length((*self.steps, reduced(mul, add, div)))
        return Length(tuple(before)).then(*merged)

    def __call__(self, frames: int) -> int:
        for mul, add, div in self.steps:
            frames = max(0, (mul * frames + add) // div)
        return frames

    def unclamped(self, frames: int) -> int:
        """The same length, without the clamp of each step at 0."""
        for mul, add, div in self.steps:
            frames = (mul * frames + add) // div
        return frames

    @classmethod
    def fixed(cls, frames: int) -> Length:
        """A length that does not depend on the input."""
        return cls(((0, frames, 1),))

    @property
    def rate(self) -> Fraction:
        rate = Fraction(1)
        for mul, _, div in self.steps:
            rate *= Fraction(mul, div)
        return rate

    def lag(self, chunk: int) -> int:
        """The smallest delay at which, after every whole chunk, all frames passed on so far are known to exist.

        A tensor with delay d has passed on ``(n+1)*c - d`` frames after step n, with c frames per chunk. If the offline
        model cuts frames from the end, fewer exist until more input comes; an op that masks the end has to wait.
        """
        if self.rate == 0:
            return 0
        carried = chunk * self.rate
        period = math.prod(div for _, _, div in self.steps)
        calls = range(1, math.lcm(period, chunk) // chunk + 1)
        return max(math.ceil(n * carried - self.unclamped(n * chunk)) for n in calls)

    def as_dicts(self) -> list[dict[str, int]]:
        return [{"mul": mul, "add": add, "div": div} for mul, add, div in self.steps or ((1, 0, 1),)]


def reduced(mul: int, add: int, div: int) -> tuple[int, int, int]:
    """The same step, divided by the common factor of mul and div. Because of the floor, add may be rounded down."""
    common = math.gcd(mul, div)
    return (mul // common, add // common, div // common)
