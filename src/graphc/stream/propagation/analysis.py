"""What a lift needs to know of a model: facts and steps at a chunk that fits, and the lengths for which they hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.errors import AbsoluteTableError, ChunkMisfitError, LengthError, StreamError, TooShortError
from graphc.ir.graph import label
from graphc.offline.reference import Offline
from graphc.stream.evaluation.evaluate import evaluate, evaluate_also
from graphc.stream.evaluation.evaluated_lengths import MARGIN, lengths_around, lengths_from, lengths_tried, reach_of
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.evaluation.single_length import one_length_only
from graphc.stream.evaluation.wanted_tensors import longest
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.options import DEFAULT, LiftOptions
from graphc.stream.propagation.lowered_node import LoweredNode
from graphc.stream.propagation.propagate import Propagation
from graphc.stream.symbolic.domain.space import Patience
from graphc.stream.symbolic.proof import ENDLESS, Proof

LARGEST_CHUNK_MULTIPLE = 1_000_000
LONGEST_TABLE = 1000
MOST_ROUNDS = 6
LATER = (8, 64)
LONGEST_START = 2500
SCANNED = 64


@dataclass(frozen=True)
class Promise:
    """The lengths for which a lift holds.

    Args:
        min_frames, max_frames: the shortest and the longest stream; None for any.
        ended_by: the node that ends it; None where a table of positions or nothing does.
        continues: whether the streaming model needs nothing of what ends there.
        tried: tensors of which something is not proved, and why; empty where all is.
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
        """Whether this one holds for all lengths for which another does."""
        return self.min_frames <= other.min_frames and (self.max_frames or ENDLESS) >= (other.max_frames or ENDLESS)


@dataclass(frozen=True)
class Analysis:
    """The facts and steps of a graph at one chunk size.

    Args:
        chunk_multiple: the smallest chunk that fits; every multiple fits.
        steps: in topological order.
        proof: what the rules took to be true at every length.
        promise: the lengths for which it is.
        settings: under which it was made.
    """

    offline: Offline
    evaluation: Evaluation
    chunk: int
    chunk_multiple: int
    facts: Mapping[str, Fact]
    steps: Sequence[LoweredNode]
    proof: Proof
    promise: Promise
    settings: LiftOptions = DEFAULT


def analyse(
    offline: Offline, chunk: int | None = None, evaluation: Evaluation | None = None, settings: LiftOptions = DEFAULT
) -> Analysis:
    """Analyses a model at a chunk, or at the smallest that fits.

    Errors:
        StreamError: what cannot be streamed, with the node, the reason and the way out; a chunk that does not fit.
    """
    Patience.renew()
    study = Study(offline, evaluation or evaluate(offline), settings)
    offline.tester = study.evaluation.probe.gives_something
    try:
        return analysed(study, chunk)
    except ChunkMisfitError:
        raise
    except StreamError as err:
        refusal = one_length_only(offline, study.evaluation)
        later = from_a_length_on(study, chunk) if refusal is None and isinstance(err, LengthError) else None
        if later is not None:
            return later
        raise refusal or err from None
    finally:
        offline.tester = None
        study.evaluation.probe.held.clear()


def from_a_length_on(study: Study, chunk: int | None) -> Analysis | None:
    """The analysis of a model that does something else in short streams, such as padding them to a least length.

    It is judged at longer lengths, and holds where what the rules claim begins by proof.
    """
    offline = study.offline
    for factor in LATER:
        wanted = factor * min(study.evaluation.lengths)
        if wanted > LONGEST_START or not offline.accepts(wanted):
            return None
        later = Study(offline, evaluate(offline, wanted), study.settings, begins=True)
        try:
            found = analysed(later, chunk)
        except StreamError:
            continue
        finally:
            later.evaluation.probe.held.clear()
        proved = found.proof.is_possible and not found.proof.untold
        return found if proved and found.promise.is_wide else None
    return None


def analysed(study: Study, chunk: int | None) -> Analysis:
    settings = study.settings
    if settings.grid is not None:
        return study.decided(lambda: study.walk(chunk or settings.grid or 1, settings.grid or 1))
    smallest = study.decided(study.smallest)
    multiple, study.evaluation = smallest.chunk, smallest.evaluation
    if chunk is None or chunk == multiple:
        return smallest
    if chunk % multiple:
        below, above = chunk // multiple * multiple, math.ceil(chunk / multiple) * multiple
        near = f"{below} or {above}" if below else f"{above}"
        raise StreamError(
            f"a chunk of {chunk} frames does not fit this model",
            hint=f"the smallest chunk that fits is {multiple}; next to {chunk}: {near}",
        )
    try:
        return study.decided(lambda: study.walk(chunk, multiple))
    except ChunkMisfitError as err:
        raise StreamError(err.reason, node=err.node, hint=f"a multiple of {err.multiple} fits") from None


@dataclass
class Study:
    """Walks over a model, at more and more lengths until what they claim is decided.

    Args:
        absolute: score matrices that do not shift along.
        spread: whether lengths were tried for what no formula decides.
        begins: whether it may hold from a length on only.
    """

    offline: Offline
    evaluation: Evaluation
    settings: LiftOptions
    absolute: dict[str, AbsoluteTableError] = field(default_factory=dict)
    spread: bool = False
    begins: bool = False

    def decided(self, walk: Callable[[], Analysis]) -> Analysis:
        """What a walk finds once all that it claims is decided.

        Where a claim ends at some length within reach, the model is evaluated there too, and the rules judge again. A
        refusal at longer lengths leaves what holds before them.
        """
        enough, found = max(self.evaluation.lengths), self.shown(walk)
        for further in (self.lengths_behind, lengths_before):
            for _ in range(MOST_ROUNDS):
                more = further(found)
                if not more:
                    break
                before = self.evaluation
                self.evaluation = evaluate_also(before, more)
                try:
                    wider = self.shown(walk)
                except StreamError:
                    if (min(more) < enough and not self.begins) or found.proof.untold:
                        raise
                    self.evaluation = before
                    break
                if not wider.promise.covers(found.promise):
                    self.evaluation = before
                    break
                found = wider
        return found

    def lengths_behind(self, found: Analysis) -> tuple[int, ...]:
        """Longer lengths at which rules have not judged yet, though what they claimed ends there, or is not proved."""
        offline, evaluated, proof = self.offline, found.evaluation.lengths, found.proof
        if not proof.is_possible:
            return ()
        if proof.untold:
            tried = () if self.spread else lengths_tried(offline, found.evaluation, found.facts)
            self.spread = True
            suspects = [n for n in dict.fromkeys(proof.suspects) if n not in evaluated and 0 < n < max(evaluated)]
            return (*(n for n in suspects if offline.accepts(n)), *(n for n in tried if n > max(evaluated)))
        end = proof.end
        if (
            end.last >= min(ENDLESS, reach_of(found.evaluation, found.facts))
            or end.outside
            or end.last + 1 in evaluated
        ):
            return ()
        around = lengths_around(offline, end.last, found.facts)
        return tuple(n for n in dict.fromkeys(around) if n not in evaluated)

    def shown(self, walk: Callable[[], Analysis]) -> Analysis:
        """The same at lengths that show all of every limit."""
        most = self.settings.max_frames or 0
        while True:
            try:
                return walk()
            except AbsoluteTableError as err:
                if err.name in self.absolute:
                    raise
                self.absolute[err.name] = err
            except TooShortError as err:
                longest = max(self.evaluation.lengths)
                if err.frames >= LONGEST_TABLE and longest > most + MARGIN:
                    raise
                wanted = most + MARGIN if longest < most else 2 * longest
                more = lengths_from(self.offline, wanted)
                if not more:
                    raise
                self.evaluation = evaluate_also(self.evaluation, more)

    def smallest(self) -> Analysis:
        chunk = 1
        while True:
            try:
                return self.walk(chunk, chunk)
            except ChunkMisfitError as err:
                chunk = math.lcm(chunk, err.multiple)
                if chunk > LARGEST_CHUNK_MULTIPLE:
                    raise StreamError(
                        f"only chunks of {chunk} frames or more would fit",
                        node=err.node,
                        hint="make the model's strides divide each other",
                    ) from None

    def walk(self, chunk: int, multiple: int) -> Analysis:
        found = Propagation(self.offline, self.evaluation, chunk, settings=self.settings, absolute=self.absolute)
        found.run()
        promise = promise_of(found)
        facts, steps, proof = found.facts, found.steps, found.proof
        return Analysis(self.offline, self.evaluation, chunk, multiple, facts, steps, proof, promise, self.settings)


def lengths_before(found: Analysis) -> tuple[int, ...]:
    """The same of shorter lengths."""
    evaluated, first = found.evaluation.lengths, found.proof.start.first
    if not found.proof.is_possible or first <= start_of(found.facts, found.evaluation) or first - 1 in evaluated:
        return ()
    return tuple(n for n in (first - 1, first) if n not in evaluated and found.offline.accepts(n))


def promise_of(walk: Propagation) -> Promise:
    """The lengths for which what a walk claimed holds."""
    proof, evaluated = walk.proof, walk.evaluation.lengths
    start = max(start_of(walk.facts, walk.evaluation), proof.start.first)
    start = first_accepted(walk.offline, start, min(evaluated))
    end = proof.end
    bound = min((longest(length, frames) for length, frames in walk.bounds), default=None)
    most, by, continues = end.last, end.tensor, end.outside or end.rounded
    tried = dict(proof.untold)
    if tried or not proof.is_possible:
        seen = max(evaluated)
        if seen <= most:
            further = [n for k in (1, 2, 3, 4) for n in (k * seen, k * seen + 1) if n > seen]
            most, by = seen, next(iter(tried), "")
            continues = not any(walk.offline.accepts(n) for n in further)
    if bound is not None and bound <= most:
        most, by, continues = bound, "", False
    if most >= ENDLESS:
        return Promise(start)
    node = proof.formulas.made_by.get(by)
    return Promise(start, most, label(node) if node is not None else by or None, continues, tried)


def first_accepted(offline: Offline, first: int, accepted: int) -> int:
    """The first length from ``first`` on that the model takes; far below one that it does, by bisection."""
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
