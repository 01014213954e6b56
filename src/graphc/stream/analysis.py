"""What a lift needs to know of a model: facts and steps at a chunk that fits."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.errors import ChunkMisfitError, StreamError, TooShortError
from graphc.offline import Offline
from graphc.stream.evaluate import Evaluation, evaluate, evaluate_before
from graphc.stream.facts import Fact, Stream
from graphc.stream.farther import lengths_before, promised_frames
from graphc.stream.many_lengths import odd_before
from graphc.stream.settings import DEFAULT, Settings
from graphc.stream.thresholds import Change
from graphc.stream.walk import StepAt, Walk

LARGEST_CHUNK_MULTIPLE = 1_000_000
LONGEST_TABLE = 1000


@dataclass(frozen=True)
class Analysis:
    """The facts and steps of a graph at one chunk size.

    Args:
        chunk_multiple: the smallest chunk that fits; every multiple fits.
        steps: in topological order.
        max_frames: the longest stream that tables and late changes of the model allow; None for any.
        ended_by: the change that sets ``max_frames``; None where a table of positions or nothing does.
        settings: under which it was made.
    """

    offline: Offline
    evaluation: Evaluation
    chunk: int
    chunk_multiple: int
    facts: Mapping[str, Fact]
    steps: Sequence[StepAt]
    max_frames: int | None = None
    ended_by: Change | None = None
    settings: Settings = DEFAULT

    @property
    def min_frames(self) -> int:
        """The shortest stream in which no tensor is empty.

        onnxruntime's pools round toward zero, and so give one partial window where ONNX's formula gives none: shorter
        streams are outside the promise (docs/limits.md).
        """
        lengths = {f.length for f in self.facts.values() if isinstance(f, Stream)}
        longest = max(self.evaluation.lengths)
        return next(n for n in range(1, longest + 1) if n == longest or all(length(n) > 0 for length in lengths))


def analyse(
    offline: Offline, chunk: int | None = None, evaluation: Evaluation | None = None, settings: Settings = DEFAULT
) -> Analysis:
    """Analyses a model at a chunk, or at the smallest that fits.

    Errors:
        StreamError: what cannot be streamed, with the node, the reason and the way out; a chunk that does not fit.
    """
    evaluation = evaluation or evaluate(offline)
    most = settings.max_frames or 0
    while True:
        try:
            found = analysed(offline, chunk, evaluation, settings)
        except TooShortError as err:
            longest = max(evaluation.lengths)
            if err.frames >= LONGEST_TABLE and longest > most + 2 * (chunk or 1):
                raise
            wanted = most + 2 * (chunk or 1) + 1 if longest < most else 2 * longest
            evaluation = evaluate(offline, wanted, (min(evaluation.lengths),))
            if max(evaluation.lengths) <= longest:
                raise
            continue
        shortest = found.min_frames
        before = lengths_before(offline, evaluation, shortest) or odd_before(offline, evaluation, shortest)
        if not before:
            return found
        evaluation = evaluate_before(offline, evaluation, before)


def analysed(offline: Offline, chunk: int | None, evaluation: Evaluation, settings: Settings) -> Analysis:
    """The same at the lengths of one evaluation."""
    if settings.grid is not None:
        return walk(offline, evaluation, chunk or settings.grid, settings.grid, settings)
    multiple, at_smallest = smallest_fit(offline, evaluation, settings)
    if chunk is None or chunk == multiple:
        return at_smallest
    if chunk % multiple:
        below, above = chunk // multiple * multiple, math.ceil(chunk / multiple) * multiple
        near = f"{below} or {above}" if below else f"{above}"
        raise StreamError(
            f"a chunk of {chunk} frames does not fit this model",
            hint=f"the smallest chunk that fits is {multiple}; next to {chunk}: {near}",
        )
    try:
        return walk(offline, evaluation, chunk, multiple, settings)
    except ChunkMisfitError as err:
        raise StreamError(err.reason, node=err.node, hint=f"a multiple of {err.multiple} fits") from None


def smallest_fit(offline: Offline, evaluation: Evaluation, settings: Settings) -> tuple[int, Analysis]:
    chunk = 1
    while True:
        try:
            return chunk, walk(offline, evaluation, chunk, chunk, settings)
        except ChunkMisfitError as err:
            chunk = math.lcm(chunk, err.multiple)
            if chunk > LARGEST_CHUNK_MULTIPLE:
                raise StreamError(f"only chunks of {chunk} frames or more would fit", node=err.node) from None


def walk(offline: Offline, evaluation: Evaluation, chunk: int, multiple: int, settings: Settings) -> Analysis:
    found = Walk(offline, evaluation, chunk, settings=settings)
    found.run()
    max_frames, ended_by = promised_frames(offline, evaluation, found.max_frames)
    return Analysis(offline, evaluation, chunk, multiple, found.facts, found.steps, max_frames, ended_by, settings)
