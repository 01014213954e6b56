"""The registry of formulas: one function for each family of ops, one file each under ``ops/``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from graphc.ir.graph import Node
from graphc.stream.symbolic.domain.lists import fixed_list, listed
from graphc.stream.symbolic.domain.space import Expr, NoFormulaError, Region, constant
from graphc.stream.symbolic.domain.tensor import Formula


@dataclass(frozen=True)
class Operands:
    """The operands of a node.

    Args:
        inputs: the formula of each input; None if the input is omitted.
        opset: the opset of ONNX's own domain.
        accepted: the lengths at which the model is known to run; formulas need not hold at other lengths.
    """

    node: Node
    inputs: Sequence[Formula | None]
    opset: int
    accepted: Region

    def __getitem__(self, place: int) -> Formula:
        found = self.get(place)
        if found is None:
            raise NoFormulaError(f"its input {place} is missing")
        return found

    def get(self, place: int) -> Formula | None:
        return self.inputs[place] if place < len(self.inputs) else None

    def given(self) -> list[Formula]:
        return [f for f in self.inputs if f is not None]

    def attribute(self, name: str, default: Any = None) -> Any:
        return self.node.attrs.get(name, default)

    def argument(self, name: str, place: int) -> list[Expr] | None:
        """A list that is an attribute in some opsets and an input in others, as expressions of T; None if omitted."""
        if name in self.node.attrs:
            held = self.node.attrs[name]
            return [constant(int(v), 0) for v in (held if isinstance(held, list | tuple) else [held])]
        found = self.get(place)
        return None if found is None else listed(found)

    def fixed(self, name: str, place: int) -> list[int] | None:
        """The list of ``argument``, as integers that must be the same at every length; None if omitted."""
        if name in self.node.attrs:
            held = self.node.attrs[name]
            return [int(v) for v in (held if isinstance(held, list | tuple) else [held])]
        found = self.get(place)
        return None if found is None else fixed_list(found)


Make = Callable[[Operands], Sequence[Formula]]
FORMULAS: dict[str, Make] = {}


def formula_of(*ops: str) -> Callable[[Make], Make]:
    """Registers the formulas of a family of ops."""

    def register(make: Make) -> Make:
        FORMULAS.update(dict.fromkeys(ops, make))
        return make

    return register


@cache
def load_formulas() -> None:
    """Imports all modules under ``ops/``, once."""
    package = importlib.import_module("graphc.stream.symbolic.ops")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"graphc.stream.symbolic.ops.{module.name}")


def make_of(op: str) -> Make | None:
    load_formulas()
    return FORMULAS.get(op)
