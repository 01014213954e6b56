"""BatchNormalization behind a convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphc_passes._rewrites._scene import Scene, is_float, value_of
from numpy.typing import NDArray

from graphc.api import Node


def rewrite(scene: Scene) -> int:
    """The scale and shift go into the weight and bias of the Conv or ConvTranspose in front."""
    count = 0
    for norm in scene.nodes("BatchNormalization"):
        conv = scene.maker(norm.inputs[0], "Conv", "ConvTranspose")
        if conv is None or norm.attrs.get("training_mode", 0) or len([t for t in norm.outputs if t.name]) > 1:
            continue
        if not is_float(conv.inputs[1]):
            continue
        parts = [value_of(t) for t in norm.inputs[1:5]]
        weight = value_of(conv.inputs[1])
        has_bias = len(conv.inputs) > 2 and conv.inputs[2].name != ""
        bias = value_of(conv.inputs[2]) if has_bias else np.zeros(1)
        if weight is None or bias is None or any(p is None for p in parts):
            continue
        gamma, beta, mean, variance = (np.asarray(p, np.float64) for p in parts)
        scale = gamma / np.sqrt(variance + float(norm.attrs.get("epsilon", 1e-5)))
        shift = (bias.astype(np.float64) - mean) * scale + beta
        merged = scaled(weight, scale, conv)
        if not (np.isfinite(merged).all() and np.isfinite(shift).all()):
            scene.notes.append(f"{norm.name or norm.outputs[0].name} stays: its scale is not finite")
            continue
        conv.inputs = [
            conv.inputs[0],
            scene.constant(f"{conv.inputs[1].name}/scaled", merged),
            scene.constant(f"{conv.inputs[1].name}/shift", shift.astype(weight.dtype)),
        ]
        output = norm.outputs[0]
        scene.drop(norm)
        conv.outputs = [output]
        count += 1
    return count


def scaled(weight: NDArray[Any], scale: NDArray[np.float64], conv: Node) -> NDArray[Any]:
    """The weight with each output channel scaled; ConvTranspose has them on axis 1, once for each group."""
    wide = weight.astype(np.float64)
    ones = [1] * (weight.ndim - 2)
    if conv.op == "Conv":
        return (wide * scale.reshape(-1, 1, *ones)).astype(weight.dtype)
    groups = int(conv.attrs.get("group", 1))
    split = wide.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    by_group = scale.reshape(groups, 1, weight.shape[1], *ones)
    return (split * by_group).reshape(weight.shape).astype(weight.dtype)
