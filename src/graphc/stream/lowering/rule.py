"""What a streaming rule is, the registry of rules, and the forms that families of ops share."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any, NoReturn

import numpy as np

from graphc.contract.length import Length
from graphc.errors import AbsoluteError, ChunkMisfitError, GraphcError, StreamError
from graphc.ir.graph import Node, Tensor, label, op_of
from graphc.stream.facts.facts import Array, Fact, Known, Origin, Site, Static, Stream
from graphc.stream.lowering.builder import Builder, frames_in_chunk
from graphc.stream.lowering.options import DEFAULT, Settings
from graphc.stream.symbolic.domain.lengths import length_of
from graphc.stream.symbolic.domain.space import NoFormulaError, bounded
from graphc.stream.symbolic.proof import Proof, Query
from graphc.stream.symbolic.queries.questions import Kept, Periodic

Emit = Callable[[Builder, Sequence[Tensor | None]], Sequence[Tensor | None]]


@dataclass(frozen=True)
class Context:
    """The frames that an attention sees.

    Args:
        left: of its keys, before a query's own frame, at most.
        right: after it, at most.
        period: queries after which what they see repeats.
        sites: where its scores became weights.
        max_frames: the longest stream for which this holds, in input frames; None for any.
    """

    left: int
    right: int
    period: int
    sites: tuple[Site, ...]
    max_frames: int | None = None


@dataclass(frozen=True)
class StreamStep:
    """What a node becomes in the stream.

    Args:
        facts: one for each output of the node.
        emit: builds the nodes of one call. It takes the builder and the inputs of one call (None where an input is
            omitted or changes with the length of the stream) and returns the outputs.
        attention: what it sees, where it attends.
        local: each output frame depends on the same input frames at every place, and on no other: head and tail are
            then carried through by evaluation.
    """

    facts: tuple[Fact | None, ...]
    emit: Emit
    local: bool = False
    attention: Context | None = None


@dataclass(frozen=True)
class Facts:
    """What a rule knows of its node: the facts of the inputs, and the offline shapes of the outputs.

    Args:
        inputs: one for each input; None where it is omitted.
        chunk: frames of the stream input in a call.
        opset: of ONNX's own domain.
        lengths: the lengths at which the graph was evaluated.
        input_shapes: for each input its offline shape at each of the lengths.
        output_shapes: for each output its offline shape at each of the lengths; empty where it is omitted.
        dtypes: for each output its dtype.
        captured: facts of the outer tensors that subgraphs read, by name.
        domains: the model's opset imports.
        known_lengths: the lengths of all streams so far.
        names: for each input the name under which one call has it.
        memo: what was found out about constants, shared by all nodes.
        settings: what the user asked for.
        finite: tensors that are finite even in frames that do not exist.
        proof: where a rule claims what it takes to be true at every length.
    """

    node: Node
    inputs: tuple[Fact | None, ...]
    chunk: int
    opset: int
    lengths: tuple[int, ...]
    input_shapes: tuple[tuple[tuple[int, ...], ...], ...]
    output_shapes: tuple[tuple[tuple[int, ...], ...], ...]
    dtypes: tuple[np.dtype[np.generic], ...]
    captured: dict[str, Fact]
    domains: tuple[Any, ...]
    ir_version: int
    known_lengths: tuple[Length, ...] = ()
    names: tuple[str, ...] = ()
    memo: dict[Any, Any] = field(default_factory=dict)
    settings: Settings = DEFAULT
    finite: Set[str] = frozenset()
    proof: Proof | None = None

    def __getitem__(self, index: int) -> Fact | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def __len__(self) -> int:
        return len(self.inputs)

    def claim(self, index: int, query: Query) -> None:
        """Claims something of an input that depends on time alone, for every length."""
        fact = self.inputs[index]
        if self.proof is not None and isinstance(fact, Known) and fact.name:
            self.proof.claim(fact.name, query)

    def claim_kept(self, axis: int, start: int, steps: Mapping[int, int], output: int = 0) -> None:
        """Claims which frames of its stream the node keeps.

        Args:
            axis: of time in the stream.
            start: the first frame.
            steps: for axes of the output, frames from one place to the next.
        """
        name = self.node.outputs[output].name
        follows = {f.name for f in self.inputs if isinstance(f, Known) and f.name and f.steady is None}
        if self.proof is None or not follows:
            return
        self.proof.claimed |= follows
        try:
            made = self.proof.formulas.made(self.node, name)
        except NoFormulaError as err:
            self.proof.doubt(name, str(err))
        else:
            self.proof.check(name, made, Kept(axis, start, tuple(sorted(steps.items()))))

    def doubt(self, index: int, reason: str) -> None:
        """Notes that what a rule makes of an input is not proved."""
        fact = self.inputs[index]
        if self.proof is not None and isinstance(fact, Known) and fact.name:
            self.proof.doubt(fact.name, reason)

    def proved_length(self, axis: int, rate: Fraction, output: int = 0) -> Length | None:
        """The length of an output's axis as its formula tells; None where there is none, or it has another rate."""
        if self.proof is None or not self.proof.is_possible:
            return None
        try:
            size = self.proof.formulas.made(self.node, self.node.outputs[output].name).sizes[axis]
            length = bounded(lambda: length_of(size))
        except NoFormulaError:
            return None
        if length is None or length.rate != rate or any(mul <= 0 for mul, _, _ in length.steps):
            return None
        seen = zip(self.lengths, self.output_shapes[output], strict=True)
        return length if all(length(n) == shape[axis] for n, shape in seen) else None

    def streams(self) -> list[tuple[int, Stream]]:
        return [(i, f) for i, f in enumerate(self.inputs) if isinstance(f, Stream)]

    def stream(self, index: int = 0) -> Stream:
        """The stream at an input; refuses where another kind of tensor stands there."""
        fact = self[index]
        if not isinstance(fact, Stream):
            self.refuse(f"its input {index} does not carry stream time, as another does", "feed the stream there")
        return fact

    def only_stream(self, index: int = 0) -> Stream:
        """The stream at an input, where no other input is one."""
        if any(i != index for i, _ in self.streams()):
            self.refuse("a second input carries stream time", "make that input a constant")
        return self.stream(index)

    def array(self, index: int, what: str = "an argument") -> Array | None:
        """The value of an input that is the same at every length; None where it is omitted.

        Refuses an input that depends on data or on the length of the stream.
        """
        fact = self[index]
        if fact is None:
            return None
        if not isinstance(fact, Known):
            self.refuse(f"{what} depends on data", "export it as a constant")
        if fact.steady is None:
            self.refuse(f"{what} depends on the length of the whole stream", "make it a constant")
        return fact.steady

    def argument(self, name: str, index: int) -> Any:
        """A list of numbers that is an attribute in some opsets and an input in others; None where it is omitted."""
        if name in self.node.attrs:
            return self.node.attrs[name]
        value = self.array(index, f"'{name}'")
        return None if value is None else np.atleast_1d(value).tolist()

    @property
    def grid(self) -> int:
        """Input frames of which every call takes a multiple: the chunk, where that is fixed."""
        return self.settings.grid or self.chunk

    def frames(self, stream: Stream) -> int:
        try:
            return frames_in_chunk(self.chunk, stream)
        except ChunkMisfitError as err:
            raise ChunkMisfitError(err.multiple, err.reason, node=label(self.node)) from None

    def out(
        self, x: Stream, axis: int, index: int = 0, *, delay: int | None = None, length: Length | None = None
    ) -> Stream:
        """The fact of an output that carries time on ``axis``; checked against the offline shapes.

        Refuses where an axis other than time changes with the length, or time has another length than the rule says.
        """
        length = x.length if length is None else length
        shapes = self.output_shapes[index]
        for frames, shape in zip(self.lengths, shapes, strict=True):
            if not 0 <= axis < len(shape) or shape[axis] != length(frames):
                self.refuse(
                    f"its output has the shape {list(shape)} for {frames} frames; {length(frames)} frames on axis "
                    f"{axis} are what a stream would give",
                    "report this model: no rule explains this shape",
                )
        shape = tuple(-1 if i == axis else size for i, size in enumerate(shapes[0]))
        if any(tuple(-1 if i == axis else size for i, size in enumerate(other)) != shape for other in shapes[1:]):
            self.refuse(f"an axis other than time ({axis}) changes with the length of the stream")
        rate = length.rate or x.rate
        stream = Stream(axis, rate, x.delay if delay is None else delay, length, shape, self.dtypes[index])
        self.frames(stream)
        return stream

    def misfit(self, frames: int, stream: Stream, reason: str) -> NoReturn:
        """Says that a chunk has to give a multiple of so many frames of a stream.

        Errors:
            ChunkMisfitError: always.
        """
        raise ChunkMisfitError((frames / stream.rate).numerator, reason, node=label(self.node))

    def refuse(self, reason: str, hint: str | None = None) -> NoReturn:
        raise StreamError(reason, node=label(self.node), hint=hint)


Rule = Callable[[Node, Facts], StreamStep]
RULES: dict[str, tuple[Rule, str]] = {}


def stream_rule(*ops: str) -> Callable[[Rule], Rule]:
    """Registers a rule for op types; an op of another domain is written ``domain::Op``.

    Errors:
        GraphcError: two rules for one op; names both owners.
    """

    def register(rule: Rule) -> Rule:
        owner = f"{rule.__module__}.{rule.__name__}"
        for op in ops:
            other = RULES.get(op)
            if other is not None and other[1] != owner:
                raise GraphcError(f"two streaming rules for {op}: {other[1]} and {owner}", hint="uninstall one of them")
            RULES[op] = (rule, owner)
        return rule

    return register


TWO_TIME_RULES: dict[str, Rule] = {}


def two_time_rule(*ops: str) -> Callable[[Rule], Rule]:
    """Registers the rule that op types follow where an input is a table of two times."""

    def register(rule: Rule) -> Rule:
        TWO_TIME_RULES.update(dict.fromkeys(ops, rule))
        return rule

    return register


@cache
def load_rules() -> None:
    """Imports graphc's own rules, once."""
    package = importlib.import_module("graphc.stream.rules")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"graphc.stream.rules.{module.name}")


def rule_for(op: str, two_times: bool = False) -> Rule | None:
    """The rule of an op type; that for tables of two times, where an input is one."""
    load_rules()
    if two_times:
        return TWO_TIME_RULES.get(op)
    found = RULES.get(op)
    return found[0] if found else None


# Forms that families share


def copied(node: Node, facts: Facts, attrs: dict[str, Any] | None = None) -> Emit:
    """The node as it is, its stream inputs brought to one delay and its constants cut to the chunk."""
    delay = common_delay(facts)
    return lambda b, x: b.copy(node, brought_to(b, facts, x, delay), attrs)


def brought_to(b: Builder, facts: Facts, inputs: Sequence[Tensor | None], delay: int) -> list[Tensor | None]:
    """The inputs of one call, all streams among them at one delay."""
    brought = list(inputs)
    for index, stream in facts.streams():
        tensor = brought[index]
        assert tensor is not None
        brought[index] = b.delayed(tensor, stream, delay)
    return brought


def common_delay(facts: Facts) -> int:
    """The delay at which all stream inputs of a node meet: the latest."""
    return max(stream.delay for _, stream in facts.streams())


def same_length(facts: Facts) -> Stream:
    """The first stream input, where all have the same rate and length; at their common delay."""
    (_, first), *others = facts.streams()
    for _, other in others:
        if other.rate != first.rate:
            facts.refuse(f"joins streams of different rates ({first.rate} and {other.rate} a frame)")
        if any(other.length(n) != first.length(n) for n in facts.lengths):
            facts.refuse("joins streams of different lengths")
        if facts.proof is not None:
            facts.proof.same_lengths(label(facts.node), first.length, other.length)
    return first.at(common_delay(facts))


def frame_by_frame(node: Node, facts: Facts) -> StreamStep:
    """Every output frame depends on the input frames at its own place: elementwise ops, with broadcasting."""
    if len({stream.from_right for _, stream in facts.streams()}) > 1 or second_time(facts) is not None:
        two_times = rule_for(op_of(node), two_times=True)
        assert two_times is not None
        return two_times(node, facts)
    x = same_length(facts)
    cuts = {i: cut_to_chunk(facts, i, x) for i, f in enumerate(facts.inputs) if isinstance(f, Known)}
    if any(varies for _, varies in cuts.values()) and x.delay < 0:
        x = x.at(0)
    cuts = {i: cut_to_chunk(facts, i, x) for i in cuts}
    check_static(facts, x)
    outputs = tuple(
        facts.out(x, len(shapes[0]) - x.from_right, i) if shapes else None
        for i, shapes in enumerate(facts.output_shapes)
    )

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        given = brought_to(b, facts, inputs, x.delay)
        for index, (value, _) in cuts.items():
            known = facts[index]
            assert isinstance(known, Known)
            if given[index] is None or value is not known.steady:
                given[index] = b.constant(value, f"{node.inputs[index].name}/chunk")
        return b.copy(node, given)

    return StreamStep(outputs, emit, local=True)


def is_elementwise(node: Node) -> bool:
    """Whether a node works on each element alone, with broadcasting."""
    return rule_for(op_of(node)) is frame_by_frame


def second_time(facts: Facts) -> int | None:
    """Another axis than the streams', counted from the right, on which a constant has an entry for every frame too."""
    (_, x), *_ = facts.streams()
    for fact in facts.inputs:
        if not isinstance(fact, Known) or fact.steady is not None or fact.values[0].ndim < x.from_right:
            continue
        shapes = [v.shape for v in fact.values]
        sizes = {a: [s[a] for s in shapes] for a in range(len(shapes[0]))}
        wanted = [x.length(n) for n in facts.lengths]
        grown = [len(sizes) - a for a, found in sizes.items() if found == wanted and len(set(found)) > 1]
        if x.from_right in grown and len(grown) == 2:
            return next(r for r in grown if r != x.from_right)
    return None


def check_static(facts: Facts, x: Stream) -> None:
    """Refuses a tensor without time that has as many entries as there are frames where time stands."""
    for index, fact in enumerate(facts.inputs):
        if isinstance(fact, Static):
            refuse_moving(facts, fact)
            if len(fact.shape) >= x.from_right and fact.shape[-x.from_right] != 1:
                facts.refuse(f"its input {index} has a value for each frame but does not come from the stream")


def refuse_moving(facts: Facts, fact: Static) -> None:
    """Refuses a value that changes from call to call where offline it is one value for the whole stream."""
    if fact.origin is Origin.GIVEN:
        facts.refuse(
            "reads a given state at every frame, where only a recurrence may start from it",
            "a model that already carries all its states needs no lift_state",
        )
    if fact.origin is Origin.FINAL:
        facts.refuse(
            "reads the state after the last frame, which a stream never reaches",
            "return the outputs of every frame, or set stream.window to stream over the last N frames",
        )


def cut_to_chunk(facts: Facts, index: int, x: Stream, extra: int = 0) -> tuple[Array, bool]:
    """A known operand as one chunk meets it, and whether it changes from frame to frame.

    Steady operands are cut to one frame, periodic ones to a chunk (and ``extra`` frames) at the phase of the delay.

    Errors:
        AbsoluteError: the operand depends on the frame's index in another way.
    """
    known = facts[index]
    assert isinstance(known, Known)
    values = known.values
    rank = values[0].ndim
    if rank < x.from_right or all(v.shape[-x.from_right] == 1 for v in values):
        if known.steady is None:
            facts.refuse(
                f"its input {index} changes with the length of the whole stream",
                "a value that needs the end cannot be streamed; stream.window streams over the last N frames",
            )
        return known.steady, False
    axis = rank - x.from_right
    if any(v.shape[axis] != x.length(n) for v, n in zip(values, facts.lengths, strict=True)):
        facts.refuse(f"its input {index} has another length than the stream it meets")
    first = values[0].take([0], axis=axis)
    if all(same_everywhere(v, axis, first) for v in values):
        facts.claim(index, Periodic(x.from_right, x.length, 1))
        return first, False
    period = period_of(values, axis)
    if period is None:
        raise AbsoluteError(
            index,
            x.from_right,
            x,
            f"its input {index} "
            + (
                "changes with the frame's place in the stream, and no ramp or table explains it"
                if alike_in_front(values, axis)
                else "changes with the length of the whole stream"
            ),
            node=label(facts.node),
            hint="compute positions from a range, or read them from a table by it; the whole length no stream knows",
        )
    frames = facts.frames(x)
    if frames % period:
        facts.misfit(period, x, f"a constant of period {period} meets a chunk of {frames} frames")
    facts.claim(index, Periodic(x.from_right, x.length, period))
    places = (np.arange(frames + extra) - x.delay) % period
    return max(values, key=lambda v: v.shape[axis]).take(places, axis=axis), True


def alike_in_front(values: Sequence[Array], axis: int) -> bool:
    """Whether shorter constants are beginnings of longer ones."""
    longest = max(values, key=np.size)
    return all(np.array_equal(longest.take(range(v.shape[axis]), axis=axis), v) for v in values)


def same_everywhere(value: Array, axis: int, frame: Array) -> bool:
    numeric = value.dtype.kind in "fc"
    return bool(np.array_equal(value, np.broadcast_to(frame, value.shape), equal_nan=numeric))


def period_of(values: Sequence[Array], axis: int) -> int | None:
    """The smallest period along an axis that is seen at least twice and is the same at every length."""
    longest = max(values, key=lambda v: v.shape[axis])
    total = longest.shape[axis]
    for period in range(2, total // 2 + 1):
        places = np.arange(total) % period
        if np.array_equal(longest, longest.take(places, axis=axis)):
            shorter = all(np.array_equal(v, longest.take(range(v.shape[axis]), axis=axis)) for v in values)
            return period if shorter else None
    return None


def refuse_time_axis(facts: Facts, x: Stream, axes: Sequence[int], what: str) -> None:
    """Refuses an op that works along axes among which is time."""
    if x.axis in axes:
        facts.refuse(
            f"{what} over all time (axis {x.axis})",
            "a stream never sees all of it; set stream.window to stream over the last N frames",
        )
