"""Triangles of the last two axes: frame by frame, if neither is time."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Node, Tensor
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule

SIDES = 2


@stream_rule("Trilu")
def trilu(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    if x.axis >= x.rank - SIDES:
        facts.refuse(
            "keeps a triangle of the stream whose one side is time",
            "mask frames by their positions instead, with a Where and torch.arange",
        )
    diagonal = facts.array(1, "its diagonal") if len(facts) > 1 and facts[1] is not None else None

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return b.copy(node, [inputs[0], *([] if diagonal is None else [b.constant(diagonal)])])

    return Lowering((facts.out(x, x.axis),), emit, local=True)
