"""Replaces the parts of LayerNormalization by one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from graphc_passes._rewrites.fusion._last_axis import is_of_last, means_over_last

from graphc.api import Match, PatternRewrite, Scene, Tensor, register_rewrite, scalar_of, weight_of

OLDEST = 17


def centred(op: Any, x: Any, *axes: Any) -> Any:
    return op.Sub(x, op.ReduceMean(x, *axes))


def attribute_power(op: Any, x: Any, eps: Any, gamma: Any, beta: Any) -> Any:
    d = centred(op, x)
    spread = op.Sqrt(op.Add(op.ReduceMean(op.Pow(d, 2.0)), eps))
    return op.Add(op.Mul(op.Div(d, spread), gamma), beta)


def attribute_product(op: Any, x: Any, eps: Any, gamma: Any, beta: Any) -> Any:
    d = centred(op, x)
    return op.Add(op.Mul(op.Div(d, op.Sqrt(op.Add(op.ReduceMean(op.Mul(d, d)), eps))), gamma), beta)


def input_power(op: Any, x: Any, axes: Any, eps: Any, gamma: Any, beta: Any) -> Any:
    d = centred(op, x, axes)
    spread = op.Sqrt(op.Add(op.ReduceMean(op.Pow(d, 2.0), axes), eps))
    return op.Add(op.Mul(op.Div(d, spread), gamma), beta)


def input_product(op: Any, x: Any, axes: Any, eps: Any, gamma: Any, beta: Any) -> Any:
    d = centred(op, x, axes)
    return op.Add(op.Mul(op.Div(d, op.Sqrt(op.Add(op.ReduceMean(op.Mul(d, d), axes), eps))), gamma), beta)


@register_rewrite
class LayerNorm(PatternRewrite):
    """(x - mean) / sqrt(variance + epsilon) * scale + shift, over the last axis, is LayerNormalization."""

    name = "layer_norm"
    stage = "names"
    patterns: ClassVar[Sequence[Callable[..., Any]]] = (attribute_power, attribute_product, input_power, input_product)

    def replacement(self, scene: Scene, found: Match) -> Tensor | str:
        if scene.opset < OLDEST:
            return f"LayerNormalization needs opset {OLDEST}, but the model has opset {scene.opset}"
        eps, gamma, beta = scalar_of(found["eps"]), weight_of(found["gamma"]), weight_of(found["beta"])
        shape = scene.shape(found["x"])
        if shape is None or eps is None or not means_over_last(found, len(shape)):
            return "its means are not over the last axis alone"
        width = shape[-1]
        if gamma is None or beta is None or not all(is_of_last(v.shape, width, len(shape)) for v in (gamma, beta)):
            return "its scale and shift are not constants over the last axis"
        parts = [scene.constant(f"{found.base}/{n}", v.ravel()) for n, v in (("scale", gamma), ("shift", beta))]
        return scene.one(
            "LayerNormalization", found["x"], *parts, base=found.base, shape=shape, axis=-1, epsilon=float(eps)
        )
