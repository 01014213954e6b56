"""Reduces a model while it still fails in the same way, down to the first node at fault."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from graphc.diagnose.shrink import (
    Case,
    Shapes,
    shapes_of,
    shapes_once,
    size_of_case,
    with_inputs,
    with_output,
    without_node,
)
from graphc.ir.graph import proto_label
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.passes.plan import Plan
from graphc.passes.run_passes import Pipeline
from graphc.spec.schema import ValidateSpec
from graphc.spec.stream_schema import StreamSpec
from graphc.validate.run_streams import ValidationStream
from graphc_runtime.errors import GraphcError

DEEPEST_CUT = 24
MOST_BYPASSES = 300
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Failure:
    """How compiling fails: the kind of error, the pass, the op type of the node, and the stream."""

    kind: str
    culprit: str
    op: str
    text: str
    stream: ValidationStream | None = None

    def like(self, other: Failure | None) -> bool:
        return other is not None and (self.kind, self.culprit, self.op) == (other.kind, other.culprit, other.op)


@dataclass(frozen=True)
class Recipe:
    """The passes and the validation that a case goes through."""

    plan: Plan
    validation: ValidateSpec
    folder: Path

    def failure_of(self, case: Case) -> Failure | None:
        """How the passes fail on a case. None if all of them hold."""
        pipeline: Pipeline | None = None
        try:
            stream = self.stream_of(case)
            offline = None if stream is None else offline_of(case.model, stream)
            pipeline = Pipeline(case.model, self.plan, stream, self.validation, offline, folder=self.folder)
            pipeline.run()
        except GraphcError as err:
            op = re.search(r"\(([^()]+)\)$", err.node or "")
            culprit, trial = (pipeline.running, pipeline.failing) if pipeline is not None else ("", None)
            return Failure(type(err).__name__, culprit, op.group(1) if op else "", str(err), trial)
        return None

    def stream_of(self, case: Case) -> StreamSpec | None:
        """The stream section for a case. None if the passes end before the one that lifts the model."""
        lifts = any(p.instance.gives == "streaming" for p in self.plan.passes)
        return case.stream if case.stream is not None and (lifts or case.stream.states) else None

    def until(self, name: str) -> Recipe:
        """The recipe up to and including the pass ``name``."""
        names = [p.name for p in self.plan.passes]
        return replace(self, plan=replace(self.plan, passes=self.plan.passes[: names.index(name) + 1]))


@dataclass(frozen=True)
class Reduced:
    """The reduced case.

    Args:
        guilty: the node whose output is the first that fails, and that output.
        before: the number of nodes of the original model.
    """

    case: Case
    failure: Failure
    recipe: Recipe
    guilty: tuple[str, str]
    before: int


class Reducer:
    """Reduces a case while its failure stays the same."""

    def __init__(self, recipe: Recipe, failure: Failure, progress: Progress = lambda what, done, total: None):
        self.recipe, self.failure, self.progress = recipe, failure, progress
        self.tried = 0

    def fails(self, case: Case | None) -> bool:
        if case is None or not case.model.graph.node or not case.model.graph.input:
            return False
        self.tried += 1
        self.progress(f"{size_of_case(case)} nodes", self.tried, self.tried + 1)
        return self.failure.like(self.recipe.failure_of(case))

    def reduced(self, case: Case) -> Reduced:
        before = size_of_case(case)
        case = self.first_output(case)
        output = case.model.graph.output[0].name
        case = self.without_nodes(self.later_inputs(case))
        node = next(n for n in case.model.graph.node if output in n.output)
        last = self.recipe.failure_of(case) or self.failure
        named = proto_label(node)
        return Reduced(case, last, self.recipe, (named, output), before)

    def first_output(self, case: Case) -> Case:
        """The case cut down to the first tensor that fails. No input of the node that computes this tensor fails."""
        shapes = self.shapes(case)
        for output in [o.name for o in case.model.graph.output]:
            alone = with_output(case, output, shapes)
            if self.fails(alone):
                case = alone
                break
        else:
            return case
        names = [o for n in case.model.graph.node for o in n.output if o in shapes.shapes]
        low, high = 0, len(names) - 1
        while low < high:
            middle = (low + high) // 2
            candidate = with_output(case, names[middle], shapes)
            if self.fails(candidate):
                case, high = candidate, middle
            else:
                low = middle + 1
        while True:
            maker = next(n for n in case.model.graph.node if case.model.graph.output[0].name in n.output)
            earlier = [with_output(case, name, shapes) for name in maker.input if name in shapes.shapes]
            further = next((c for c in earlier if self.fails(c)), None)
            if further is None:
                return case
            case = further

    def later_inputs(self, case: Case) -> Case:
        """The case with the model's inputs as near to the output as possible, while the case still fails."""
        offline = self.offline(case)
        shapes = self.shapes(case)
        for depth in range(1, DEEPEST_CUT):
            names = frontier(case, depth, shapes)
            candidate = with_inputs(case, names, shapes, offline) if names and offline is not None else None
            if candidate is not None and size_of_case(candidate) < size_of_case(case) and self.fails(candidate):
                return candidate
        return case

    def without_nodes(self, case: Case) -> Case:
        """The case without the nodes that the failure does not need."""
        shapes = self.shapes(case)
        for output in [o for n in reversed(case.model.graph.node) for o in n.output][:MOST_BYPASSES]:
            candidate = without_node(case, output, shapes)
            if candidate is not None and self.fails(candidate):
                case = candidate
        return case

    def offline(self, case: Case) -> Offline | None:
        try:
            return None if case.stream is None else offline_of(case.model, case.stream)
        except GraphcError:
            return None

    def shapes(self, case: Case) -> Shapes:
        offline = self.offline(case)
        return shapes_once(case) if offline is None else shapes_of(offline)


def frontier(case: Case, depth: int, shapes: Shapes) -> Sequence[str]:
    """The tensors with a time axis that are ``depth`` nodes before the output."""
    makers = {o: n for n in case.model.graph.node for o in n.output}
    ports = {i.name for i in case.model.graph.input}
    level: set[str] = {case.model.graph.output[0].name}
    reached: set[str] = set()
    for _ in range(depth):
        level = {
            name for out in level if out in makers for name in makers[out].input if name in makers or name in ports
        }
        reached |= {n for n in level if n in ports}
    wanted = (level | reached) - ports
    return sorted(n for n in wanted if shapes.time_axis(n) is not None)


def first_failure(recipe: Recipe, case: Case) -> tuple[Failure, Recipe] | None:
    """How a case fails, and the recipe up to the pass that fails. None if all passes hold."""
    failure = recipe.failure_of(case)
    if failure is None:
        return None
    names = [p.name for p in recipe.plan.passes]
    return failure, recipe.until(failure.culprit) if failure.culprit in names else recipe
