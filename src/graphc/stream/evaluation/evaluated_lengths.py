"""Chooses the lengths at which a graph is evaluated: the longest one, and those to try where no formula decides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from itertools import islice

import numpy as np

from graphc.offline.reference import Offline
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream

FARTHEST = 2000
MARGIN = 70
MOST_ENTRIES = 2**24
MOST_OF_PAIRS = 2**24
NEAR = 8
SCANNED = 64
TRIED = 4
FEW = 2


def slowdown(facts: Mapping[str, Fact]) -> int:
    """The number of input frames for each frame of the data tensor with the lowest rate, rounded up."""
    rates = [f.rate for f in facts.values() if isinstance(f, Stream) and f.rate]
    return max([1, *(math.ceil(1 / rate) for rate in rates)])


def reach_of(evaluation: Evaluation, facts: Mapping[str, Fact]) -> int:
    """The longest length at which the graph is evaluated: ``FARTHEST`` frames of the slowest data tensor, or fewer.

    The length is shorter if tensors of that length would need too much memory.
    """
    grown = entries_grown(evaluation)
    reach, longest = FARTHEST * slowdown(facts), max(evaluation.lengths)
    while reach > longest:
        most = max((largest * (reach / longest) ** axes for axes, (largest, _) in grown.items()), default=0.0)
        of_pairs = sum(total * (reach / longest) ** axes for axes, (_, total) in grown.items() if axes > 1)
        if most <= MOST_ENTRIES and of_pairs <= MOST_OF_PAIRS:
            break
        reach = max(longest, reach * 3 // 4)
    return reach


def entries_grown(evaluation: Evaluation) -> dict[int, tuple[int, int]]:
    """Counts the entries of tensors at the longest evaluated length, by the number of axes that grow with the length.

    Returns, for each number of growing axes, the entries of the largest tensor and of all tensors together.
    """
    lengths = evaluation.lengths
    longest, shortest = int(np.argmax(lengths)), int(np.argmin(lengths))
    found: dict[int, tuple[int, int]] = {}
    for sizes in (*evaluation.shapes.values(), *evaluation.time_shapes.values()):
        axes = sum(a != b for a, b in zip(sizes[shortest], sizes[longest], strict=False))
        entries = math.prod(sizes[longest])
        largest, total = found.get(axes, (0, 0))
        found[axes] = max(largest, entries), total + entries
    return found


def lengths_from(offline: Offline, wanted: int) -> tuple[int, ...]:
    """A few lengths of at least ``wanted`` frames that the model accepts, with different remainders."""
    near = [wanted + k for k in (0, 1, 2, 5)]
    offline.try_all(near)
    found = tuple(n for n in near if offline.accepts(n))
    return found or tuple(first_of(offline, range(wanted, wanted + SCANNED)))


def longest_lengths(offline: Offline, above: int, below: int) -> tuple[int, ...]:
    """The longest lengths between ``above`` and ``below`` that the model accepts.

    The model must accept no length from ``below`` on.
    """
    found = [n for n in range(above + 1, min(below, above + SCANNED)) if offline.accepts(n)]
    low, high = (found[-1] if found else above), below
    while high - low > 1:
        middle = (low + high) // 2
        taken = first_of(offline, range(middle, min(high, middle + NEAR)))
        low, high = (taken[0], high) if taken else (low, middle)
    ends = [n for n in range(low, max(above, low - NEAR), -1) if offline.accepts(n)]
    return tuple(sorted({*found[-2:], *ends[:2]}))


def lengths_around(offline: Offline, last: int, facts: Mapping[str, Fact]) -> tuple[int, ...]:
    """Accepted lengths up to ``last``, the last length before something changes, and accepted lengths after it."""
    slowest = slowdown(facts)
    behind = (1, 2, 1 + slowest, 1 + MARGIN * slowest // 4, 1 + MARGIN * slowest, 2 + MARGIN * slowest)
    found = first_of(offline, range(last, max(last - NEAR, 0), -1))
    for more in behind:
        found += first_of(offline, range(last + more, last + more + NEAR))
    return tuple(found)


def lengths_tried(offline: Offline, evaluation: Evaluation, facts: Mapping[str, Fact]) -> tuple[int, ...]:
    """Longer lengths, spread up to ``reach_of``, at which to evaluate what no formula decides.

    For each of these lengths, a nearby multiple of the shortest evaluated length is tried too, since some models accept
    only such multiples.
    """
    longest, reach, shortest = max(evaluation.lengths), reach_of(evaluation, facts), min(evaluation.lengths)
    if 2 * longest > reach:
        return ()
    found: list[int] = []
    for k in range(1, TRIED + 1):
        wanted = round(longest * (reach / longest) ** (k / TRIED))
        near = (*range(wanted, wanted - FEW, -1), wanted // shortest * shortest)
        found += first_of(offline, [n for n in near if n > longest])
    return tuple(found) or tuple(n for n in range(longest + 1, longest + 1 + NEAR) if offline.accepts(n))


def first_of(offline: Offline, lengths: Iterable[int]) -> list[int]:
    """A list with the first of ``lengths`` that the model accepts; an empty list if the model accepts none of them."""
    return list(islice((n for n in lengths if offline.accepts(n)), 1))
