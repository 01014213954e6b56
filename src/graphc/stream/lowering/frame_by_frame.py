"""Lowers ops whose output frames depend only on the input frames at the same position."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.graph import Node, Tensor, label, op_of
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.constant_operands import cut_to_chunk
from graphc.stream.lowering.lowering import Emit, Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_foreign_frames, refuse_moving
from graphc.stream.lowering.rule import rule_for


def copied(node: Node, facts: Facts, attrs: dict[str, Any] | None = None) -> Emit:
    """The function that builds a copy of the node in each call, with all stream inputs delayed to a common delay."""
    delay = common_delay(facts)
    return lambda b, x: b.copy(node, brought_to(b, facts, x, delay), attrs)


def with_clamped_indices(lookup: Emit, lowest: int, highest: int, dtype: np.dtype[np.generic]) -> Emit:
    """A lookup (table, indices) with its indices clamped, since those of frames that do not exist may lie outside."""

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        table, index = inputs
        assert index is not None
        return lookup(b, [table, b.clipped(index, lowest, highest, dtype)])

    return emit


def brought_to(b: Builder, facts: Facts, inputs: Sequence[Tensor | None], delay: int) -> list[Tensor | None]:
    """The inputs of one call, with all streams among them delayed to the same delay."""
    brought = list(inputs)
    for index, stream in facts.streams():
        tensor = brought[index]
        assert tensor is not None
        brought[index] = b.delayed(tensor, stream, delay)
    return brought


def common_delay(facts: Facts) -> int:
    """The largest delay of a node's stream inputs, to which the other streams are delayed."""
    return max(stream.delay for _, stream in facts.streams())


def same_length(facts: Facts, must_match: bool = True) -> Stream:
    """The first stream input, at the common delay of all stream inputs; refuses streams that differ in rate or length.

    Args:
        must_match: whether the op fails on streams of different lengths, unless one of them has a single frame.
    """
    (_, first), *others = facts.streams()
    for _, other in others:
        if other.rate != first.rate:
            facts.refuse(
                f"combines streams of different rates ({first.rate} and {other.rate} frames per input frame)",
                "bring both to one rate, or correct `rate` in stream.inputs",
            )
        if any(other.length(n) != first.length(n) for n in facts.lengths):
            facts.refuse("combines streams of different lengths", "cut or pad both to one length")
        if facts.proof is not None:
            facts.proof.same_lengths(label(facts.node), first.length, other.length, must_match)
    return first.at(common_delay(facts))


def frame_by_frame(node: Node, facts: Facts) -> Lowering:
    """The rule for elementwise ops: each output frame depends on the input frames at the same position."""
    if len({stream.from_right for _, stream in facts.streams()}) > 1 or second_time(facts) is not None:
        on_scores = rule_for(op_of(node), on_scores=True)
        assert on_scores is not None
        return on_scores(node, facts)
    x = same_length(facts)
    cuts = {i: cut_to_chunk(facts, i, x) for i, f in enumerate(facts.inputs) if isinstance(f, TimeConstant)}
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
            assert isinstance(known, TimeConstant)
            if given[index] is None or value is not known.steady:
                given[index] = b.constant(value, f"{node.inputs[index].name}/chunk")
        return b.copy(node, given)

    return Lowering(outputs, emit, local=True)


def is_elementwise(node: Node) -> bool:
    """Whether a node computes each element only from the elements at the same position, with broadcasting."""
    return rule_for(op_of(node)) is frame_by_frame


def second_time(facts: Facts) -> int | None:
    """A second axis on which a constant has one entry per frame, counted from the right; None if there is none.

    The first such axis is the time axis of the streams.
    """
    (_, x), *_ = facts.streams()
    for fact in facts.inputs:
        if not isinstance(fact, TimeConstant) or fact.steady is not None or fact.values[0].ndim < x.from_right:
            continue
        shapes = [v.shape for v in fact.values]
        sizes = {a: [s[a] for s in shapes] for a in range(len(shapes[0]))}
        wanted = [x.length(n) for n in facts.lengths]
        grown = [len(sizes) - a for a, found in sizes.items() if found == wanted and len(set(found)) > 1]
        if x.from_right in grown and len(grown) == 2:
            return next(r for r in grown if r != x.from_right)
    return None


def check_static(facts: Facts, x: Stream) -> None:
    """Refuses untimed inputs that have one entry per frame on the time axis of ``x``, or that change between calls."""
    for index, fact in enumerate(facts.inputs):
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
            if len(fact.shape) >= x.from_right and fact.shape[-x.from_right] != 1:
                refuse_foreign_frames(facts, index)
