"""The node that a rule takes, and the registry of rules, one for each ONNX op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.emit.onnx_node import Array, OnnxNode, registrar

Tensor = Any


@dataclass(frozen=True)
class Node(OnnxNode):
    """A node of the ONNX graph.

    Args:
        inputs: the names of the inputs; an absent one is empty.
        known: the tensors that are known before the model runs, by name.
    """

    inputs: Sequence[str]
    known: Mapping[str, Array]

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and bool(self.inputs[index])

    def array(self, index: int, what: str) -> Array | None:
        if not self.has(index):
            return None
        if self.inputs[index] not in self.known:
            raise self.refused(f"the model computes its {what}, but torch needs a constant there")
        return self.known[self.inputs[index]]


Rule = Callable[[Node, Sequence[Tensor]], Tensor | Sequence[Tensor]]
RULES: dict[str, Rule] = {}
"""Rules by op. A rule gets the inputs as tensors, None for an absent one."""
rule = registrar(RULES)
