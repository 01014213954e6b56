"""Whole numbers that a graph divides lengths by: hops to whose multiples a length may be rounded."""

from __future__ import annotations

import math

import numpy as np

from graphc.graph import Constant, Graph, Node, Tensor

PLAIN = ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Expand")
STEPS = "steps"
LARGEST_STEP = 4096


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


def number(tensor: Tensor) -> float | None:
    """The one finite value of a constant, also behind nodes that only give it another type or shape."""
    node: Node | None = None if isinstance(tensor, Constant) or not tensor.inputs else tensor.inputs[0]
    while node is not None and node.op in PLAIN:
        tensor = node.inputs[0]
        node = None if isinstance(tensor, Constant) or not tensor.inputs else tensor.inputs[0]
    if not isinstance(tensor, Constant) or math.prod(tensor.shape) != 1:
        return None
    value = np.asarray(tensor.values)
    if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        return None
    return float(value.ravel()[0])
