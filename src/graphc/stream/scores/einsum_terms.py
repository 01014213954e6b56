"""A product in Einsum notation, one letter per axis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphc.ir.graph import Node
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.lowering.node_facts import Facts

SUMMED = "sums over all time"


@dataclass(frozen=True)
class Terms:
    """A product, as one letter for each axis.

    Args:
        operands: the letters of each operand's axes.
        output: the letters of the output's axes.
        rewrite: gives the node's attributes after an operand has lost the axis of a letter; None if they do not change.
    """

    operands: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]
    rewrite: Callable[[Node, int, str], dict[str, object] | None]

    def summed(self) -> set[str]:
        return {letter for operand in self.operands for letter in operand} - set(self.output)


def has_two_times(facts: Facts, terms: Terms) -> bool:
    """Whether a product reads or makes a score matrix, or a table of time and positions."""
    if any(isinstance(f, ScoreMatrix | IndexMap) for f in facts.inputs):
        return True
    letters = {terms.operands[i][s.axis] for i, s in facts.streams() if i < len(terms.operands)}
    if len(letters & set(terms.output)) > 1:
        return True
    return len(letters) == 1 and grown_letter(facts, terms, letters) is not None


def grown_letter(facts: Facts, terms: Terms, times: set[str]) -> str | None:
    """The letter of an output axis, other than time, whose size depends on the length; None if there is none.

    Such a size comes from a constant operand.
    """
    for axis, letter in enumerate(terms.output):
        if letter not in times and len({s[axis] for s in facts.output_shapes[0]}) > 1:
            return letter
    return None
