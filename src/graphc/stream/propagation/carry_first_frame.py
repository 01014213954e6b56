"""Replaces a node's input that is the first frame of a stream by a carried tensor (``time/first_frame.py``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from graphc.ir.graph import Node, Tensor, Variable
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.propagation.lowered_node import LoweredNode
from graphc.stream.time.first_frame import first_frame, is_alone


def with_held_frames(
    node: Node, inputs: Sequence[Tensor], facts: Mapping[str, Fact], place: Callable[[LoweredNode], None]
) -> list[Tensor]:
    """The inputs of a node, in which each stream of one frame without delay is replaced by a tensor without time.

    Args:
        place: adds the lowered node that makes the tensor without time.
    """
    found: list[Tensor] = []
    for tensor in inputs:
        fact = facts.get(tensor.name)
        if isinstance(fact, Stream) and is_alone(fact):
            held = Variable(f"{tensor.name}/held", fact.dtype)
            if held.name not in facts:
                place(LoweredNode(node, first_frame(fact), (tensor,), (held,)))
            tensor = held
        found.append(tensor)
    return found
