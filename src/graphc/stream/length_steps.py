"""Whole numbers that a graph divides lengths by: hops to whose multiples a length may be rounded, and slower frames."""

from __future__ import annotations

import math
from collections.abc import Container

import numpy as np

from graphc.graph import Constant, Graph, Node, Tensor, constant_of

PLAIN = ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Expand")
STEPS = "steps"
LARGEST_STEP = 4096
FEW = 16


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


def likely_steps(graph: Graph, data: Container[str]) -> list[int]:
    """Input frames that one frame of a tensor may take.

    Strides of nodes of data, the products of strides up to each, and small whole numbers that such nodes hold.
    """
    found: dict[int, None] = {}
    product = 1
    for node in graph.nodes:
        if not any(t.name in data for t in node.outputs):
            continue
        stride = max((int(s) for s in node.attrs.get("strides", ())), default=1)
        product = product * stride if product * stride <= LARGEST_STEP else stride
        found |= {product: None, stride: None}
        for tensor in node.inputs:
            value = constant_of(tensor) if isinstance(tensor, Constant) and math.prod(tensor.shape) <= FEW else None
            if value is not None and value.dtype.kind == "i":
                found |= {int(v): None for v in value.ravel()}
    return [n for n in found if 1 < n <= LARGEST_STEP]


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
