"""Elements gathered or scattered within each frame, by an index for each element."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Emit, Lowering
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
        return Lowering((facts.out(x, x.axis),), clamped(copied(node, facts), rows, x), local=True)
    refuse_time_axis(facts, x, [along], "gathers or scatters elements")
    return per_frame_operands(
        facts, dict.fromkeys(range(len(facts)), x.axis), x.axis, lambda b, given: b.copy(node, given)
    )


def clamped(emit: Emit, rows: int, x: Stream) -> Emit:
    """A lookup in a table with its indices clamped, since frames that do not exist may lie beyond its ends."""

    def found(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        table, index = inputs
        assert index is not None
        return emit(b, [table, b.clipped(index, -rows, rows - 1, x.dtype)])

    return found
