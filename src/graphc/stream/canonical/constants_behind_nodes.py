"""Finds constants that nodes return: from Constant nodes, as in subgraphs, or computed only from constants."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.ir.graph import Constant, Tensor, constant_of, producer, subgraphs
from graphc.ir.import_export import constant_value


def value_in(tensor: Tensor) -> Any:
    """The value of a constant, even if Identity, Unsqueeze or Squeeze nodes follow it; None for any other tensor."""
    maker = producer(tensor)
    if maker is None:
        return constant_of(tensor)
    if maker.op == "Constant":
        held = constant_value(maker)
        return held.load() if hasattr(held, "load") else held
    if maker.op not in ("Identity", "Unsqueeze", "Squeeze"):
        return None
    value = value_in(maker.inputs[0])
    if value is None or maker.op == "Identity":
        return value
    axes = maker.attrs.get("axes")
    if axes is None and len(maker.inputs) > 1:
        axes = value_in(maker.inputs[1])
        if axes is None:
            return None
    places = None if axes is None else tuple(int(a) for a in np.ravel(axes))
    if maker.op == "Squeeze":
        return np.squeeze(value, places)
    return None if places is None else np.expand_dims(value, places)


def fixed(tensor: Tensor) -> bool:
    """Whether a tensor is a constant or is computed only from constants."""
    waiting, seen = [tensor], set[int]()
    while waiting:
        found = waiting.pop()
        node = producer(found)
        if isinstance(found, Constant) or id(found) in seen:
            continue
        if node is None or any(subgraphs(node)):
            return False
        seen.add(id(found))
        waiting += [t for t in node.inputs if t.name]
    return True
