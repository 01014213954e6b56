"""The lengths for which a lift holds: those that its claims prove and that the offline model accepts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import onnx

from graphc.ir.exported_labels import ExportedLabels
from graphc.ir.graph import label
from graphc.offline.reference import Offline
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.evaluation.wanted_tensors import longest
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.propagation.propagate import Propagation
from graphc.stream.symbolic.stretch import ENDLESS

LATER = (8, 64)
SCANNED = 64


@dataclass(frozen=True)
class Promise:
    """The lengths for which a lift holds.

    Args:
        min_frames: the shortest stream, in input frames.
        max_frames: the longest stream, in input frames; None if there is no limit.
        ended_by: the node that sets the longest stream; None if a table of positions sets it, or if nothing does.
        continues: whether a stream may go on after ``max_frames``: nothing that the streaming model needs ends there.
        tried: tensors about which a claim is not proved, with the reason; empty if all claims are proved.
    """

    min_frames: int = 1
    max_frames: int | None = None
    ended_by: str | None = None
    continues: bool = True
    tried: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_wide(self) -> bool:
        """Whether the longest stream is several times the shortest."""
        return (self.max_frames or ENDLESS) >= LATER[0] * self.min_frames

    def covers(self, other: Promise) -> bool:
        """Whether this promise holds for all lengths for which ``other`` holds."""
        return self.min_frames <= other.min_frames and (self.max_frames or ENDLESS) >= (other.max_frames or ENDLESS)

    def by_own_nodes(self, model: onnx.ModelProto) -> Promise:
        """The promise with nodes of the model file named in place of nodes that a rewrite added."""
        if self.ended_by is None and not self.tried:
            return self
        labels = ExportedLabels(model)
        tried = {name: labels.told(reason) for name, reason in self.tried.items()}
        return replace(self, ended_by=self.ended_by and labels.told(self.ended_by), tried=tried)


def promise_of(walk: Propagation) -> Promise:
    """The lengths for which the claims of a walk hold."""
    proof, evaluated = walk.proof, walk.evaluation.lengths
    start = max(start_of(walk.facts, walk.evaluation), proof.start.first)
    start = first_accepted(walk.offline, start, min(evaluated))
    end = proof.end
    bound = min((longest(length, frames) for length, frames in walk.bounds), default=None)
    most, by, continues = end.last, end.tensor, end.outside or end.rounded
    tried = dict(proof.untold)
    if tried:
        start = max(start, min(evaluated))
    if tried or not proof.is_possible:
        seen = max(evaluated)
        if seen <= most:
            further = [n for k in (1, 2, 3, 4) for n in (k * seen, k * seen + 1) if n > seen]
            most, by = seen, next(iter(tried), "")
            continues = not any(walk.offline.accepts(n) for n in further)
    for rounding, (length, frames) in walk.roundings.items():
        if (exact := longest(length, frames)) < most:
            most, by, continues = exact, rounding, True
    if bound is not None and bound <= most:
        most, by, continues = bound, "", False
    if most >= ENDLESS:
        return Promise(start)
    node = proof.formulas.made_by.get(by)
    return Promise(start, most, label(node) if node is not None else by or None, continues, tried)


def first_accepted(offline: Offline, first: int, accepted: int) -> int:
    """The first length from ``first`` on that the model accepts; found by bisection if it is far above ``first``."""
    for frames in range(first, min(accepted, first + SCANNED)):
        if offline.accepts(frames):
            return frames
    low, high = first + SCANNED - 1, accepted
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offline.accepts(middle) else (middle, high)
    return max(high, first)


def start_of(facts: Mapping[str, Fact], evaluation: Evaluation) -> int:
    """The shortest stream in which no tensor is empty.

    onnxruntime's pools round toward zero, and so give one partial window where ONNX's formula gives none: shorter
    streams are outside the promise (docs/limits.md).
    """
    lengths = {f.length for f in facts.values() if isinstance(f, Stream)}
    longest = max(evaluation.lengths)
    return next(n for n in range(1, longest + 1) if n == longest or all(length(n) > 0 for length in lengths))
