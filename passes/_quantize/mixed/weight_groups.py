"""Nodes that share a weight."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightGroup:
    """Nodes that share a weight, and therefore its precision.

    Args:
        elements: the number of entries of the shared weight; of both weights for a recurrent op.
        products: the number of multiply-adds of all nodes in a call; 0 if not counted.
    """

    nodes: tuple[str, ...]
    elements: int
    products: int = 0

    @property
    def name(self) -> str:
        return self.nodes[0] if len(self.nodes) == 1 else f"{self.nodes[0]} and {len(self.nodes) - 1} more"
