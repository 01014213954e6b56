"""What a rule takes, and the registry of rules: one for each ONNX op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graphc.emit.tflite.emitter import Emitter, entries
from graphc.emit.tflite.value import Array, Value
from graphc.errors import TargetError


@dataclass(frozen=True)
class Node:
    """A node of the ONNX graph, its inputs as values; an absent one is None.

    Args:
        finite: of each input, whether its entries are finite numbers wherever the model's inputs are.
    """

    op: str
    label: str
    inputs: Sequence[Value | None]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    opset: int
    finite: Sequence[bool] = ()

    def refused(self, reason: str, hint: str | None = None) -> TargetError:
        return TargetError(reason, node=self.label, hint=hint)

    def value(self, index: int) -> Value:
        """An input that ONNX requires."""
        found = self.inputs[index]
        assert found is not None, self.label
        return found

    def present(self, index: int) -> Value | None:
        return self.inputs[index] if index < len(self.inputs) else None

    def array(self, index: int, what: str) -> Array | None:
        """The entries of an input that has to be known before the model runs; None where it is absent.

        Errors:
            TargetError: it is computed.
        """
        found = self.present(index)
        if found is None:
            return None
        if found.constant is None:
            raise self.refused(f"LiteRT needs its {what} to be known, and here it is computed")
        return entries(found)

    def numbers(self, index: int, name: str) -> list[int] | None:
        """Whole numbers that are an attribute in old opsets and an input in new ones."""
        if name in self.attributes:
            return [int(n) for n in self.attributes[name]]
        found = self.array(index, name)
        return None if found is None else [int(n) for n in found.reshape(-1)]


Rule = Callable[[Emitter, Node], Sequence[Value]]
RULES: dict[str, Rule] = {}


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Registers a rule for ops of ONNX."""

    def add(made: Rule) -> Rule:
        for op in ops:
            assert op not in RULES, op
            RULES[op] = made
        return made

    return add
