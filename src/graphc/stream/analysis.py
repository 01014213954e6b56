"""One forward walk over an evaluated graph: a fact for every tensor of data, a step for every node. Changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from graphc.errors import AbsoluteError, ChunkMisfitError, GraphcError, StreamError, TooShortError
from graphc.graph import Constant, Node, Tensor, captured, label, op_of, opset_of, reads
from graphc.length import Length
from graphc.offline import Offline
from graphc.roles import StateRole, StaticRole, StreamRole
from graphc.stream.constants import run_constants
from graphc.stream.evaluate import Evaluation, evaluate
from graphc.stream.facts import Array, Edge, Fact, Head, Known, Moved, Origin, Pairs, Static, Stream
from graphc.stream.moved import moved_stream
from graphc.stream.ports import Builder
from graphc.stream.rule import Facts, StreamStep, rule_for

LARGEST_CHUNK_MULTIPLE = 1_000_000
LONGEST_TABLE = 1000
SPREADING = ("Expand", "Tile")
MOVERS = (
    "Identity",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Flatten",
    "Concat",
    "Slice",
    "Split",
    "Gather",
    "Cast",
)


@dataclass(frozen=True)
class Analysis:
    """The facts and steps of a graph at one chunk size.

    Args:
        chunk_multiple: the smallest chunk that fits; every multiple fits.
        steps: (node, step) in topological order.
    """

    offline: Offline
    evaluation: Evaluation
    chunk: int
    chunk_multiple: int
    facts: Mapping[str, Fact]
    steps: Sequence[tuple[Node, StreamStep]]

    @property
    def min_frames(self) -> int:
        """The shortest stream in which no tensor is empty.

        onnxruntime's pools round toward zero, and so give one partial window where ONNX's formula gives none: shorter
        streams are outside the promise (docs/limits.md).
        """
        lengths = {f.length for f in self.facts.values() if isinstance(f, Stream)}
        longest = max(self.evaluation.lengths)
        return next(n for n in range(1, longest + 1) if n == longest or all(length(n) > 0 for length in lengths))


def analyse(offline: Offline, chunk: int | None = None, evaluation: Evaluation | None = None) -> Analysis:
    """Analyses a model at a chunk, or at the smallest that fits.

    Errors:
        StreamError: what cannot be streamed, with the node, the reason and the way out; a chunk that does not fit.
    """
    evaluation = evaluation or evaluate(offline)
    while True:
        try:
            return analysed(offline, chunk, evaluation)
        except TooShortError as err:
            longest = max(evaluation.lengths)
            if err.frames >= LONGEST_TABLE:
                raise
            evaluation = evaluate(offline, 2 * longest)
            if max(evaluation.lengths) <= longest:
                raise


def analysed(offline: Offline, chunk: int | None, evaluation: Evaluation) -> Analysis:
    """The same at the lengths of one evaluation."""
    multiple, at_smallest = smallest_fit(offline, evaluation)
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
        return walk(offline, evaluation, chunk, multiple)
    except ChunkMisfitError as err:
        raise StreamError(err.reason, node=err.node, hint=f"a multiple of {err.multiple} fits") from None


def smallest_fit(offline: Offline, evaluation: Evaluation) -> tuple[int, Analysis]:
    chunk = 1
    while True:
        try:
            return chunk, walk(offline, evaluation, chunk, chunk)
        except ChunkMisfitError as err:
            chunk = math.lcm(chunk, err.multiple)
            if chunk > LARGEST_CHUNK_MULTIPLE:
                raise StreamError(f"only chunks of {chunk} frames or more would fit", node=err.node) from None


def walk(offline: Offline, evaluation: Evaluation, chunk: int, multiple: int) -> Analysis:
    graph = evaluation.graph
    facts: dict[str, Fact] = {
        name: input_fact(offline, evaluation, name, chunk)
        for name in offline.roles
        if name in evaluation.data | evaluation.static
    }
    steps: list[tuple[Node, StreamStep]] = []
    lengths: dict[Length, None] = {f.length: None for f in facts.values() if isinstance(f, Stream)}
    wanted = wanted_tensors(evaluation)
    for node in graph.nodes:
        if not any(t.name in wanted for t in node.outputs):
            continue
        given = facts_of(node, facts, evaluation, chunk, offline.model, tuple(lengths))
        step = step_of(node, given)
        if step.local:
            step = with_surroundings(node, given, step)
        for tensor, fact in zip(node.outputs, step.facts, strict=False):
            if tensor.name and fact is not None:
                facts[tensor.name] = fact
                if isinstance(fact, Stream):
                    lengths.setdefault(fact.length)
        steps.append((node, step))
    return Analysis(offline, evaluation, chunk, multiple, facts, steps)


def wanted_tensors(evaluation: Evaluation) -> set[str]:
    """The tensors of data whose values an output depends on; what only Shape reads is not among them."""
    carried = evaluation.data | evaluation.static
    wanted = {t.name for t in evaluation.graph.outputs if t.name in carried}
    for node in reversed(evaluation.graph.nodes):
        if any(t.name in wanted for t in node.outputs if t.name):
            wanted |= {t.name for t in reads(node) if t.name in carried}
    return wanted


def input_fact(offline: Offline, evaluation: Evaluation, name: str, chunk: int) -> Fact:
    role = offline.roles[name]
    shapes, dtype = evaluation.shapes[name], evaluation.dtypes[name]
    if isinstance(role, StaticRole):
        return Static(shapes[0], dtype)
    if isinstance(role, StateRole):
        return Static(shapes[0], dtype, Origin.GIVEN)
    assert isinstance(role, StreamRole)
    shape = tuple(-1 if axis == role.axis else size for axis, size in enumerate(shapes[0]))
    length = Length().then(role.rate.numerator, 0, role.rate.denominator)
    stream = Stream(role.axis, role.rate, 0, length, shape, dtype)
    return replace(stream, tail=np.zeros(stream.one_frame(), dtype))


def facts_of(
    node: Node,
    facts: Mapping[str, Fact],
    evaluation: Evaluation,
    chunk: int,
    model: onnx.ModelProto,
    lengths: tuple[Length, ...],
) -> Facts:
    def fact_of(tensor: Tensor) -> Fact | None:
        if not tensor.name:
            return None
        return facts.get(tensor.name) or evaluation.known.get(tensor.name)

    def shapes_of(tensor: Tensor) -> tuple[tuple[int, ...], ...]:
        if tensor.name in evaluation.shapes:
            return evaluation.shapes[tensor.name]
        if isinstance(tensor, Constant):
            return (tuple(tensor.shape),) * len(evaluation.lengths)
        known = evaluation.known.get(tensor.name)
        return tuple(v.shape for v in known.values) if known else ()

    inputs = tuple(fact_of(t) for t in node.inputs)
    for tensor, fact in zip(node.inputs, inputs, strict=True):
        if tensor.name and fact is None and not isinstance(tensor, Constant):
            raise StreamError(f"reads '{tensor.name}', of which nothing is known", node=label(node))
    outer = {t.name: fact for t in captured(node) if (fact := fact_of(t)) is not None}
    dtypes = tuple(evaluation.dtypes.get(t.name, np.dtype(np.float32)) for t in node.outputs)
    return Facts(
        node,
        inputs,
        chunk,
        opset_of(model),
        evaluation.lengths,
        tuple(shapes_of(t) for t in node.inputs),
        tuple(shapes_of(t) for t in node.outputs),
        dtypes,
        outer,
        tuple(model.opset_import),
        model.ir_version,
        lengths,
        tuple(t.name for t in node.inputs),
        evaluation.memo,
    )


def step_of(node: Node, facts: Facts) -> StreamStep:
    """The step of a node: without time it is copied, with time its rule decides.

    Errors:
        StreamError: no rule, or the rule refuses.
    """
    sources = [*facts.inputs, *facts.captured.values()]
    if not any(isinstance(f, Stream | Pairs | Moved) for f in sources):
        steady = all(len(set(shapes)) <= 1 for shapes in facts.output_shapes)
        if steady or node.op not in SPREADING:
            return static_step(node, facts)
    tables = any(isinstance(f, Pairs | Moved) for f in sources)
    rule = rule_for(op_of(node), two_times=tables)
    if rule is None:
        raise StreamError(
            f"there is no streaming rule for the op {op_of(node)}" + " over a table of two times" * tables,
            node=label(node),
            hint="cut the model in front of it, or write a rule (docs/writing-a-rule.md)",
        )
    try:
        return rule(node, facts)
    except (ChunkMisfitError, TooShortError, AbsoluteError):
        raise
    except StreamError as err:
        moved = None if tables else moved_stream(node, facts, err)
        if moved is None:
            raise
        return moved
    except GraphcError:
        raise
    except (IndexError, KeyError, TypeError, ValueError) as err:
        raise StreamError(
            f"the rule for {op_of(node)} does not understand this node ({type(err).__name__}: {err})", node=label(node)
        ) from err


def static_step(node: Node, facts: Facts) -> StreamStep:
    """A node without time: as it is. What it makes of a final state is final too."""
    origins = [f.origin for f in [*facts.inputs, *facts.captured.values()] if isinstance(f, Static)]
    final = Origin.FINAL in origins
    if final and node.op not in MOVERS:
        facts.refuse(
            "reads the state after the last frame, which a stream never reaches",
            "return the outputs of every frame, or set stream.window to stream over the last N frames",
        )
    for index, fact in enumerate(facts.inputs):
        if isinstance(fact, Known) and fact.steady is None:
            facts.refuse(f"its input {index} changes with the length of the whole stream")
    if any(len(set(shapes)) > 1 for shapes in facts.output_shapes):
        facts.refuse("makes a tensor without time whose shape changes with the length of the stream")
    origin = Origin.FINAL if final else Origin.GIVEN if Origin.GIVEN in origins else Origin.INPUT
    outputs = tuple(
        Static(shapes[0], dtype, origin) if shapes else None
        for shapes, dtype in zip(facts.output_shapes, facts.dtypes, strict=True)
    )
    return StreamStep(outputs, lambda b, x: b.copy(node, x))


def with_surroundings(node: Node, facts: Facts, step: StreamStep) -> StreamStep:
    """The step with head and tail of its outputs, where those of its stream inputs are known.

    A local step makes equal frames out of equal frames, so one run on constants gives them.
    """
    streams = [stream for _, stream in facts.streams()]
    heads, tails = [s.head for s in streams], [s.tail for s in streams]
    outputs = list(step.facts)
    before = any(isinstance(f, Stream) and f.delay < 0 for f in outputs)
    if before and all(isinstance(h, Edge) for h in heads):
        outputs = [replace(f, head=Edge.FIRST_FRAME) if isinstance(f, Stream) else f for f in outputs]
    elif before:
        outputs = [
            replace(f, head=frame) if isinstance(f, Stream) and f.delay < 0 else f
            for f, frame in zip(outputs, through(node, facts, step, heads), strict=True)
        ]
    if all(t is not None for t in tails) and not any(isinstance(f, Static) for f in facts.inputs):
        outputs = [
            replace(f, tail=frame) if isinstance(f, Stream) else f
            for f, frame in zip(outputs, through(node, facts, step, tails), strict=True)
        ]
    unknown = [f for f in outputs if isinstance(f, Stream) and f.delay < 0 and f.head is None]
    if unknown:
        facts.refuse("what stands before the first frame is not the same in every frame there")
    return replace(step, facts=tuple(outputs))


class ConstantBuilder(Builder):
    """Builds steps over chunks in which all frames are equal: a delay changes nothing."""

    def delayed(self, x: Tensor, stream: Stream, delay: int) -> Tensor:
        return x


def through(node: Node, facts: Facts, step: StreamStep, frames: Sequence[Head]) -> list[Array | None]:
    """What the step makes of a chunk in which all frames equal the given ones; None where its frames differ."""
    if any(not isinstance(frame, np.ndarray) for frame in frames):
        return [None] * len(step.facts)
    builder = ConstantBuilder(facts.chunk, set())
    waiting = iter(frames)
    inputs: list[Tensor | None] = []
    for fact in facts.inputs:
        if isinstance(fact, Stream):
            count = builder.frames(fact)
            frame = next(waiting)
            assert isinstance(frame, np.ndarray)
            inputs.append(builder.constant(np.repeat(frame, count, axis=fact.axis)))
        elif isinstance(fact, Known) and fact.steady is not None:
            inputs.append(builder.constant(fact.steady))
        elif isinstance(fact, Static):
            return [None] * len(step.facts)
        else:
            inputs.append(None)
    results = step.emit(builder, inputs)
    if builder.states:
        return [None] * len(step.facts)
    values = run_constants(builder.nodes, [t for t in results if t is not None and t.name], facts)
    found: list[Array | None] = []
    for fact, result in zip(step.facts, results, strict=False):
        frame = None
        if isinstance(fact, Stream) and result is not None and result.name in values:
            value = values[result.name]
            first = value.take([0], axis=fact.axis)
            if np.array_equal(value, np.broadcast_to(first, value.shape)):
                frame = first
        found.append(frame)
    return found
