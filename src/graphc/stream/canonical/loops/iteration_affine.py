"""Numbers in the body of a Loop as affine functions of the iteration number and the number of iterations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from graphc.ir.graph import Graph, Node, Tensor
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.constants_behind_nodes import value_in

ROUTES = ("Identity", "Squeeze", "Unsqueeze", "Reshape")
WIDE = (TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT, TensorProto.DOUBLE)
COMPARED = {
    "Less": (1, 0, True),
    "LessOrEqual": (1, 0, False),
    "Greater": (0, 1, True),
    "GreaterOrEqual": (0, 1, False),
}
OPPOSITE = {"Less": "GreaterOrEqual", "LessOrEqual": "Greater", "Greater": "LessOrEqual", "GreaterOrEqual": "Less"}

EXACT_TYPES = (np.int64, np.int32, np.float32, np.float64)
LARGEST = 2**22
FEWEST = 3

Values = Mapping[str, Sequence[NDArray[np.generic]]]


@dataclass(frozen=True)
class Line:
    """A number in iteration t of a loop of n iterations, as ``turn · t + count · n + rest``."""

    turn: Fraction
    count: Fraction
    rest: Fraction

    def scaled(self, factor: Fraction) -> Line:
        return Line(self.turn * factor, self.count * factor, self.rest * factor)

    def plus(self, other: Line) -> Line:
        return Line(self.turn + other.turn, self.count + other.count, self.rest + other.rest)

    def minus(self, other: Line) -> Line:
        return self.plus(other.scaled(Fraction(-1)))

    @property
    def is_plain(self) -> bool:
        return not self.turn and not self.count

    def is_positive_before_the_last(self, strictly: bool) -> bool:
        """Whether the number is positive in every iteration but the last, for every n.

        If not ``strictly``, 0 is allowed too.

        These iterations are 0 ≤ t ≤ n - 2: a wedge with its corner at t = 0, n = 2. One edge goes along n, the other
        along t and n together.
        """
        corner = 2 * self.count + self.rest
        return self.count >= 0 and self.turn + self.count >= 0 and (corner > 0 if strictly else corner >= 0)

    def is_positive_nowhere_at_the_last(self, strictly: bool) -> bool:
        """Whether the number is not positive in the last iteration, t = n - 1, for every n ≥ 1.

        If not ``strictly``, 0 is treated as positive.
        """
        single = self.count + self.rest
        return self.turn + self.count <= 0 and (single <= 0 if strictly else single < 0)


class Turns:
    """Analyses numbers and conditions in the body of a loop of n iterations.

    Args:
        counts: n at each evaluated length; at least two differ.
        outer: the values of the tensors that the body reads from outside, at each evaluated length.
    """

    def __init__(self, body: Graph, counts: Sequence[int], outer: Values):
        self.body, self.counts, self.outer = body, counts, outer
        self.made_by = {t.name: n for n in body.nodes for t in n.outputs}
        self.used: dict[str, Line | None] = {}

    def line(self, tensor: Tensor) -> Line | None:
        """The ``Line`` of a tensor with one entry; None if the entry is not affine or depends on data."""
        if tensor is self.body.inputs[0]:
            return Line(Fraction(1), Fraction(0), Fraction(0))
        if (value := value_in(tensor)) is not None:
            return plain(np.asarray(value))
        if tensor.name in self.outer:
            self.used[tensor.name] = fitted(self.outer[tensor.name], self.counts)
            return self.used[tensor.name]
        node = self.made_by.get(tensor.name)
        if node is None:
            return None
        if passes_on(node):
            return self.line(node.inputs[0])
        if node.op not in ("Add", "Sub", "Mul"):
            return None
        left, right = self.line(node.inputs[0]), self.line(node.inputs[1])
        if left is None or right is None:
            return None
        if node.op != "Mul":
            return left.plus(right) if node.op == "Add" else left.minus(right)
        if left.is_plain and abs(left.rest) == 1:
            return right.scaled(left.rest)
        return left.scaled(right.rest) if right.is_plain and abs(right.rest) == 1 else None

    def goes_on(self, tensor: Tensor, wanted: bool = True) -> bool:
        """Whether a condition is proved to be ``wanted`` at the end of every iteration but the last, for every n."""
        if tensor is self.body.inputs[1]:
            return wanted
        value = value_in(tensor)
        if value is not None or tensor.name in self.outer:
            if value is None:
                self.used[tensor.name] = None
            values = [value] if value is not None else self.outer[tensor.name]
            return all(bool(np.all(np.asarray(v) == wanted)) for v in values)
        node = self.made_by.get(tensor.name)
        if node is None:
            return False
        if node.op in (*ROUTES, "Cast"):
            return self.goes_on(node.inputs[0], wanted)
        if node.op == "Not":
            return self.goes_on(node.inputs[0], not wanted)
        if node.op in ("And", "Or"):
            sides = [self.goes_on(t, wanted) for t in node.inputs]
            return all(sides) if (node.op == "And") == wanted else any(sides)
        excess, strictly = self.excess(node, wanted)
        return excess is not None and excess.is_positive_before_the_last(strictly)

    def ends(self, tensor: Tensor) -> bool:
        """Whether a condition is proved to be false at the end of the last iteration, n - 1, for every n."""
        node = self.made_by.get(tensor.name)
        if node is None:
            return False
        if node.op in (*ROUTES, "Cast"):
            return self.ends(node.inputs[0])
        if node.op == "And":
            return any(self.ends(t) for t in node.inputs)
        excess, strictly = self.excess(node, True)
        return excess is not None and excess.is_positive_nowhere_at_the_last(strictly)

    def excess(self, node: Node, wanted: bool) -> tuple[Line | None, bool]:
        """The ``Line`` that must be positive for a comparison to have the wanted result, and whether 0 is excluded.

        The line is None if the node is not a comparison of two lines.
        """
        if node.op not in COMPARED:
            return None, False
        more, less, strictly = COMPARED[node.op if wanted else OPPOSITE[node.op]]
        larger, smaller = self.line(node.inputs[more]), self.line(node.inputs[less])
        if larger is None or smaller is None:
            return None, strictly
        return larger.minus(smaller), strictly


def plain(value: NDArray[np.generic]) -> Line | None:
    """The ``Line`` of a constant integer; None if the constant is not a single integer below ``LARGEST``.

    Each of ``EXACT_TYPES`` represents such integers exactly, with a margin.
    """
    if value.size != 1 or value.dtype not in EXACT_TYPES or not abs(value.item()) < LARGEST or value.item() % 1:
        return None
    return Line(Fraction(0), Fraction(0), Fraction(value.item()))


def fitted(values: Sequence[NDArray[np.generic]], counts: Sequence[int]) -> Line | None:
    """The ``Line`` in n (without t) that fits the values; None if there is none.

    At least three different counts are required.

    Args:
        values: the value of a tensor, at each evaluated length.
        counts: n at each evaluated length.
    """
    numbers = [plain(np.asarray(v)) for v in values]
    if len(numbers) != len(counts) or any(v is None for v in numbers):
        return None
    points = sorted({(n, line.rest) for n, line in zip(counts, numbers, strict=True) if line is not None})
    (first, low), (last, high) = points[0], points[-1]
    if len({n for n, _ in points}) < FEWEST:
        return None
    slope = (high - low) / (last - first)
    rest = low - slope * first
    return Line(Fraction(0), slope, rest) if all(v == slope * n + rest for n, v in points) else None


def passes_on(node: Node) -> bool:
    """Whether a node returns its integer input unchanged, apart from shape and type."""
    return node.op in ROUTES or (node.op == "Cast" and node.attrs.get("to") in WIDE)


def routed(body: Graph) -> set[str]:
    """The names of all tensors in a body whose value is the iteration number."""
    found = {body.inputs[0].name}
    for node in body.nodes:
        if passes_on(node) and node.inputs[0].name in found:
            found.add(node.outputs[0].name)
    return found


def beside(w: Writer, number: Tensor, count: Fraction, turns: Tensor) -> str:
    """Computes ``number`` minus ``count`` times the number of iterations; returns the name of the result.

    The result is multiplied by the denominator of ``count``, so that it is an integer.
    """
    wide = w.one("Mul", w.one("Cast", number, to=TensorProto.INT64), count.denominator)
    return w.one("Sub", wide, w.one("Mul", turns, count.numerator)).name
