"""Moves a BatchNormalization into the convolution before it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.api import Node, Rewrite, Scene, is_float, label, register_rewrite, value_of


@register_rewrite
class BatchNormIntoConv(Rewrite):
    """Scale and shift of a BatchNormalization go into the weight and bias of the Conv or ConvTranspose before it."""

    name = "batch_norm_into_conv"
    stage = "weights"

    def apply(self, scene: Scene) -> int:
        count = 0
        for norm in scene.nodes("BatchNormalization"):
            conv = scene.sole(norm.inputs[0], "Conv", "ConvTranspose")
            if norm.attrs.get("training_mode", 0) or len([t for t in norm.outputs if t.name]) > 1:
                continue
            if conv is None:
                scene.notes.append(
                    f"{self.name}: {label(norm)} stays: it does not follow a convolution that nothing else reads"
                )
                continue
            count += self.merged(scene, norm, conv)
        return count

    def merged(self, scene: Scene, norm: Node, conv: Node) -> bool:
        if not is_float(conv.inputs[1]):
            return False
        parts = [value_of(t) for t in norm.inputs[1:5]]
        weight = value_of(conv.inputs[1])
        has_bias = len(conv.inputs) > 2 and conv.inputs[2].name != ""
        bias = value_of(conv.inputs[2]) if has_bias else np.zeros(1)
        if weight is None or bias is None or any(p is None for p in parts):
            return False
        gamma, beta, mean, variance = (np.asarray(p, np.float64) for p in parts)
        scale = gamma / np.sqrt(variance + float(norm.attrs.get("epsilon", 1e-5)))
        shift = (bias.astype(np.float64) - mean) * scale + beta
        merged = scaled(weight, scale, conv)
        if not (np.isfinite(merged).all() and np.isfinite(shift).all()):
            scene.notes.append(f"{self.name}: {label(norm)} stays: its scale is not finite")
            return False
        conv.inputs = [
            conv.inputs[0],
            scene.constant(f"{conv.inputs[1].name}/scaled", merged),
            scene.constant(f"{conv.inputs[1].name}/shift", shift.astype(weight.dtype)),
        ]
        output = norm.outputs[0]
        scene.drop(norm)
        conv.outputs = [output]
        return True


def scaled(weight: NDArray[Any], scale: NDArray[np.float64], conv: Node) -> NDArray[Any]:
    """The weight with each output channel scaled. In a ConvTranspose, axis 1 has the output channels of one group."""
    wide = weight.astype(np.float64)
    ones = [1] * (weight.ndim - 2)
    if conv.op == "Conv":
        return (wide * scale.reshape(-1, 1, *ones)).astype(weight.dtype)
    groups = int(conv.attrs.get("group", 1))
    split = wide.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    by_group = scale.reshape(groups, 1, weight.shape[1], *ones)
    return (split * by_group).reshape(weight.shape).astype(weight.dtype)
