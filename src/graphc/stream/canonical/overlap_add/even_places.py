"""Evenly spaced positions of frames: entry w of frame f is written at position ``hop * f + offsets[w]``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphc.stream.facts.time_constant import Array

MOST_ENTRIES = 4096
MOST_OVERLAPPING = 16


@dataclass(frozen=True)
class EvenPlaces:
    """The positions on an axis at which the entries of consecutive frames are written.

    Args:
        hop: the number of positions from one frame to the next.
        offsets: the position of each entry, relative to its frame; all different.
        front: the number of positions cut off at the start.
        behind: the number of positions after those of the last frame; negative if some of its positions are cut off.
    """

    hop: int
    offsets: tuple[int, ...]
    front: int
    behind: int

    @property
    def width(self) -> int:
        """The number of positions that one frame spans."""
        return max(self.offsets) + 1

    @property
    def overlapping(self) -> int:
        """The largest number of frames that may write to the same position."""
        return math.ceil(self.width / self.hop)

    @property
    def is_narrow(self) -> bool:
        """Whether no two entries are written to the same position."""
        return len({offset % self.hop for offset in self.offsets}) == len(self.offsets)


def even_places(places: Sequence[Array], sizes: Sequence[int]) -> EvenPlaces | None:
    """The pattern that the positions of entries follow; None if they follow none.

    Args:
        places: the positions at which entries are written, in order, at each evaluated length.
        sizes: the size of the axis to which they are written, at each evaluated length.
    """
    counts = [len(p) for p in places]
    if len(set(counts)) < 2 or min(counts) < 1 or any((p < 0).any() for p in places):
        return None
    common = math.gcd(*counts)
    longest = max(places, key=len)
    for width in (w for w in range(1, min(common, MOST_ENTRIES) + 1) if common % w == 0):
        steps = {int(s) for p in places for s in np.unique(p[width:] - p[:-width])}
        offsets = tuple(int(o) for o in longest[:width])
        if len(steps) != 1 or any(tuple(p[:width]) != offsets for p in places):
            continue
        return fitting(steps.pop(), offsets, [count // width for count in counts], sizes)
    return None


def fitting(
    hop: int, offsets: tuple[int, ...], frames: Sequence[int], sizes: Sequence[int], front: int = 0
) -> EvenPlaces | None:
    """The ``EvenPlaces`` for a hop and offsets; None if the rest of the axis after the last frame varies in size.

    Args:
        frames: the number of frames, at each evaluated length.
        sizes: the size of the axis, at each evaluated length.
    """
    if hop < 1 or len(set(offsets)) < len(offsets):
        return None
    width = max(offsets) + 1
    behind = {size + front - (hop * (count - 1) + width) for count, size in zip(frames, sizes, strict=True)}
    if len(behind) != 1 or width > MOST_OVERLAPPING * hop:
        return None
    return EvenPlaces(hop, offsets, front, behind.pop())
