"""One forward walk over an evaluated graph: a fact for each data tensor, a lowering for each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import numpy as np

from graphc.contract.length import Length
from graphc.errors import AbsoluteError, AbsoluteTableError, TooShortError
from graphc.ir.graph import Constant, Node, Tensor, Variable, captured, label, opset_of
from graphc.ir.weights.made_weights import constant_nodes
from graphc.offline.reference import Offline
from graphc.spec.input_roles import StateRole
from graphc.stream.boundary.head_and_tail import check_heads, with_surroundings
from graphc.stream.evaluation.evaluate import values_of
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.evaluation.wanted_tensors import input_fact, refuse_table, sized_tensors, wanted_tensors
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.options import DEFAULT, LiftOptions
from graphc.stream.lowering.refusals import DECISION, PATTERN
from graphc.stream.positions.absolute_tables import table_from_clock
from graphc.stream.positions.position_constants import Positions
from graphc.stream.positions.position_steps import Made
from graphc.stream.propagation.carry_first_frame import with_held_frames
from graphc.stream.propagation.claims import claim_step
from graphc.stream.propagation.dispatch import step_of
from graphc.stream.propagation.finite import is_aligned, keeps_finite, lower_bound
from graphc.stream.propagation.lowered_node import LoweredNode
from graphc.stream.symbolic.formulas import Formulas
from graphc.stream.symbolic.proof import Proof
from graphc.stream.symbolic.queries.questions import Steady
from graphc_runtime.errors import StreamError


@dataclass
class Propagation:
    """The walk over one evaluated graph at one chunk size. The graph is not changed.

    Args:
        facts: the facts of all tensors so far, by name.
        steps: the lowered nodes, in topological order.
        finite: tensors that are finite even in frames that do not exist.
        absolute: score matrices that depend on absolute positions, by name, with the error that reported each.
        lowest: lower bounds of tensors, even in frames that do not exist. A delay line may add zeros below the bound.
        longest: whether the model accepts no lengths longer than those evaluated.
        bounds: pairs (length, frames): a tensor of this length may have at most ``frames`` frames, the size of a table.
        roundings: where each node, by its label, begins to round (``Lowering.rounded_beyond``).
    """

    offline: Offline
    evaluation: Evaluation
    chunk: int
    facts: dict[str, Fact] = field(default_factory=dict)
    steps: list[LoweredNode] = field(default_factory=list)
    lengths: dict[Length, None] = field(default_factory=dict)
    bounds: list[tuple[Length, int]] = field(default_factory=list)
    roundings: dict[str, tuple[Length, int]] = field(default_factory=dict)
    settings: LiftOptions = DEFAULT
    absolute: Mapping[str, AbsoluteTableError] = field(default_factory=dict)
    longest: bool = False
    finite: set[str] = field(default_factory=set)
    lowest: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Walks all nodes that an output depends on.

        Errors:
            StreamError: a node cannot be streamed, the chunk does not fit, or the lengths are too short to decide.
        """
        evaluation = self.evaluation
        formulas = Formulas(
            evaluation.graph,
            self.offline,
            self.facts,
            evaluation.dtypes,
            evaluation.carried,
            evaluation.shared,
            lambda name: values_of(evaluation, name)[name].values[0],
        )
        fixed = {t.name for node in constant_nodes(evaluation.graph)[0] for t in node.outputs if t.name}
        self.proof = Proof(formulas, evaluation.lengths, evaluation.known, fixed, bool(evaluation.conditions))
        self.positions = Positions(evaluation, self.settings.grid or self.chunk, self.proof)
        for name in self.offline.roles:
            if name in evaluation.carried:
                self.note(name, input_fact(self.offline, evaluation, name))
                if not isinstance(self.offline.roles[name], StateRole):
                    self.finite.add(name)
        wanted, sized = wanted_tensors(evaluation), sized_tensors(evaluation)
        for node in evaluation.graph.nodes:
            if any(t.name in wanted for t in node.outputs):
                self.take(node)
            elif any(t.name in sized for t in node.outputs):
                self.look_at(node)
        for port in self.evaluation.graph.outputs:
            refuse_table(port, self.facts.get(port.name))
        self.claim_fixed()

    def claim_fixed(self) -> None:
        """Claims that conditions, patterns that rewrites rely on, and steady outputs are the same at every length."""
        self.proof.begin()
        made, known = self.proof.formulas.made_by, self.evaluation.known
        self.refuse_changes()
        steady = [t.name for t in self.evaluation.graph.outputs if t.name in known and known[t.name].steady is not None]
        for name in (*self.evaluation.conditions, *self.evaluation.patterns, *steady):
            if name in made:
                self.proof.claim(name, Steady())
        self.proof.commit()

    def refuse_changes(self) -> None:
        """Refuses conditions and patterns that change with the length.

        Errors:
            StreamError: a condition or a pattern that a rewrite relies on changes between the lengths evaluated.
        """
        evaluation, made = self.evaluation, self.proof.formulas.made_by
        names = [n for n in (*evaluation.conditions, *evaluation.patterns) if n in made]
        key = ("decides", *names)
        if names and key not in evaluation.memo:
            values = values_of(evaluation, *names)
            evaluation.memo[key] = next((n for n in names if values[n].steady is None), None)
        changing = evaluation.memo[key] if names else None
        if changing is not None:
            reason, hint = DECISION if changing in evaluation.conditions else PATTERN
            raise StreamError(reason, node=label(made[changing]), hint=hint)

    def look_at(self, node: Node) -> None:
        """Notes the facts of tensors that are read only for their size; skips a node that cannot be streamed."""
        if any(t.name in self.evaluation.carried and t.name not in self.facts for t in node.inputs):
            return
        self.proof.begin()
        try:
            found = step_of(node, self.facts_of(node, node.inputs)).facts
        except StreamError:
            return
        self.proof.commit()
        for tensor, fact in zip(node.outputs, found, strict=False):
            if tensor.name and fact is not None:
                self.note(tensor.name, fact)

    def note(self, name: str, fact: Fact) -> None:
        self.facts[name] = fact
        if isinstance(fact, Stream):
            self.lengths.setdefault(fact.length)

    def take(self, node: Node) -> None:
        """Lowers a node. Constants that depend on the frame's position first become streams made from the clock."""
        inputs = [self.table_from_clock(t) if t.name in self.absolute else t for t in node.inputs]
        refusal: StreamError | None = None
        while True:
            facts = self.facts_of(node, inputs)
            self.proof.begin()
            try:
                step = step_of(node, facts)
                break
            except AbsoluteError as err:
                self.proof.begin()
                inputs[err.index] = self.from_clock(node, inputs[err.index], err)
                self.proof.commit()
            except StreamError as err:
                held = with_held_frames(node, inputs, self.facts, self.place)
                if held == inputs:
                    raise refusal or err from None
                inputs, refusal = held, err
        if step.local:
            step = with_surroundings(node, facts, step)
        lowest = self.lowest if is_aligned(facts.inputs, step.facts) else {}
        if keeps_finite(node, self.finite, self.evaluation.known, lowest):
            self.finite.update(t.name for t in node.outputs if t.name)
        bound = lower_bound(node, lowest, self.evaluation.known)
        if bound is not None:
            self.lowest.update({t.name: bound for t in node.outputs if t.name})
        self.place(LoweredNode(node, step, tuple(inputs), tuple(node.outputs)))
        claim_step(node, facts, self.facts, self.proof)
        self.proof.commit()

    def place(self, placed: LoweredNode) -> None:
        check_heads(placed.node, placed.step)
        for tensor, fact in zip(placed.outputs, placed.step.facts, strict=False):
            if tensor.name and fact is not None:
                self.note(tensor.name, fact)
        self.steps.append(placed)
        attention = placed.step.attention
        if attention is not None and attention.max_frames is not None:
            self.bounds.append((Length(), attention.max_frames))
        if placed.step.rounded_beyond is not None:
            self.roundings[label(placed.node)] = placed.step.rounded_beyond

    def from_clock(self, node: Node, tensor: Tensor, err: AbsoluteError) -> Tensor:
        """The stream, computed in every call from the clock, that replaces a constant.

        Errors:
            AbsoluteError: the continuation of the constant is unknown.
            TooShortError: longer lengths would show how the constant's first frames differ from the later ones.
        """
        assert isinstance(err.time, Stream)
        made = self.positions.made(tensor.name, err.time)
        if made is None and self.positions.may_have_ends(tensor.name, err.time):
            raise TooShortError(err.reason, max(self.evaluation.lengths), err.node, err.hint)
        return self.made_anew(made, err)

    def table_from_clock(self, tensor: Tensor) -> Tensor:
        """The score matrix, computed in every call from the positions on its two time axes, that replaces a constant.

        Errors:
            AbsoluteTableError: the continuation of the table is unknown.
        """
        err = self.absolute[tensor.name]
        self.proof.begin()
        times = cast(tuple[Stream, Stream], err.times)
        found = self.made_anew(table_from_clock(self.positions, tensor.name, times), err)
        self.proof.commit()
        return found

    def made_anew(self, made: Made | None, err: StreamError) -> Tensor:
        """Adds the steps that recompute a constant in every call, and returns the result; raises ``err`` if none do."""
        if made is None:
            raise err
        for position in made.steps:
            if position.outputs[0].name in self.facts:
                continue
            known = {t.name: f for t, f in zip(position.inputs, position.facts, strict=True) if f is not None}
            if position.step is None:
                facts = self.facts_of(position.node, position.inputs, {**known, **self.facts}, position.values)
                step = step_of(position.node, facts)
                step = position.clamps(with_surroundings(position.node, facts, step) if step.local else step)
            else:
                step = position.step
            if not isinstance(step.facts[0], Stream | ScoreMatrix):
                raise err
            self.place(LoweredNode(position.node, step, tuple(position.inputs), tuple(position.outputs)))
        self.bounds += made.bounds
        return Variable(made.name)

    def facts_of(
        self,
        node: Node,
        inputs: Sequence[Tensor],
        facts: Mapping[str, Fact] | None = None,
        values: Mapping[str, TimeConstant] | None = None,
    ) -> Facts:
        """The facts about a node that a rule gets.

        Args:
            values: the values of time-only tensors that the evaluation does not have.
        """
        evaluation = self.evaluation
        facts, values = self.facts if facts is None else facts, values or {}

        def fact_of(tensor: Tensor) -> Fact | None:
            return (facts.get(tensor.name) or evaluation.known.get(tensor.name)) if tensor.name else None

        def shapes_of(tensor: Tensor) -> tuple[tuple[int, ...], ...]:
            if tensor.name in evaluation.shapes and tensor.name not in values:
                return evaluation.shapes[tensor.name]
            if isinstance(tensor, Constant):
                return (tuple(tensor.shape),) * len(evaluation.lengths)
            known = values.get(tensor.name) or facts.get(tensor.name) or evaluation.known.get(tensor.name)
            return tuple(v.shape for v in known.values) if isinstance(known, TimeConstant) else ()

        def dtype_of(tensor: Tensor) -> np.dtype[np.generic]:
            known = values.get(tensor.name)
            return known.values[0].dtype if known else evaluation.dtypes.get(tensor.name, np.dtype(np.float32))

        given = tuple(fact_of(t) for t in inputs)
        for tensor, fact in zip(inputs, given, strict=True):
            if tensor.name and fact is None and not isinstance(tensor, Constant):
                raise StreamError(
                    f"reads '{tensor.name}', whose frames cannot be traced, as those of a sequence of tensors",
                    node=label(node),
                    hint="use tensors instead of a Python list, or a list that starts empty and takes every frame",
                )
        outer = {t.name: fact for t in captured(node) if (fact := fact_of(t)) is not None}
        model = self.offline.model
        return Facts(
            node,
            given,
            self.chunk,
            opset_of(model),
            evaluation.lengths,
            tuple(shapes_of(t) for t in node.inputs),
            tuple(shapes_of(t) for t in node.outputs),
            tuple(dtype_of(t) for t in node.outputs),
            outer,
            tuple(model.opset_import),
            model.ir_version,
            tuple(self.lengths),
            tuple(t.name for t in inputs),
            evaluation.memo,
            self.settings,
            self.finite,
            self.proof,
            self.longest,
        )
