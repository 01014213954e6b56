"""Loop over time: the body runs over the frames of a chunk, and its carried values become states."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.graph import Constant, Graph, Node, Tensor, captured, constant_of, label, normalised, producer
from graphc.stream.canonical.loops.iteration_affine import passes_on, routed
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.symbolic.queries.questions import AllAre, Steady
from graphc.stream.time.recurrence import Carry, Warmup, aligned, check_first
from graphc.stream.time.subgraphs import check_captured, refilled, run_body, tensors_outside


@stream_rule("Loop")
def loop(node: Node, facts: Facts) -> Lowering:
    """Runs one iteration per frame; the body may use the iteration number only to pick a frame of each stream."""
    body: Graph = node.attrs["body"]
    outer = {name: fact for name, fact in facts.captured.items() if isinstance(fact, Stream)}
    if any(index < 2 for index, _ in facts.streams()):
        facts.refuse("its trip count or its condition comes from the stream", "make one iteration per frame")
    if facts.streams() or not outer:
        facts.refuse("carries a whole stream from iteration to iteration", "export it as a Scan over time")
    (_, first), *_ = outer.items()
    if any(o.rate != first.rate or o.axis is None or o.length != first.length for o in outer.values()):
        facts.refuse(
            "its body reads streams of different rates or lengths", "bring them to one rate and length before the loop"
        )
    turns = facts[0]
    sizes = [first.length(n) for n in facts.lengths]
    if not isinstance(turns, TimeConstant) or [int(v.ravel()[0]) for v in turns.values] != sizes:
        facts.refuse("does not iterate once for each frame", "make one iteration per frame, or export it as a Scan")
    facts.claim(0, AllAre(first.length))
    check_condition(facts, body)
    check_turn_number(facts, body, outer)
    check_captured(facts, streams_too=False)
    check_carried(facts)
    check_nested(facts, body)
    x, delay = aligned(facts, first.at(max(o.delay for o in outer.values())))
    carried = len(facts) - 2
    carries = [
        Carry(check_first(facts, i + 2), "scan_carry", facts.output_shapes[i][0], facts.dtypes[i], delay)
        for i in range(carried)
    ]
    outputs: list[Fact | None] = [carry.final for carry in carries]
    for index in range(carried, len(node.outputs)):
        outputs.append(facts.out(x, 0, index) if node.outputs[index].name else None)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        mapped = tensors_outside(b, facts)
        warmup = Warmup(b, x)
        for name, stream in outer.items():
            mapped[name] = warmup.without(b.delayed(b.tensors[name], stream, x.delay), stream.axis)
        turns: Tensor = b.constant(np.asarray(b.frames(x), np.int64))
        if warmup.needed:
            turns = b.one("Sub", turns, b.one("Squeeze", warmup.skipped, hint="skipped"), hint="turns")
        results = run_body(b, node, carries, [turns, None, *inputs[2:]], 2, body, mapped)
        return refilled(warmup, results, outputs)

    return Lowering(tuple(outputs), emit)


def check_condition(facts: Facts, body: Graph) -> None:
    """Refuses a loop that may stop early."""
    tensor = body.outputs[0]
    while (made := producer(tensor)) is not None and made.op in ("Identity", "Cast"):
        tensor = made.inputs[0]
    value = constant_of(tensor) if isinstance(tensor, Constant) else None
    passed_on = len(body.inputs) > 1 and tensor is body.inputs[1]
    outside = facts.captured.get(tensor.name)
    if isinstance(outside, TimeConstant) and outside.steady is not None:
        value = outside.steady
        if facts.proof is not None and outside.name:
            facts.proof.claim(outside.name, Steady())
    if not (passed_on or (value is not None and bool(np.all(value)))):
        facts.refuse("its loop condition may stop it before the last frame", "make one iteration per frame")
    if facts[1] is not None:
        started = facts.array(1, "its initial condition")
        if started is not None and not np.all(started):
            facts.refuse("its initial condition is false, so it never iterates", "remove it from the model")


def check_turn_number(facts: Facts, body: Graph, outer: dict[str, Stream]) -> None:
    """Refuses a body that uses the iteration number except to pick frames, or that reads streams in any other way."""
    turns = routed(body)
    if any(t.name in turns for t in body.outputs[1:]):
        facts.refuse("returns the iteration number, which starts at 0 in every call", "count frames outside the loop")
    for inner in body.nodes:
        names = [t.name for t in [*inner.inputs, *captured(inner)]]
        picks = (
            inner.op == "Gather"
            and inner.inputs[0].name in outer
            and inner.inputs[1].name in turns
            and normalised(int(inner.attrs.get("axis", 0)), outer[inner.inputs[0].name].rank)
            == outer[inner.inputs[0].name].axis
        )
        if picks or (passes_on(inner) and inner.inputs[0].name in turns):
            continue
        if turns.intersection(names):
            facts.refuse(
                f"its body uses the iteration number in {label(inner)}, other than to pick a frame",
                "append what each iteration makes to a list, or give positions as an input, one for each frame",
            )
        if any(name in outer for name in names):
            facts.refuse(f"its body reads a whole stream in {label(inner)}", "pick one frame per iteration")


def check_carried(facts: Facts) -> None:
    """Refuses a carried value whose shape changes between iterations, since a port has one shape."""
    for index in range(len(facts) - 2):
        if not facts.output_shapes[index] and facts.node.outputs[index].name:
            facts.refuse(
                "carries a sequence of tensors",
                "append one frame per iteration to a list, and concatenate it afterwards",
            )
        shapes = {*facts.input_shapes[index + 2], *facts.output_shapes[index]}
        if len(shapes) != 1:
            facts.refuse(
                "carries a value whose shape changes with the iterations or the length", "give it one fixed shape"
            )


def check_nested(facts: Facts, body: Graph) -> None:
    """Refuses outer tensors that the body returns or a nested body reads: a call's tensors cannot replace these."""
    passed = [t.name for t in body.outputs if t.name in facts.captured]
    deep = [t.name for inner in body.nodes for t in captured(inner) if t.name in facts.captured]
    for name in [*passed, *deep]:
        what = "its body returns" if name in passed else "a body nested in its body reads"
        facts.refuse(f"{what} '{name}', made outside the loop", "pass it through an Identity in the loop's own body")
