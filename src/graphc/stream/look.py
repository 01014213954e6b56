"""What one time-only tensor is at growing lengths."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from graphc.stream.facts import Array
from graphc.stream.habits import Rows, Sight, broken_numbers

if TYPE_CHECKING:
    from graphc.stream.evaluate import Evaluation

FEWEST = 4
LARGEST_SERIES = 2**16


class Look:
    """What one tensor is at growing lengths."""

    def __init__(self, evaluation: Evaluation, name: str):
        shapes = evaluation.time_shapes[name]
        self.shape = shapes[0]
        longest, shortest = int(np.argmax(evaluation.lengths)), int(np.argmin(evaluation.lengths))
        grows = shapes[longest] != shapes[shortest] and len(shapes[longest]) == len(shapes[shortest])
        self.rows = Rows(shapes[shortest], shapes[longest]) if grows else None
        self.lengths: list[int] = []
        self.learned_from: list[int] = []
        self.series: list[Array] = []
        self.sights: list[Sight] = []

    def see(self, frames: int, value: Array) -> None:
        self.lengths.append(frames)
        if self.rows is None:
            same = value.shape == self.shape
            self.sights.append(Sight.AS_BEFORE if same else Sight.ODD)
            some = value.ravel()[:: max(1, value.size // LARGEST_SERIES)]
            self.series.append(some if same else self.series[-1] if self.series else np.zeros(0))
            return
        learned = self.rows.learned
        self.sights.append(self.rows.seen(value) if value.ndim == len(self.shape) else Sight.ODD)
        if self.rows.learned > learned:
            self.learned_from.append(frames)
        self.series.append(np.asarray(value.shape if value.ndim == len(self.shape) else self.shape))

    def odd(self, evaluated: set[int]) -> list[tuple[int, int]]:
        """The first and the last stretch in which it is not as elsewhere and no length was evaluated.

        Returns of each the length tried before it and its first; and the first lengths that its rows were learned from,
        where none as long was evaluated: what changes before is in them.
        """
        learned = np.asarray([n in evaluated for n in self.lengths], bool)
        if len({s.size for s in self.series}) == 1 and learned.sum() >= FEWEST:
            for place in np.flatnonzero(broken_numbers(self.lengths, np.stack(self.series), learned)):
                self.sights[place] = Sight.ODD
        stretches = [s for s in self.stretches() if not evaluated & set(self.lengths[s])]
        ends = dict.fromkeys(s.start for s in (*stretches[:1], *stretches[-1:]))
        near = [n for n in self.learned_from if n <= 2 * self.learned_from[0]]
        longer = [(near[0], near[-1])] if near and max(evaluated) < near[-1] else []
        return longer + [(self.lengths[max(k - 1, 0)], self.lengths[k]) for k in ends]

    def stretches(self) -> Iterator[slice]:
        """Runs of odd values, and from each other value on those that are like it."""
        start: int | None = None
        before = Sight.AS_BEFORE
        for place, sight in enumerate(self.sights):
            ends = sight is Sight.OTHER or (sight is Sight.ODD) != (before is Sight.ODD)
            if start is not None and ends:
                yield slice(start, place)
                start = None
            if sight is Sight.OTHER or (sight is Sight.ODD and before is not Sight.ODD):
                start = place
            before = sight
        if start is not None:
            yield slice(start, len(self.sights))
