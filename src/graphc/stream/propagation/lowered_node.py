"""A lowering at its place in the graph."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.graph import Node, Tensor
from graphc.stream.lowering.lowering import Lowering


@dataclass(frozen=True)
class LoweredNode:
    """A lowering with its inputs and outputs: the node's own tensors, or positions from the clock that replace them."""

    node: Node
    step: Lowering
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
