"""Constants with which a graph compares frames or lengths: from there on it may do something else.

What depends on the length is judged by its values at some lengths. A place that is clamped at 500, or a mask that opens
after frame 500, shows only beyond; so graphs that hold such a number are evaluated beyond it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from graphc.graph import Constant, Graph, Node, Tensor

COMPARISONS = ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Min", "Max", "Clip", "Mod")
PLAIN = ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Expand")
FARTHEST = 2000
STEPS = "steps"
LARGEST_STEP = 4096
MARGIN = 70


def length_beyond(
    graph: Graph, carried: set[str], lengths: Sequence[int], shapes: Mapping[str, tuple[tuple[int, ...], ...]]
) -> int | None:
    """A length that lies beyond every threshold within reach; None where those evaluated do.

    Args:
        carried: the tensors that depend on data.
        lengths: those evaluated.
        shapes: of the tensors of data at these, which tell how much slower than the input their frames go.
    """
    slowest = slowdown(lengths, shapes)
    wanted = [slowest * (math.ceil(value) + MARGIN) for value in thresholds(graph, carried)]
    beyond = max((n for n in wanted if n <= FARTHEST), default=0)
    return beyond if beyond > max(lengths) else None


def thresholds(graph: Graph, carried: set[str]) -> list[float]:
    """The numbers that time-only nodes compare with, or divide whole numbers by."""
    found: list[float] = []
    for node in graph.nodes:
        if any(t.name in carried for t in node.outputs):
            continue
        if node.op in COMPARISONS:
            found += [abs(v) for t in node.inputs if (v := number(t)) is not None]
        elif node.op == "Div" and len(node.inputs) == 2 and (v := number(node.inputs[1], whole=True)) is not None:
            found.append(abs(v))
    return [v for v in found if math.isfinite(v)]


def whole_steps(graph: Graph, carried: set[str]) -> list[int]:
    """The whole numbers that time-only nodes divide by, multiply by or take remainders of: steps of lengths."""
    found: set[int] = set()
    for node in graph.nodes:
        if node.op not in ("Div", "Mod", "Mul") or any(t.name in carried for t in node.outputs):
            continue
        for tensor in node.inputs[:2]:
            value = number(tensor)
            if value is not None and value == int(value) and 1 < abs(value) <= LARGEST_STEP:
                found.add(abs(int(value)))
    return sorted(found)


def number(tensor: Tensor, whole: bool = False) -> float | None:
    """The one value of a constant, also behind nodes that only give it another type or shape."""
    node: Node | None = None if isinstance(tensor, Constant) or not tensor.inputs else tensor.inputs[0]
    while node is not None and node.op in PLAIN:
        tensor = node.inputs[0]
        node = None if isinstance(tensor, Constant) or not tensor.inputs else tensor.inputs[0]
    if not isinstance(tensor, Constant) or math.prod(tensor.shape) != 1:
        return None
    value = np.asarray(tensor.values)
    if value.dtype.kind not in ("iu" if whole else "iuf"):
        return None
    return float(value.ravel()[0])


def slowdown(lengths: Sequence[int], shapes: Mapping[str, tuple[tuple[int, ...], ...]]) -> int:
    """Input frames to one frame of the slowest tensor of data."""
    longest, shortest = int(np.argmax(lengths)), int(np.argmin(lengths))
    span = lengths[longest] - lengths[shortest]
    grown = {b - a for sizes in shapes.values() for a, b in zip(sizes[shortest], sizes[longest], strict=False) if b > a}
    return max(1, round(span / min(grown))) if span and grown else 1
