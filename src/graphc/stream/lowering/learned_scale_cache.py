"""Finds caches that can store the integers of a model with learned scales (passes/_quantize narrows other caches)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from graphc.contract.signature import StateScale
from graphc.ir.graph import Node, Tensor, constant_of, op_of, producer
from graphc.stream.facts.time_constant import Array


@dataclass(frozen=True)
class CacheScale:
    """How a cache stores integers instead of floats.

    Args:
        node: the DequantizeLinear that reads the integers.
        integers: the integers that this node reads.
        init: the first value of the cache, as integers.
        scale: the scale of the integers.
    """

    node: Node
    integers: Tensor
    init: Array
    scale: StateScale


def cache_scale_of(x: Tensor, init: Array) -> CacheScale | None:
    """How a cache of ``x`` can store integers, if a DequantizeLinear makes ``x``; None if it cannot.

    The node must have one constant scale, and integers must represent the first value of the cache exactly.

    Args:
        init: the first value of the cache, as floats.
    """
    node = producer(x)
    if node is None or op_of(node) != "DequantizeLinear" or len(node.inputs) < 3:
        return None
    scale, zero = constant_of(node.inputs[1]), constant_of(node.inputs[2])
    if scale is None or zero is None or scale.size != 1 or zero.dtype.kind not in "iu" or init.dtype != scale.dtype:
        return None
    step, offset, limits = float(scale.ravel()[0]), int(zero.ravel()[0]), np.iinfo(zero.dtype)
    if step <= 0 or not np.isfinite(init).all():
        return None
    places = np.round(init / step) + offset
    held = np.clip(places, limits.min, limits.max)
    if np.any((held - offset) * step != init):
        return None
    return CacheScale(node, node.inputs[0], held.astype(zero.dtype), StateScale(None, (step,), (offset,)))
