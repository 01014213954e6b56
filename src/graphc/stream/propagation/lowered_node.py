"""A lowering with the tensors that it reads and makes."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.ir.graph import Node, Tensor
from graphc.stream.lowering.lowering import Lowering


@dataclass(frozen=True)
class LoweredNode:
    """A lowering with its input and output tensors.

    These are the node's own tensors, or tensors that replace them, such as positions computed from the clock.
    """

    node: Node
    step: Lowering
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
