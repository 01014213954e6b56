"""Scan over time: the body runs over the frames of a chunk, and its carried values become states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.graph import Graph, Node, Tensor, normalised
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_other_length
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.symbolic.queries.questions import Uniform
from graphc.stream.time.recurrence import Carry, Warmup, aligned, check_first
from graphc.stream.time.subgraphs import check_captured, refilled, run_body, tensors_outside


@stream_rule("Scan")
def scan(node: Node, facts: Facts) -> Lowering:
    body: Graph = node.attrs["body"]
    scanned = int(node.attrs["num_scan_inputs"])
    carried = len(facts) - scanned
    check_captured(facts)
    axes = [int(a) for a in node.attrs.get("scan_input_axes", [0] * scanned)]
    ranks = [len(facts.input_shapes[carried + i][0]) for i in range(scanned)]
    axes = [normalised(a, r) for a, r in zip(axes, ranks, strict=True)]
    if any(index < carried for index, _ in facts.streams()):
        facts.refuse("its initial state comes from the stream", "start it from a constant")
    for index, stream in facts.streams():
        if stream.axis != axes[index - carried]:
            facts.refuse(
                "runs over an axis other than time",
                "export the loop over that axis as an LSTM, GRU or RNN, or unroll it",
            )
    if any(node.attrs.get("scan_input_directions", [])) or any(node.attrs.get("scan_output_directions", [])):
        facts.refuse("runs backwards over time, from an end that a stream never sees", "train it unidirectional")
    x, delay = together(facts)
    known = {i: repeated(facts, i, x) for i in range(carried, len(facts)) if isinstance(facts[i], TimeConstant)}
    carries = [
        Carry(check_first(facts, i), "scan_carry", facts.output_shapes[i][0] or (), facts.dtypes[i], delay)
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
        results = run_body(b, node, carries, given, 0, body, tensors_outside(b, facts))
        return refilled(warmup, results, outputs)

    return Lowering(tuple(outputs), emit)


def together(facts: Facts) -> tuple[Stream, int]:
    """The first scanned stream, at a delay of whole chunks by which all scanned streams have arrived, and that delay.

    The delay is in frames of the stream input.
    """
    (_, first), *others = facts.streams()
    if any(o.rate != first.rate or o.length != first.length for _, o in others):
        facts.refuse("scans streams of different rates or lengths", "bring them to one rate and length before it")
    return aligned(facts, first.at(max(o.delay for _, o in facts.streams())))


def repeated(facts: Facts, index: int, x: Stream) -> Array:
    """A time-only scanned input for one chunk, with time on axis 0. Refuses values that differ between frames."""
    known = facts[index]
    assert isinstance(known, TimeConstant)
    if any(v.shape[0] != x.length(n) for v, n in zip(known.values, facts.lengths, strict=True)):
        refuse_other_length(facts, index)
    first = known.values[0][:1]
    if any(not np.array_equal(v, np.broadcast_to(first, v.shape)) for v in known.values):
        facts.refuse(
            f"its input {index} differs from frame to frame but does not come from the stream",
            "count the frames in a value that the body carries",
        )
    facts.claim(index, Uniform(0))
    return np.repeat(first, facts.frames(x), axis=0)
