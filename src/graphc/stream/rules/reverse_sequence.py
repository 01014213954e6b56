"""Reversed sequences: frame by frame over axes other than time, never over time."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule


@stream_rule("ReverseSequence")
def reverse_sequence(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    if normalised(int(node.attrs.get("time_axis", 0)), x.rank) == x.axis:
        facts.refuse(
            "reverses time, from an end that a stream never sees", "export a model that only runs forwards in time"
        )
    if normalised(int(node.attrs.get("batch_axis", 1)), x.rank) == x.axis:
        facts.refuse(
            "the stream's time axis is its batch_axis, so every frame has a length of its own",
            "export without the reversal",
        )
    facts.array(1, "'sequence_lens'")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)
