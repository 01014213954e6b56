"""Constants inside subgraphs, where nodes of their own may hold them and change their axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphc.graph import Tensor, constant_of, constant_value, producer


def value_in(tensor: Tensor) -> Any:
    """The value of a tensor that is a constant but for axes of size 1; None of any other."""
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
