"""Scan and Loop over time: the body runs over the frames of a chunk, what it carries becomes a state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.graph import Constant, Graph, Node, Tensor, captured, constant_of, label, normalised, producer
from graphc.stream.carried import Carry, Warmup, aligned, check_first
from graphc.stream.facts import Array, Fact, Known, Static, Stream
from graphc.stream.ports import Builder
from graphc.stream.rule import Facts, StreamStep, refuse_moving, stream_rule


@stream_rule("Scan")
def scan(node: Node, facts: Facts) -> StreamStep:
    body: Graph = node.attrs["body"]
    scanned = int(node.attrs["num_scan_inputs"])
    carried = len(facts) - scanned
    check_captured(facts)
    axes = [int(a) for a in node.attrs.get("scan_input_axes", [0] * scanned)]
    ranks = [len(facts.input_shapes[carried + i][0]) for i in range(scanned)]
    axes = [normalised(a, r) for a, r in zip(axes, ranks, strict=True)]
    if any(index < carried for index, _ in facts.streams()):
        facts.refuse("its first state carries stream time", "start it from a constant")
    for index, stream in facts.streams():
        if stream.axis != axes[index - carried]:
            facts.refuse(
                "runs over another axis than time", "write the loop over that axis as an LSTM, GRU or RNN, or unroll it"
            )
    if any(node.attrs.get("scan_input_directions", [])) or any(node.attrs.get("scan_output_directions", [])):
        facts.refuse("runs backwards over time, from an end that a stream never sees", "train it one-directional")
    x, delay = together(facts)
    known = {i: repeated(facts, i, x) for i in range(carried, len(facts)) if isinstance(facts[i], Known)}
    carries = [
        Carry(check_first(facts, i), "scan_carry", facts.output_shapes[i][0] or (), dtype_of(facts, i), delay)
        for i in range(carried)
    ]
    out_axes = [int(a) for a in node.attrs.get("scan_output_axes", [0] * (len(node.outputs) - carried))]
    outputs: list[Fact | None] = [carry.final for carry in carries]
    for index in range(carried, len(node.outputs)):
        rank = len(facts.output_shapes[index][0]) if facts.output_shapes[index] else 1
        named = bool(node.outputs[index].name)
        outputs.append(facts.out(x, normalised(out_axes[index - carried], rank), index) if named else None)
    streams = facts.streams()

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        given = list(inputs)
        for index, stream in streams:
            tensor = given[index]
            assert tensor is not None
            given[index] = b.delayed(tensor, stream, x.delay)
        for index, value in known.items():
            given[index] = b.constant(value)
        warmup = Warmup(b, x)
        for index in range(carried, len(given)):
            tensor = given[index]
            assert tensor is not None
            given[index] = warmup.without(tensor, axes[index - carried])
        results = run_body(b, node, carries, given, 0, body, b.tensors)
        return refilled(warmup, results, outputs)

    return StreamStep(tuple(outputs), emit)


@stream_rule("Loop")
def loop(node: Node, facts: Facts) -> StreamStep:
    """One turn a frame: the turn's number does nothing but pick the frame of streams."""
    body: Graph = node.attrs["body"]
    outer = {name: fact for name, fact in facts.captured.items() if isinstance(fact, Stream)}
    if facts.streams() or not outer:
        facts.refuse("carries a whole stream from turn to turn", "write it as a Scan over time")
    (_, first), *_ = outer.items()
    if any(o.rate != first.rate or o.axis is None or o.length != first.length for o in outer.values()):
        facts.refuse("reads streams that do not run alike")
    turns = facts[0]
    sizes = [first.length(n) for n in facts.lengths]
    if not isinstance(turns, Known) or [int(v.ravel()[0]) for v in turns.values] != sizes:
        facts.refuse("does not turn once for each frame", "make one turn a frame, or write it as a Scan")
    check_captured(facts, streams_too=False)
    check_condition(facts, body)
    check_turn_number(facts, body, outer)
    x, delay = aligned(facts, first.at(max(o.delay for o in outer.values())))
    carried = len(facts) - 2
    carries = [
        Carry(check_first(facts, i + 2), "scan_carry", facts.output_shapes[i][0], dtype_of(facts, i), delay)
        for i in range(carried)
    ]
    outputs: list[Fact | None] = [carry.final for carry in carries]
    for index in range(carried, len(node.outputs)):
        outputs.append(facts.out(x, 0, index) if node.outputs[index].name else None)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        mapped = dict(b.tensors)
        warmup = Warmup(b, x)
        for name, stream in outer.items():
            mapped[name] = warmup.without(b.delayed(b.tensors[name], stream, x.delay), stream.axis)
        turns: Tensor = b.constant(np.asarray(b.frames(x), np.int64))
        if warmup.needed:
            turns = b.one("Sub", turns, b.one("Squeeze", warmup.skipped, hint="skipped"), hint="turns")
        results = run_body(b, node, carries, [turns, None, *inputs[2:]], 2, body, mapped)
        return refilled(warmup, results, outputs)

    return StreamStep(tuple(outputs), emit)


def refilled(warmup: Warmup, results: Sequence[Tensor | None], outputs: Sequence[Fact | None]) -> list[Tensor | None]:
    """The scanned outputs with the frames back in front that the body did not run over."""
    return [
        warmup.refilled(r, f) if r is not None and isinstance(f, Stream) else r
        for r, f in zip(results, outputs, strict=True)
    ]


def run_body(
    b: Builder,
    node: Node,
    carries: list[Carry],
    given: list[Tensor | None],
    offset: int,
    body: Graph,
    outer: dict[str, Tensor],
) -> list[Tensor | None]:
    """The node over a chunk, its carried values in ports."""
    firsts = [given[offset + i] for i in range(len(carries))]
    ports: list[Tensor | None] = []
    for index, (carry, first) in enumerate(zip(carries, firsts, strict=True)):
        given[offset + index], port = carry.previous(b, first)
        ports.append(port)
    attrs = {**node.attrs, "body": body.copy(tensor_map=outer)}
    results: list[Tensor | None] = list(b.add(node.op, given, attrs, "recurrence", len(node.outputs)))
    if len(results) == 1:
        results = [results[0]]
    for index, (carry, port, first) in enumerate(zip(carries, ports, firsts, strict=True)):
        value = results[index]
        assert value is not None
        results[index] = carry.next(b, port, first, value)
    return results


def dtype_of(facts: Facts, index: int) -> np.dtype[Any]:
    return facts.dtypes[index]


def together(facts: Facts) -> tuple[Stream, int]:
    """The scanned streams at one delay of whole chunks."""
    (_, first), *others = facts.streams()
    if any(o.rate != first.rate or o.length != first.length for _, o in others):
        facts.refuse("scans streams of different rates or lengths")
    return aligned(facts, first.at(max(o.delay for _, o in facts.streams())))


def repeated(facts: Facts, index: int, x: Stream) -> Array:
    """A known scanned input as a chunk meets it; its time axis is the first."""
    known = facts[index]
    assert isinstance(known, Known)
    if any(v.shape[0] != x.length(n) for v, n in zip(known.values, facts.lengths, strict=True)):
        facts.refuse(f"its input {index} has another length than the stream")
    first = known.values[0][:1]
    if any(not np.array_equal(v, np.broadcast_to(first, v.shape)) for v in known.values):
        facts.refuse(f"its input {index} changes with the frame's place in the stream")
    return np.repeat(first, facts.frames(x), axis=0)


def check_captured(facts: Facts, streams_too: bool = True) -> None:
    for name, fact in facts.captured.items():
        if isinstance(fact, Stream) and streams_too:
            facts.refuse(f"its body reads the whole stream '{name}'", "scan over it instead")
        if isinstance(fact, Known) and fact.steady is None:
            facts.refuse(f"its body reads '{name}', which changes with the length of the stream")
        if isinstance(fact, Static):
            refuse_moving(facts, fact)


def check_condition(facts: Facts, body: Graph) -> None:
    """Refuses a loop that may stop early."""
    tensor = body.outputs[0]
    while (made := producer(tensor)) is not None and made.op in ("Identity", "Cast"):
        tensor = made.inputs[0]
    value = constant_of(tensor) if isinstance(tensor, Constant) else None
    passed_on = len(body.inputs) > 1 and tensor is body.inputs[1]
    outside = facts.captured.get(tensor.name)
    if isinstance(outside, Known) and outside.steady is not None:
        value = outside.steady
    if not (passed_on or (value is not None and bool(np.all(value)))):
        facts.refuse("may stop before the last frame", "make one turn a frame")
    if facts[1] is not None:
        started = facts.array(1, "its first condition")
        if started is not None and not np.all(started):
            facts.refuse("does not turn at all")


def check_turn_number(facts: Facts, body: Graph, outer: dict[str, Stream]) -> None:
    """The number of the turn may only pick frames, and streams may only be read by it."""
    turn = body.inputs[0]
    for inner in body.nodes:
        names = [t.name for t in [*inner.inputs, *captured(inner)]]
        picks = (
            inner.op == "Gather"
            and inner.inputs[0].name in outer
            and inner.inputs[1] is turn
            and normalised(int(inner.attrs.get("axis", 0)), outer[inner.inputs[0].name].rank)
            == outer[inner.inputs[0].name].axis
        )
        if picks:
            continue
        if turn.name in names:
            facts.refuse(f"its body uses the turn's number in {label(inner)}, other than to pick a frame")
        if any(name in outer for name in names):
            facts.refuse(f"its body reads a whole stream in {label(inner)}", "pick one frame a turn")
