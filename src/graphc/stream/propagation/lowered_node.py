"""A step at its place in the graph."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.graph import Node, Tensor
from graphc.stream.lowering.lowering import Lowering


@dataclass(frozen=True)
class LoweredNode:
    """A step with its inputs and outputs: the node's own tensors, or positions made from the clock in their place."""

    node: Node
    step: Lowering
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
