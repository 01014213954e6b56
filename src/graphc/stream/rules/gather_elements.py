"""Elements gathered or scattered within each frame, by an index for each element."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.facts.stream import Untimed
from graphc.stream.lowering.frame_by_frame import copied, with_clamped_indices
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_moving, refuse_time_axis
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.per_frame_operands import per_frame_operands

DATA, INDICES = range(2)


@stream_rule("GatherElements", "ScatterElements")
def elements(node: Node, facts: Facts) -> Lowering:
    """Elements of each frame's own operands, or of a table, such as a codebook, that has no time."""
    (place, x), *_ = facts.streams()
    along = normalised(int(node.attrs.get("axis", 0)), x.rank)
    if node.op == "GatherElements" and along == x.axis and place == INDICES and len(facts.streams()) == 1:
        table = facts[DATA]
        if isinstance(table, Untimed):
            refuse_moving(facts, table)
        elif facts.array(DATA, "its data") is None:
            facts.refuse("gathers elements of a table that depends on the length", "export the table as a constant")
        rows = facts.input_shapes[DATA][0][along]
        lookup = with_clamped_indices(copied(node, facts), -rows, rows - 1, x.dtype)
        return Lowering((facts.out(x, x.axis),), lookup, local=True)
    refuse_time_axis(facts, x, [along], "gathers or scatters elements")
    return per_frame_operands(
        facts, dict.fromkeys(range(len(facts)), x.axis), x.axis, lambda b, given: b.copy(node, given)
    )
