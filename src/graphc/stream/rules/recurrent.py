"""LSTM, GRU and RNN: over time, a state is carried; over another axis, each frame is a separate sequence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.graph import Node, Tensor, with_attrs
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_moving
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.symbolic.queries.questions import AllAre, Uniform
from graphc.stream.time.recurrence import Carry, Warmup, aligned, check_first
from graphc_runtime.contract.manifest import StateKind

SEQUENCE_LENS, FIRST_HIDDEN, FIRST_CELL = 4, 5, 6


@stream_rule("LSTM", "GRU", "RNN")
def recurrent(node: Node, facts: Facts) -> Lowering:
    """X is [time, batch, input], or [batch, time, input] with layout 1."""
    x = facts.only_stream()
    batchwise = int(node.attrs.get("layout", 0))
    time, batch = (1, 0) if batchwise else (0, 1)
    check_sequence_lens(facts, x, time)
    if x.axis == batch:
        return over_another_axis(node, facts, x, batch, batchwise)
    if x.axis != time:
        facts.refuse("the stream's time axis is its feature axis", "transpose time to the sequence axis")
    direction = str(node.attrs.get("direction", "forward"))
    if direction != "forward":
        facts.refuse(
            f"runs {'in both directions' if direction == 'bidirectional' else 'backwards'} over time, from an end that "
            "a stream never sees",
            "train it unidirectional, or set stream.window to stream over the last N frames",
        )
    return over_time(node, facts, x)


def over_time(node: Node, facts: Facts, x: Stream) -> Lowering:
    source = x
    x, delay = aligned(facts, x)
    hidden = int(node.attrs["hidden_size"])
    batchwise = int(node.attrs.get("layout", 0))
    streams = facts.input_shapes[0][0][0 if batchwise else 1]
    shape = (streams, 1, hidden) if batchwise else (1, streams, hidden)
    kinds: list[tuple[StateKind, int]] = [("rnn_hidden", FIRST_HIDDEN)]
    if node.op == "LSTM":
        kinds.append(("rnn_cell", FIRST_CELL))
    carries = [Carry(check_first(facts, i), kind, shape, x.dtype, delay) for kind, i in kinds]
    named = [bool(t.name) for t in node.outputs] + [False] * 3
    facts_out: list[Fact | None] = [facts.out(x, 1 if batchwise else 0) if named[0] else None]
    facts_out += [carry.final if named[i + 1] else None for i, carry in enumerate(carries)]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        given: list[Tensor | None] = [*inputs, *[None] * 8][:8]
        warmup = Warmup(b, x)
        given[0] = warmup.without(b.delayed(inputs[0], source, x.delay), x.axis)
        given[SEQUENCE_LENS] = None
        firsts = [given[index] for _, index in kinds]
        ports = []
        for (_, index), carry, first in zip(kinds, carries, firsts, strict=True):
            given[index], port = carry.previous(b, first)
            ports.append(port)
        count = 1 + len(carries)
        while given[-1] is None:
            given.pop()
        results: list[Tensor | None] = list(b.add(node.op, given, node.attrs, "recurrence", count))
        for index, (carry, port, first) in enumerate(zip(carries, ports, firsts, strict=True), 1):
            value = results[index]
            assert value is not None
            results[index] = carry.next(b, port, first, value)
        sequence = facts_out[0]
        if isinstance(sequence, Stream) and results[0] is not None:
            results[0] = warmup.refilled(results[0], sequence)
        return results

    return Lowering(tuple(facts_out), emit)


def check_sequence_lens(facts: Facts, x: Stream, time: int) -> None:
    """Refuses sequence lengths that differ from the length of the input."""
    fact = facts[SEQUENCE_LENS]
    if fact is None:
        return
    if not isinstance(fact, TimeConstant):
        facts.refuse("its sequence_lens depend on data", "name the input that counts frames under stream.inputs")
    sizes = [shape[time] for shape in facts.input_shapes[0]]
    if any(np.any(value != size) for value, size in zip(fact.values, sizes, strict=True)):
        facts.refuse("its sequence_lens differ from the length of its input", "leave them out")
    facts.claim(SEQUENCE_LENS, AllAre(x.length))


def over_another_axis(node: Node, facts: Facts, x: Stream, batch: int, batchwise: int) -> Lowering:
    """The lowering if time is the batch axis: each frame is a separate sequence that starts from the first state."""
    if x.delay < 0:
        x = x.at(0)
    source = facts.stream()
    frames = facts.frames(x)
    axis_of_state = 0 if batchwise else 1
    firsts: dict[int, Array] = {}
    for index in (FIRST_HIDDEN, FIRST_CELL):
        fact = facts[index]
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
            facts.refuse(
                "its initial state is an input, but time is its batch axis, so every frame starts anew",
                "start from zeros or a constant",
            )
        if isinstance(fact, TimeConstant):
            firsts[index] = same_for_all(facts, fact, axis_of_state, frames)
            facts.claim(index, Uniform(axis_of_state))
    outputs: list[Fact | None] = []
    for index, tensor in enumerate(node.outputs):
        axis = (0 if batchwise else 2) if index == 0 else axis_of_state
        outputs.append(facts.out(x, axis, index) if tensor.name else None)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        given = list(inputs)
        assert given[0] is not None
        given[0] = b.delayed(given[0], source, x.delay)
        if len(given) > SEQUENCE_LENS:
            given[SEQUENCE_LENS] = None
        for index, value in firsts.items():
            given[index] = b.constant(value, "first")
        return b.copy(node, given, with_attrs(node))

    return Lowering(tuple(outputs), emit, local=True)


def same_for_all(facts: Facts, fact: TimeConstant, axis: int, frames: int) -> Array:
    """The first states of a chunk's frames. Refuses a first state that differs from frame to frame."""
    first = fact.values[0].take([0], axis=axis)
    if any(not np.array_equal(v, np.broadcast_to(first, v.shape)) for v in fact.values):
        facts.refuse("its initial state differs from frame to frame", "give every frame the same initial state")
    return np.repeat(first, frames, axis=axis)
