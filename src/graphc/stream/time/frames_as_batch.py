"""The lowering for time on an axis whose entries an op processes independently, such as the batch axis."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts


def each_alone(node: Node, facts: Facts, x: Stream) -> Lowering:
    """The lowering to an unchanged copy of the node, which processes every frame independently."""

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return b.copy(node, inputs)

    return Lowering((facts.out(x, x.axis),), emit, local=True)
