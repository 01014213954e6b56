"""The node that a rule takes, and the registry of rules, one for each ONNX op."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphc.emit.onnx_node import OnnxNode, registrar
from graphc.emit.tflite.emitter import Emitter, entries
from graphc.emit.tflite.value import Array, Value


@dataclass(frozen=True)
class Node(OnnxNode):
    """A node of the ONNX graph with its inputs as values. An absent input is None.

    Args:
        finite: for each input, whether its entries are finite if the model's inputs are.
    """

    inputs: Sequence[Value | None]
    finite: Sequence[bool]

    def value(self, index: int) -> Value:
        """An input that ONNX requires."""
        found = self.inputs[index]
        assert found is not None, self.label
        return found

    def has(self, index: int) -> bool:
        return self.present(index) is not None

    def present(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def array(self, index: int, what: str) -> Array | None:
        found = self.present(index)
        if found is None:
            return None
        if found.constant is None:
            raise self.refused(f"the model computes its {what}, but LiteRT needs a constant there")
        return entries(found)


Rule = Callable[[Emitter, Node], Sequence[Value]]
RULES: dict[str, Rule] = {}
rule = registrar(RULES)
