"""Ranges of lengths, around the evaluated ones, for which a claim holds."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.stream.symbolic.domain.space import LONGEST, Region, constant, frames, least, most

ENDLESS = LONGEST - 1
MOST_SUSPECTS = 4


@dataclass(frozen=True)
class Stretch:
    """The lengths for which a claim about a tensor holds.

    Args:
        first, last: the shortest and the longest of these lengths.
        outside: whether the claim ends because the offline model no longer runs, or reads past the end of a table.
        rounded: whether the claim ends because the offline model's numbers become too large for their dtype, and the
            streaming model does not contain these numbers.
    """

    tensor: str
    first: int = 1
    last: int = ENDLESS
    outside: bool = False
    rounded: bool = False


def first_lengths(region: Region) -> list[int]:
    """The shortest few lengths of a set."""
    found: list[int] = []
    while len(found) < MOST_SUSPECTS and not region.is_empty():
        found.append(least(region))
        region = region & frames(0).gt_set(constant(found[-1], 0))
    return found


def around(bad: Region, length: int, name: str) -> Stretch:
    """The lengths around ``length``, up to the nearest bad lengths."""
    if bad.is_empty():
        return Stretch(name)
    here, middle = frames(0), constant(length, 0)
    below, above = bad & here.lt_set(middle), bad & here.ge_set(middle)
    return Stretch(name, most(below) + 1, least(above) - 1)


def holds_at(region: Region, length: int) -> bool:
    """Whether a set of lengths contains ``length``."""
    return not (region & frames(0).eq_set(constant(length, 0))).is_empty()
