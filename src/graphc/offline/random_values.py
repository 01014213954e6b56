"""Random values for one input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.ir.graph import Graph
from graphc.offline.feeds import Array


def random_values(
    rng: np.random.Generator,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    low: float | None,
    high: float | None,
    limit: int | None,
    scale: float,
) -> Array:
    """Normal floats, uniform integers below ``limit`` (2 if None), random bools; or uniform values from low to high."""
    if dtype.kind in "biu":
        most = 2 if dtype.kind == "b" else limit or 2
        bounds = (0, most) if low is None or high is None else (int(low), int(high) + 1)
        return np.asarray(rng.integers(*bounds, shape), dtype)
    if low is not None and high is not None:
        return np.asarray(rng.uniform(low, high, shape), dtype)
    return np.asarray(rng.standard_normal(shape) * scale, dtype)


def token_limits(graph: Graph) -> dict[str, int]:
    """For each integer input that indexes a table, the number of rows of the smallest such table."""
    limits: dict[str, int] = {}
    for port in graph.inputs:
        names = {port.name}
        for node in graph.nodes:
            reads = [t.name for t in node.inputs]
            if node.op in ("Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Transpose") and reads[:1]:
                if reads[0] in names:
                    names.update(t.name for t in node.outputs)
            elif node.op in ("Gather", "GatherElements") and len(reads) > 1 and reads[1] in names:
                table = node.inputs[0]
                if table.shape is not None and not table.inputs:
                    rows = table.shape[int(node.attrs.get("axis", 0))]
                    if isinstance(rows, int):
                        limits[port.name] = min(rows, limits.get(port.name, rows))
            elif node.op == "OneHot" and reads[0] in names and getattr(node.inputs[1], "values", None) is not None:
                limits[port.name] = int(np.ravel(node.inputs[1].values)[0])
    return limits
