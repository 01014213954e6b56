"""Longer lengths at which a graph has to be evaluated, and changes that lie too far for that."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from graphc.errors import StreamError
from graphc.offline import Offline
from graphc.stream.thresholds import Change

if TYPE_CHECKING:
    from graphc.stream.evaluate import Evaluation

FARTHEST = 2000
MARGIN = 70
MOST_ENTRIES = 2**24
MOST_OF_PAIRS = 2**28
MOST_ENTRIES_ONCE = 2**27
NEAR = 64
MOST_BEFORE, MOST_BETWEEN = 16, 4
FOLLOWED = 4
CHEAP = 200
LIMIT_WAY_OUT = "take the limit out of the model, or make it smaller"


def slowdown(evaluation: Evaluation) -> int:
    """Input frames to one frame of the slowest tensor of data."""
    axes = {sizes for shapes in evaluation.shapes.values() for sizes in zip(*shapes, strict=False)}
    return max([1, *(frames_to_one(evaluation.lengths, sizes) for sizes in axes)])


def frames_to_one(lengths: Sequence[int], sizes: Sequence[int]) -> int:
    """Input frames to one frame of an axis while it grows; 0 where it does not.

    An axis that stops growing tells its pace before: there the most frames are sure to have come in the time.
    """
    shortest = int(np.argmin(lengths))
    grown = [(size - sizes[shortest], n - lengths[shortest]) for n, size in zip(lengths, sizes, strict=True)]
    more, span = max(((m, s) for m, s in grown if m > 0), key=lambda g: (g[0] - 1) / g[1], default=(0, 0))
    return round(span / more) if more else 0


def reach_of(evaluation: Evaluation) -> int:
    """The longest length at which graphs are evaluated: as many frames of the slowest tensor as memory allows."""
    reach, longest = FARTHEST * slowdown(evaluation), max(evaluation.lengths)
    while reach > longest:
        largest, of_pairs = entries_at(evaluation, reach)
        if largest <= MOST_ENTRIES and of_pairs <= MOST_OF_PAIRS:
            break
        reach = max(longest, reach * 3 // 4)
    return reach


def entries_at(evaluation: Evaluation, frames: int) -> tuple[float, float]:
    """Entries at a length, as sizes grow with it: of the largest tensor, and of all that grow along two axes."""
    lengths = evaluation.lengths
    longest, shortest = int(np.argmax(lengths)), int(np.argmin(lengths))
    most = of_pairs = 0.0
    for sizes in (*evaluation.shapes.values(), *evaluation.time_shapes.values()):
        grown = sum(a != b for a, b in zip(sizes[shortest], sizes[longest], strict=False))
        entries = float(np.prod(sizes[longest], dtype=np.float64)) * (frames / lengths[longest]) ** grown
        most = max(most, entries)
        of_pairs += entries if grown > 1 else 0
    return most, of_pairs


def lengths_before(offline: Offline, evaluation: Evaluation, min_frames: int) -> tuple[int, ...]:
    """Lengths before changes that all those evaluated lie beyond, longest first, as far as the model takes them.

    Args:
        min_frames: the shortest stream of which anything is promised.

    Errors:
        StreamError: the model gives nothing before a change.
    """
    shortest = min(evaluation.lengths)
    nodes: dict[int, str] = {}
    for change in evaluation.changes:
        if min_frames < change.frames <= shortest:
            places = (change.frames, change.frames - 1, (change.frames - 1) // 2)
            nodes |= {max(min_frames, n): change.node for n in places}
    wanted = sorted(set(nodes) - set(evaluation.lengths), reverse=True)[:MOST_BEFORE]
    accepted = [n for n in wanted if offline.accepts(n)]
    for n in wanted:
        if n in offline.empty:
            raise StreamError(
                f"in streams of {n} frames and less the model gives nothing", node=nodes[n], hint=LIMIT_WAY_OUT
            )
    return tuple(accepted)


def lengths_apart(offline: Offline, evaluation: Evaluation) -> tuple[int, ...]:
    """More lengths, where those evaluated lie too few frames of the slowest tensor apart to foretell its course.

    Longer ones as far as graphs are evaluated, else shorter ones, of at least half the longest.
    """
    slowest, longest = slowdown(evaluation), max(evaluation.lengths)
    apart = 0
    last = -slowest
    for length in sorted(n for n in evaluation.lengths if 2 * n >= longest):
        if length - last >= slowest:
            apart, last = apart + 1, length
    if slowest == 1 or apart >= FOLLOWED:
        return ()
    found: list[int] = []
    reach = reach_of(evaluation)
    for k in range(1, FOLLOWED + 1):
        away = slowest * k + slowest * k * k // 7 % slowest
        whole = -(-(longest + away) // slowest) * slowest
        longer = [n for n in (longest + away, whole) if n <= reach]
        shorter = [longest - away] if 2 * away <= longest else []
        found += [n for n in (*longer, *shorter) if n not in evaluation.lengths and offline.accepts(n)][:1]
    return tuple(found)


def length_beyond(offline: Offline, evaluation: Evaluation) -> int | None:
    """A length beyond the last change within reach that the model takes; None where those evaluated are.

    Errors:
        StreamError: the model gives nothing from a change on.
    """
    slowest, longest = slowdown(evaluation), max(evaluation.lengths)
    reach = reach_of(evaluation)
    for change in reversed(evaluation.changes):
        farthest = change.frames + MARGIN * slowest
        if farthest <= longest or 2 * change.frames <= longest:
            return None
        for more in (MARGIN * slowest, MARGIN * slowest // 4, slowest, 1):
            wanted = change.frames + more
            if not longest < wanted <= reach:
                continue
            near = range(wanted, wanted + (NEAR if more > slowest else 1))
            if any(offline.accepts(n) for n in near):
                return wanted
            if any(n in offline.empty for n in near):
                raise StreamError(
                    f"in streams of about {change.frames} frames and more the model gives nothing",
                    node=change.node,
                    hint=LIMIT_WAY_OUT,
                )
    return None


def lengths_between(offline: Offline, evaluation: Evaluation, beyond: int) -> list[int]:
    """Lengths of exact changes up to another, where something may hold once, and one in each stretch between them.

    Of long ones, which cost most, only those where numbers are compared for being equal.
    """
    shortest, longest, apart = min(evaluation.lengths), max(evaluation.lengths), 4 * slowdown(evaluation)
    exact = [c for c in evaluation.changes if c.exact and shortest < c.frames < beyond]
    wanted = {c.frames for c in exact if c.frames <= CHEAP or c.node.endswith("(Equal)")}
    late = [c.frames for c in exact if c.frames > longest]
    stretches = [place - 1 for before, place in pairwise(late) if place - before > apart]
    wanted = {*sorted(wanted)[-MOST_BETWEEN:], *stretches[:MOST_BETWEEN]} - {*evaluation.lengths}
    return [n for n in sorted(wanted) if offline.accepts(n)]


def promised_frames(
    offline: Offline, evaluation: Evaluation, of_tables: int | None
) -> tuple[int | None, Change | None]:
    """The longest stream of which anything is promised, and the change that ends it, where one does before tables do.

    Args:
        of_tables: the longest stream that tables of positions allow; None for any.

    Errors:
        StreamError: a change of which only an estimate is known, in streams that the model may take.
    """
    longest, slowest = max(evaluation.lengths), slowdown(evaluation)
    most, ended_by = of_tables, None
    for change in evaluation.changes:
        if change.frames <= longest or (of_tables is not None and change.frames >= of_tables - slowest):
            continue
        if change.exact:
            if most is None or change.earliest - slowest < most:
                most, ended_by = max(longest, change.earliest - slowest), change
        elif entries_at(evaluation, change.frames)[0] > MOST_ENTRIES_ONCE or offline.accepts(change.frames + slowest):
            raise StreamError(
                f"in streams of about {change.frames} frames it may begin to do something else, and graphc looks no "
                f"further than {reach_of(evaluation)} frames",
                node=change.node,
                hint=LIMIT_WAY_OUT,
            )
    return most, ended_by
