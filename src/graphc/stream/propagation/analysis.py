"""What a lift needs to know of a model: facts and steps at a chunk that fits, and the lengths for which they hold."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from graphc.errors import AbsoluteTableError, ChunkMisfitError, LengthError, TooShortError
from graphc.ir.exported_labels import by_own_nodes
from graphc.offline.reference import Offline
from graphc.stream.evaluation.evaluate import evaluate, evaluate_also
from graphc.stream.evaluation.evaluated_lengths import (
    MARGIN,
    lengths_around,
    lengths_from,
    lengths_tried,
    longest_lengths,
    reach_of,
)
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.evaluation.single_length import one_length_only
from graphc.stream.facts.facts import Fact
from graphc.stream.lowering.options import DEFAULT, LiftOptions
from graphc.stream.propagation.lowered_node import LoweredNode
from graphc.stream.propagation.promise import LATER, Promise, promise_of, start_of
from graphc.stream.propagation.propagate import Propagation
from graphc.stream.symbolic.domain.space import Patience
from graphc.stream.symbolic.proof import Proof
from graphc.stream.symbolic.stretch import ENDLESS
from graphc_runtime.errors import StreamError

LARGEST_CHUNK_MULTIPLE = 1_000_000
LONGEST_TABLE = 1000
LEFT_OUT = (0, 1, 2, 4, 8, 16)
MOST_SHORT_LENGTHS = 64
MOST_ROUNDS = 6
LONGEST_START = 2500


@dataclass(frozen=True)
class Analysis:
    """The facts and steps of a graph at one chunk size.

    Args:
        chunk_multiple: the smallest chunk that fits; every multiple fits.
        steps: the lowered nodes, in topological order.
        proof: the claims that the rules made about every length.
        promise: the lengths for which these claims hold.
        settings: the settings under which the analysis was made.
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
    """Analyses a model at the chunk size ``chunk``; if that is None, at the smallest chunk that fits.

    Errors:
        StreamError: the model cannot be streamed (with node, reason and way out), or the chunk does not fit.
    """
    Patience.renew()
    study = Study(offline, evaluation or evaluate(offline), settings)
    offline.tester = study.evaluation.probe.gives_something
    try:
        found = analysed(study, chunk)
    except ChunkMisfitError:
        raise
    except StreamError as err:
        refusal = one_length_only(offline, study.evaluation)
        later = from_a_length_on(study, chunk) if refusal is None and isinstance(err, LengthError) else None
        if later is None:
            raise by_own_nodes(refusal or err, study.evaluation.source) from None
        found = later
    finally:
        offline.tester = None
        study.evaluation.probe.held.clear()
    return dataclasses.replace(found, promise=found.promise.by_own_nodes(found.evaluation.source))


def from_a_length_on(study: Study, chunk: int | None) -> Analysis | None:
    """The analysis of a model that treats short streams differently, such as padding them to a minimum length.

    The rules run on longer streams. The analysis holds from the first length at which the rules' claims are proved.
    None if there is no such analysis.
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
            hint=f"use a multiple of {multiple}, such as {near}",
        )
    try:
        return study.decided(lambda: study.walk(chunk, multiple))
    except ChunkMisfitError as err:
        raise StreamError(err.reason, node=err.node, hint=f"use a multiple of {err.multiple}") from None


@dataclass
class Study:
    """Analyses a model at more and more lengths, until every claim of the rules is decided.

    Args:
        absolute: score matrices that depend on absolute positions, by name, with the error that reported each.
        spread: whether lengths were already tried for claims that no formula decides.
        begins: whether the analysis may hold only from some length on.
        longest: whether the model accepts no lengths longer than those evaluated.
    """

    offline: Offline
    evaluation: Evaluation
    settings: LiftOptions
    absolute: dict[str, AbsoluteTableError] = field(default_factory=dict)
    spread: bool = False
    begins: bool = False
    longest: bool = False

    def decided(self, walk: Callable[[], Analysis]) -> Analysis:
        """The result of ``walk``, repeated at more lengths until all its claims are decided.

        If a claim stops holding at a length that can be evaluated, the model is evaluated there too, and the rules run
        again. If the rules refuse only because of the added lengths, the earlier result stays.
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
                    between = min(more) < enough and not self.begins and max(more) >= found.proof.start.first
                    if (between or found.proof.untold) and max(more) > min(before.lengths):
                        raise
                    self.evaluation = before
                    break
                if not wider.promise.covers(found.promise):
                    self.evaluation = before
                    break
                found = wider
        if found.proof.untold:
            found = self.at_short_lengths(found, walk)
        if found.promise.max_frames is not None and found.promise.max_frames < found.promise.min_frames:
            raise StreamError(
                f"the lift would hold from {found.promise.min_frames} frames on, but the model behaves differently "
                f"beyond {found.promise.max_frames} frames",
                node=found.promise.ended_by,
                hint="bound the numbers that are computed from the length here",
            )
        return found

    def at_short_lengths(self, found: Analysis, walk: Callable[[], Analysis]) -> Analysis:
        """The result with shorter lengths evaluated too, as evidence for a claim that is not proved; else ``found``.

        If the rules refuse with the shortest of these lengths, the walk is repeated without them.
        """
        before, first = self.evaluation, start_of(found.facts, found.evaluation)
        shorter = (n for n in range(first, min(before.lengths)) if self.offline.accepts(n))
        more = tuple(itertools.islice(shorter, MOST_SHORT_LENGTHS + 1))
        if len(more) > MOST_SHORT_LENGTHS:
            return found
        for left_out in (n for n in LEFT_OUT if n < len(more)):
            try:
                self.evaluation = evaluate_also(before, more[left_out:])
                wider = self.shown(walk)
            except StreamError:
                continue
            if wider.promise.covers(found.promise):
                return wider
        self.evaluation = before
        return found

    def lengths_behind(self, found: Analysis) -> tuple[int, ...]:
        """Lengths to evaluate next: around the length where a claim ends, or spread out if a claim is not proved."""
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
        """The result of ``walk``, at lengths long enough to show every limit that the rules look for."""
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
                more = lengths_from(self.offline, wanted) or longest_lengths(self.offline, longest, wanted)
                if not more and self.longest:
                    raise
                if not more:
                    self.longest = True
                    continue
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
                        f"the smallest chunk that fits has {chunk} frames or more, too many for one call",
                        node=err.node,
                        hint="choose strides and block sizes of the model that divide each other",
                    ) from None

    def walk(self, chunk: int, multiple: int) -> Analysis:
        found = Propagation(
            self.offline,
            self.evaluation,
            chunk,
            settings=self.settings,
            absolute=self.absolute,
            longest=self.longest,
        )
        found.run()
        promise = promise_of(found)
        facts, steps, proof = found.facts, found.steps, found.proof
        return Analysis(self.offline, self.evaluation, chunk, multiple, facts, steps, proof, promise, self.settings)


def lengths_before(found: Analysis) -> tuple[int, ...]:
    """A shorter length to evaluate next: the first length at which all claims hold, then the length before that."""
    evaluated, first = found.evaluation.lengths, found.proof.start.first
    if not found.proof.is_possible or first <= start_of(found.facts, found.evaluation) or first - 1 in evaluated:
        return ()
    more = (n for n in (first, first - 1) if n not in evaluated and found.offline.accepts(n))
    return tuple(more)[:1]
