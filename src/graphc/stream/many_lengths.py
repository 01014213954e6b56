"""The time-only part alone at many lengths, and those at which it is not as at the others.

Foretelling (`thresholds.py`) knows what ops do. This knows of none: whatever made a number, it is looked at where it is
read (`habits.py`). Sizes of data at lengths that were not evaluated are taken from the rounded lines that they follow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from graphc.errors import StreamError
from graphc.graph import Node, label, reads, subgraphs
from graphc.length import Length
from graphc.offline import Offline
from graphc.runtime import RunError
from graphc.stream.facts import Array
from graphc.stream.farther import LIMIT_WAY_OUT, reach_of, slowdown
from graphc.stream.length_steps import likely_steps
from graphc.stream.look import FEWEST, Look
from graphc.stream.rounded import rounded_line
from graphc.stream.thresholds import Change
from graphc.stream.time_only import SHAPE_OPS, TimeOnly

if TYPE_CHECKING:
    from graphc.stream.evaluate import Evaluation

DENSE, SPREAD, OF_THICK, FAR = 256, 256, 10, 8
FARTHEST_ALONE = 2**16
MOST_AT_ONCE = 3
THIN, FASTER = 16, 1.25
MOST_THICK = 2**19


@dataclass(frozen=True, order=True)
class Odd:
    """A length at which a time-only tensor is not as at the others.

    Args:
        last: the longest length tried before it.
        node: what made the tensor.
    """

    frames: int
    last: int
    node: str


def odd_lengths(offline: Offline, evaluation: Evaluation) -> list[Odd]:
    """Lengths up to that of the longest evaluation, and some far beyond, that tell what those evaluated do not.

    Those from a change on that is to end the promise are left out.
    """
    if len(evaluation.lengths) < FEWEST:
        return []
    looked_at, slowest = LookedAt(evaluation), slowdown(evaluation)
    reach = looked_at.reach
    apart = math.gcd(*(n - evaluation.lengths[0] for n in evaluation.lengths))
    ends = [c.frames for c in evaluation.changes if c.exact and c.frames > max(evaluation.lengths)]
    near = dense(evaluation, apart)
    near += spread(evaluation, apart, reach, SPREAD if slowest == 1 else 2 * SPREAD, near[-1])
    thick = spread(evaluation, apart, min(reach, looked_at.longest_of_thick()), OF_THICK)
    far = spread(evaluation, apart, FARTHEST_ALONE, FAR, reach) if slowest == 1 else []
    far = sorted({*far, *(n - 1 for n in ends if near[-1] < n <= FARTHEST_ALONE)})
    found = looked_at.odd(offline, looked_at.thin - looked_at.looped, near, far)
    found += looked_at.odd(offline, looked_at.thin & looked_at.looped | looked_at.thick, thick)
    return sorted(o for o in found if o.frames < min(ends, default=math.inf))


def odd_before(offline: Offline, evaluation: Evaluation, min_frames: int) -> tuple[int, ...]:
    """Odd lengths that are shorter than those evaluated, as far as the model takes them. Looked for once an evaluation.

    Args:
        min_frames: the shortest stream of which anything is promised.
    """
    shorter = range(min_frames, min(evaluation.lengths))[-DENSE:]
    if len(evaluation.lengths) < FEWEST or not shorter:
        return ()
    key = ("odd before", min_frames)
    if key not in evaluation.memo:
        looked_at = LookedAt(evaluation)
        odd = {o.frames for o in looked_at.odd(offline, looked_at.thin | looked_at.thick, shorter)}
        evaluation.memo[key] = tuple(n for n in sorted(odd & set(shorter)) if offline.accepts(n))
    found: tuple[int, ...] = evaluation.memo[key]
    return found


def worth_a_run(offline: Offline, evaluation: Evaluation, odd: Sequence[Odd]) -> list[int]:
    """Odd lengths within reach that were not evaluated and that the model takes, and those before them."""
    reach = reach_of(evaluation)
    wanted = sorted({n for o in odd if o.frames <= reach for n in (o.last, o.frames)} - set(evaluation.lengths))
    few = dict.fromkeys([*wanted[:MOST_AT_ONCE], *wanted[-MOST_AT_ONCE:]])
    return [n for n in few if offline.accepts(n)]


def with_end(offline: Offline, evaluation: Evaluation, odd: Sequence[Odd]) -> Evaluation:
    """The evaluation with a change at the first odd length beyond those evaluated.

    Errors:
        StreamError: among those evaluated are odd lengths still, that the model takes.
    """
    longest, slowest = max(evaluation.lengths), slowdown(evaluation)
    left = next((o for o in odd if o.frames > reach_of(evaluation) or offline.accepts(o.frames)), None)
    if left is not None and left.frames <= longest:
        raise StreamError(
            f"it changes with the length of the whole stream again and again, as at {left.frames} frames",
            node=left.node,
            hint=LIMIT_WAY_OUT,
        )
    ends = [Change(left.frames, left.node, exact=True, earliest=left.last + slowest)] if left is not None else []
    return replace(evaluation, changes=tuple(sorted((*evaluation.changes, *ends))))


def dense(evaluation: Evaluation, apart: int) -> list[int]:
    first = min(evaluation.lengths)
    return [first + apart * k for k in range(DENSE)]


def spread(evaluation: Evaluation, apart: int, reach: int, count: int, start: int = 0) -> list[int]:
    """Lengths of about one ratio to each other, of all remainders, from one that was evaluated on."""
    first = min(evaluation.lengths)
    start = max(start, first)
    ratio = math.log(max(reach, start) / start) / count
    places = [start * math.exp(ratio * (k + 1)) for k in range(count)]
    return sorted({first + (round(place) - first) // apart * apart for place in places})


class LookedAt:
    """The time-only tensors that tell what data meets, by how much there is of them.

    Those that grow no faster than the length are run at more lengths than tables of two times and what loops make.
    """

    def __init__(self, evaluation: Evaluation):
        self.evaluation = evaluation
        self.reach = max(reach_of(evaluation), *evaluation.lengths)
        self.nodes = evaluation.time_nodes
        self.maker = {t.name: n for n in self.nodes for t in n.outputs if t.name in evaluation.time_shapes}
        self.lines = dict(self.lines_of_shapes())
        untold: set[str] = set()
        large = {t.name for t in evaluation.graph.inputs if self.is_large(t.name)}
        self.looped: set[str] = set()
        for node in self.nodes:
            made = {t.name for t in node.outputs if t.name}
            read = {t.name for t in reads(node)}
            if read & untold or self.reads_untold_shape(node):
                untold |= made
            if read & large or any(self.is_large(name) for name in made):
                large |= made
            if read & self.looped or next(subgraphs(node), None) is not None:
                self.looped |= made
        everything_read = {t.name for n in evaluation.graph.nodes for t in reads(n)}
        ends = {name for name in self.maker if name not in everything_read}
        met = {name for name in evaluation.known if name in self.maker}
        makers = [n for n in self.nodes if any(t.name in large for t in n.outputs)]
        before_large = {t.name for n in makers for t in reads(n) if t.name in self.maker}
        told = (met | ends | before_large) - untold
        self.thin, self.thick = told - large, told & large

    def reads_untold_shape(self, node: Node) -> bool:
        read = node.inputs[0].name if node.op in SHAPE_OPS else ""
        return read in self.evaluation.carried and read not in self.lines

    def is_large(self, name: str) -> bool:
        """Whether it has many entries to a frame, or grows faster than the length and will have."""
        entries = [math.prod(s) for s in self.evaluation.time_shapes.get(name, ())]
        sizes = sorted((n, count) for n, count in zip(self.evaluation.lengths, entries, strict=False))
        if not sizes:
            return False
        (shortest, few), (longest, many) = sizes[0], sizes[-1]
        grows_faster = many * shortest > FASTER * max(few, 1) * longest
        return many * (self.reach / longest) ** (2 if grows_faster else 1) > THIN * self.reach

    def longest_of_thick(self) -> int:
        """The length at which the largest of these tensors has as many entries as are looked at."""
        longest = int(np.argmax(self.evaluation.lengths))
        frames = self.evaluation.lengths[longest]
        most = max((math.prod(s[longest]) for s in self.evaluation.time_shapes.values()), default=1)
        return max(frames, int(frames * math.sqrt(MOST_THICK / max(most, 1))))

    def lines_of_shapes(self) -> Iterator[tuple[str, list[Length]]]:
        """The lengths of each axis of tensors of data of which shapes are read, where they are rounded lines."""
        steps = likely_steps(self.evaluation.graph, self.evaluation.data)
        for name in {n.inputs[0].name for n in self.nodes if n.op in SHAPE_OPS} & self.evaluation.carried:
            shapes = self.evaluation.shapes.get(name, ())
            if len({len(s) for s in shapes}) == 1:
                found = [rounded_line(self.evaluation.lengths, sizes, steps) for sizes in zip(*shapes, strict=True)]
                lines = [line for line in found if line is not None]
                if len(lines) == len(found):
                    yield name, lines

    def odd(self, offline: Offline, names: set[str], lengths: Sequence[int], far: Sequence[int] = ()) -> list[Odd]:
        """The odd lengths among these; among far ones, where sizes may explode, only if there are none."""
        if not names:
            return []
        time = TimeOnly(self.evaluation, sorted(names), optimize=True)
        wanted = sorted(names & set(time.types))
        looks = {name: Look(self.evaluation, name) for name in wanted}
        found: list[Odd] = []
        for some in (sorted({*lengths, *self.evaluation.lengths}), far):
            if found or not some:
                break
            for frames in some:
                given = self.given(offline, time, frames)
                values = self.run(time, given, frames, wanted) if given is not None else None
                if values is not None:
                    for name, look in looks.items():
                        look.see(frames, values[name])
            odd = [(self.maker[name], look.odd(set(self.evaluation.lengths))) for name, look in looks.items()]
            found = [Odd(n, before, label(node)) for node, places in odd for before, n in places]
        return found

    def given(self, offline: Offline, time: TimeOnly, frames: int) -> dict[str, Array] | None:
        rng = np.random.default_rng(0)
        try:
            inputs = set(time.session.input_names) & set(offline.roles)
            return {name: offline.draw_input(name, frames, rng, 1.0) for name in inputs}
        except ValueError:
            return None

    def run(
        self, time: TimeOnly, given: Mapping[str, Array], frames: int, wanted: list[str]
    ) -> dict[str, Array] | None:
        shapes = {name: tuple(max(0, line.unclamped(frames)) for line in self.lines[name]) for name in time.shapes_read}
        try:
            return {k: np.asarray(v) for k, v in time.session.run(time.feed_of(given, shapes), wanted).items()}
        except RunError:
            return None
