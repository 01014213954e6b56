"""Replaces the parts of HardSwish by one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from graphc.api import Match, PatternRewrite, Scene, Tensor, register_rewrite

OLDEST = 14
NEAR = 1e-6


def gated(op: Any, x: Any) -> Any:
    return op.Mul(x, op.HardSigmoid(x))


def clipped_last(op: Any, x: Any) -> Any:
    return op.Div(op.Mul(x, op.Clip(op.Add(x, 3.0), 0.0, 6.0)), 6.0)


def clipped_within(op: Any, x: Any) -> Any:
    return op.Mul(x, op.Div(op.Clip(op.Add(x, 3.0), 0.0, 6.0), 6.0))


@register_rewrite
class HardSwish(PatternRewrite):
    """x * HardSigmoid(x) with the slope 1/6, and x * clip(x + 3, 0, 6) / 6, are HardSwish."""

    name = "hard_swish"
    stage = "names"
    patterns: ClassVar[Sequence[Callable[..., Any]]] = (gated, clipped_last, clipped_within)

    def replacement(self, scene: Scene, found: Match) -> Tensor | str:
        if scene.opset < OLDEST:
            return f"HardSwish needs opset {OLDEST}, but the model has opset {scene.opset}"
        for node in found.nodes:
            slope, middle = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
            if node.op == "HardSigmoid" and (abs(slope - 1 / 6) > NEAR or abs(middle - 0.5) > NEAR):
                return f"its slope is {slope:g} and its middle {middle:g}"
        return scene.one("HardSwish", found["x"], base=found.base, shape=scene.shape(found["x"]))
