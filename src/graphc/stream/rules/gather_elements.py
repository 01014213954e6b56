"""Elements gathered or scattered within each frame, by an index for each element."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_time_axis
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.per_frame_operands import per_frame_operands


@stream_rule("GatherElements", "ScatterElements")
def elements(node: Node, facts: Facts) -> Lowering:
    (_, x), *_ = facts.streams()
    refuse_time_axis(facts, x, [normalised(int(node.attrs.get("axis", 0)), x.rank)], "gathers or scatters elements")
    return per_frame_operands(
        facts, dict.fromkeys(range(len(facts)), x.axis), x.axis, lambda b, given: b.copy(node, given)
    )
