"""What a rule takes, and the registry of rules: one for each ONNX op."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.errors import TargetError

Tensor = Any
Array = NDArray[Any]


@dataclass(frozen=True)
class Node:
    """A node of the ONNX graph.

    Args:
        inputs, outputs: names; an absent one is empty.
        known: what is known before the model runs, by name.
    """

    op: str
    label: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, Any]
    opset: int
    known: Mapping[str, Array]

    def refused(self, reason: str, hint: str | None = None) -> TargetError:
        return TargetError(reason, node=self.label, hint=hint)

    def has(self, index: int) -> bool:
        return index < len(self.inputs) and bool(self.inputs[index])

    def array(self, index: int, what: str) -> Array | None:
        """The entries of an input that has to be known; None where it is absent.

        Errors:
            TargetError: it is computed.
        """
        if not self.has(index):
            return None
        if self.inputs[index] not in self.known:
            raise self.refused(f"its {what} has to be known, and here it is computed")
        return self.known[self.inputs[index]]

    def numbers(self, index: int, name: str) -> list[int] | None:
        """Whole numbers that are an attribute in old opsets and an input in new ones."""
        if name in self.attributes:
            return [int(n) for n in self.attributes[name]]
        found = self.array(index, name)
        return None if found is None else [int(n) for n in np.asarray(found).reshape(-1)]


Rule = Callable[[Node, Sequence[Tensor]], Tensor | Sequence[Tensor]]
RULES: dict[str, Rule] = {}


def rule(*ops: str) -> Callable[[Rule], Rule]:
    """Registers a rule for ops of ONNX. It gets the inputs as tensors, None for an absent one."""

    def add(made: Rule) -> Rule:
        for op in ops:
            assert op not in RULES, op
            RULES[op] = made
        return made

    return add
