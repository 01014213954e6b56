"""Splits along axes other than time."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule


@stream_rule("Split", "SplitToSequence")
def split(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    if node.op == "SplitToSequence":
        facts.refuse("makes a sequence of tensors", "use a Split")
    along = normalised(int(node.attrs.get("axis", 0)), x.rank)
    if along == x.axis:
        facts.refuse("splits the stream along time", "use Slices that drop a fixed number of frames at one end")
    if facts[1] is not None:
        facts.array(1, "'split'")
    outputs = tuple(facts.out(x, x.axis, i) if t.name else None for i, t in enumerate(node.outputs))
    return Lowering(outputs, copied(node, facts), local=True)
