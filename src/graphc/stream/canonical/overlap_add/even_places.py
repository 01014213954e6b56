"""Where the entries of frames are written: entry w of frame f at place ``hop * f + offsets[w]``."""

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
    """The places of frames that are written one after the other.

    Args:
        hop: places from one frame to the next.
        offsets: of a frame's entries, all different.
        front: places cut off in front.
        behind: places beyond those of the last frame; negative if some of these are cut off.
    """

    hop: int
    offsets: tuple[int, ...]
    front: int
    behind: int

    @property
    def width(self) -> int:
        """Places from a frame's first to its last."""
        return max(self.offsets) + 1

    @property
    def overlapping(self) -> int:
        """The number of frames that may share a place."""
        return math.ceil(self.width / self.hop)

    @property
    def is_narrow(self) -> bool:
        """Whether no two entries are written to one place."""
        return len({offset % self.hop for offset in self.offsets}) == len(self.offsets)


def even_places(places: Sequence[Array], sizes: Sequence[int]) -> EvenPlaces | None:
    """The pattern of places, in order, at some lengths; None if they do not follow one.

    Args:
        places: where the entries are written, at each length.
        sizes: of the axis that they are written to.
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
    """The places for these numbers of frames; None if what they leave of the axis is not always the same."""
    if hop < 1 or len(set(offsets)) < len(offsets):
        return None
    width = max(offsets) + 1
    behind = {size + front - (hop * (count - 1) + width) for count, size in zip(frames, sizes, strict=True)}
    if len(behind) != 1 or width > MOST_OVERLAPPING * hop:
        return None
    return EvenPlaces(hop, offsets, front, behind.pop())
