"""Replaces the parts of GELU by one node."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from graphc.api import Match, PatternRewrite, Scene, Tensor, register_rewrite

OLDEST = 20
ROOT = math.sqrt(2.0)
SLOPE = math.sqrt(2.0 / math.pi)


def divided_last(op: Any, x: Any) -> Any:
    return op.Mul(op.Mul(x, op.Add(op.Erf(op.Div(x, ROOT)), 1.0)), 0.5)


def divided_first(op: Any, x: Any) -> Any:
    return op.Mul(op.Mul(x, 0.5), op.Add(op.Erf(op.Div(x, ROOT)), 1.0))


def divided_within(op: Any, x: Any) -> Any:
    return op.Mul(x, op.Mul(op.Add(op.Erf(op.Div(x, ROOT)), 1.0), 0.5))


def scaled_last(op: Any, x: Any) -> Any:
    return op.Mul(op.Mul(x, op.Add(op.Erf(op.Mul(x, 1 / ROOT)), 1.0)), 0.5)


def scaled_first(op: Any, x: Any) -> Any:
    return op.Mul(op.Mul(x, 0.5), op.Add(op.Erf(op.Mul(x, 1 / ROOT)), 1.0))


def scaled_within(op: Any, x: Any) -> Any:
    return op.Mul(x, op.Mul(op.Add(op.Erf(op.Mul(x, 1 / ROOT)), 1.0), 0.5))


def curve(op: Any, x: Any, cube: Any) -> Any:
    return op.Add(op.Tanh(op.Mul(op.Add(x, op.Mul(cube, 0.044715)), SLOPE)), 1.0)


def tanh_first(op: Any, x: Any) -> Any:
    return op.Mul(op.Mul(x, 0.5), curve(op, x, op.Pow(x, 3.0)))


def tanh_last(op: Any, x: Any) -> Any:
    return op.Mul(op.Mul(x, curve(op, x, op.Pow(x, 3.0))), 0.5)


def tanh_products(op: Any, x: Any) -> Any:
    return op.Mul(op.Mul(x, 0.5), curve(op, x, op.Mul(op.Mul(x, x), x)))


class Curve(PatternRewrite):
    """One of the two forms of GELU."""

    approximate = "none"
    contrib = "Gelu"

    def replacement(self, scene: Scene, found: Match) -> Tensor | str:
        shape = scene.shape(found["x"])
        if scene.target.has(f"com.microsoft::{self.contrib}"):
            return scene.one(self.contrib, found["x"], base=found.base, shape=shape, domain="com.microsoft")
        if scene.opset < OLDEST:
            return f"Gelu needs opset {OLDEST}, but the model has opset {scene.opset}"
        return scene.one("Gelu", found["x"], base=found.base, shape=shape, approximate=self.approximate)


@register_rewrite
class Gelu(Curve):
    """x / 2 * (1 + erf(x / sqrt(2))) is Gelu."""

    name = "gelu"
    stage = "target"
    patterns: ClassVar[Sequence[Callable[..., Any]]] = (
        divided_last,
        divided_first,
        divided_within,
        scaled_last,
        scaled_first,
        scaled_within,
    )


@register_rewrite
class TanhGelu(Curve):
    """x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) is Gelu's tanh form."""

    name = "tanh_gelu"
    stage = "target"
    approximate = "tanh"
    contrib = "FastGelu"
    patterns: ClassVar[Sequence[Callable[..., Any]]] = (tanh_first, tanh_last, tanh_products)
