"""Replaces the parts of SiLU, with or without a slope, by one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from graphc.api import Match, PatternRewrite, Scene, Tensor, register_rewrite, scalar_of


def plain(op: Any, x: Any) -> Any:
    return op.Mul(x, op.Sigmoid(x))


def steeper(op: Any, x: Any, slope: Any) -> Any:
    return op.Mul(x, op.Sigmoid(op.Mul(x, slope)))


@register_rewrite
class Silu(PatternRewrite):
    """x * sigmoid(x) is onnxruntime's QuickGelu with a slope of 1, x * sigmoid(a x) with a slope of a."""

    name = "silu"
    stage = "target"
    needs = ("com.microsoft::QuickGelu",)
    patterns: ClassVar[Sequence[Callable[..., Any]]] = (plain, steeper)

    def replacement(self, scene: Scene, found: Match) -> Tensor | str:
        slope = 1.0 if "slope" not in found.tensors else scalar_of(found["slope"])
        if slope is None:
            return "its slope is not one number"
        if str(scene.dtype(found["x"])) != "float32":
            return "onnxruntime has QuickGelu only for float32"
        shape = scene.shape(found["x"])
        return scene.one("QuickGelu", found["x"], base=found.base, shape=shape, alpha=slope, domain="com.microsoft")
