"""Replaces the parts of RMSNormalization by one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, ClassVar

from graphc_passes._rewrites.fusion._last_axis import is_of_last, means_over_last

from graphc.api import Match, PatternRewrite, Scene, Tensor, register_rewrite, scalar_of, weight_of

OLDEST = 23
SQUARES: tuple[Callable[..., Any], ...] = (lambda op, x: op.Pow(x, 2.0), lambda op, x: op.Mul(x, x))
QUOTIENTS: tuple[Callable[..., Any], ...] = (
    lambda op, x, root: op.Div(x, root),
    lambda op, x, root: op.Mul(x, op.Reciprocal(root)),
    lambda op, x, root: op.Mul(x, op.Div(1.0, root)),
)


def by_attribute(square: Callable[..., Any], quotient: Callable[..., Any]) -> Callable[..., Any]:
    def form(op: Any, x: Any, eps: Any, gamma: Any) -> Any:
        return op.Mul(quotient(op, x, op.Sqrt(op.Add(op.ReduceMean(square(op, x)), eps))), gamma)

    return form


def by_input(square: Callable[..., Any], quotient: Callable[..., Any]) -> Callable[..., Any]:
    def form(op: Any, x: Any, axes: Any, eps: Any, gamma: Any) -> Any:
        return op.Mul(quotient(op, x, op.Sqrt(op.Add(op.ReduceMean(square(op, x), axes), eps))), gamma)

    return form


@register_rewrite
class RmsNorm(PatternRewrite):
    """x / sqrt(mean(x^2) + epsilon) * scale, over the last axis, is RMSNormalization (from opset 23 on)."""

    name = "rms_norm"
    stage = "names"
    patterns: ClassVar[Sequence[Callable[..., Any]]] = [
        form(square, quotient) for form, square, quotient in product((by_attribute, by_input), SQUARES, QUOTIENTS)
    ]

    def replacement(self, scene: Scene, found: Match) -> Tensor | str:
        if scene.opset < OLDEST:
            return f"RMSNormalization needs opset {OLDEST}, but the model has opset {scene.opset}"
        eps, gamma, shape = scalar_of(found["eps"]), weight_of(found["gamma"]), scene.shape(found["x"])
        if shape is None or eps is None or not means_over_last(found, len(shape)):
            return "its mean is not over the last axis alone"
        if gamma is None or not is_of_last(gamma.shape, shape[-1], len(shape)):
            return "its scale is not a constant over the last axis"
        scale = scene.constant(f"{found.base}/scale", gamma.ravel())
        return scene.one(
            "RMSNormalization", found["x"], scale, base=found.base, shape=shape, axis=-1, epsilon=float(eps)
        )
