"""Moves scales and shifts per channel into the MatMul or convolution next to them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.api import Constant, Node, Rewrite, Scene, Tensor, register_rewrite, weight_of

LINEAR = ("MatMul", "Conv", "ConvTranspose")


@register_rewrite
class FoldAffine(Rewrite):
    """A scale per channel before or after a MatMul, or after a convolution, moves into the weight. A shift per channel
    after a convolution moves into the bias.
    """

    name = "fold_affine"
    stage = "weights"

    def apply(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes("Mul", "Div", "Add", "Sub"):
            count += self.behind(scene, node) or self.in_front(scene, node)
        return count

    def behind(self, scene: Scene, node: Node) -> bool:
        for index in (1, 0) if node.op in ("Mul", "Add") else (1,):
            value, linear = weight_of(node.inputs[index]), scene.sole(node.inputs[1 - index], *LINEAR)
            if value is None or linear is None or value.size == 1:
                continue
            if not scene.alike(node.inputs[1 - index], node.outputs[0]):
                continue
            rank = scene.rank(node.outputs[0])
            channels = None if rank is None else by_channel(value, rank, rank - 1 if linear.op == "MatMul" else 1)
            if channels is None or not self.absorbed(scene, linear, node.op, channels):
                continue
            scene.bypass(node, node.inputs[1 - index])
            return True
        return False

    def absorbed(self, scene: Scene, linear: Node, op: str, channels: NDArray[np.float64]) -> bool:
        weight = weight_of(linear.inputs[1])
        if weight is None:
            return False
        if op in ("Mul", "Div"):
            factor = channels if op == "Mul" else 1 / channels
            if not np.isfinite(factor).all():
                return False
            return self.scaled(scene, linear, weight, factor)
        if linear.op == "MatMul":
            return False
        bias = weight_of(linear.inputs[2]) if len(linear.inputs) > 2 and linear.inputs[2].name else np.zeros(1)
        if bias is None:
            return False
        shifted = narrowed(bias.astype(np.float64) + (channels if op == "Add" else -channels), weight, bias)
        if shifted is None:
            return False
        self.put(scene, linear, 2, shifted)
        return True

    def scaled(self, scene: Scene, linear: Node, weight: NDArray[Any], factor: NDArray[np.float64]) -> bool:
        wide = weight.astype(np.float64)
        if linear.op == "MatMul":
            if weight.ndim != 2:
                return False
            wide = wide * factor
        elif linear.op == "Conv":
            wide = wide * factor.reshape(-1, *[1] * (weight.ndim - 1))
        else:
            groups = int(linear.attrs.get("group", 1))
            parts = wide.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
            wide = (parts * factor.reshape(groups, 1, -1, *[1] * (weight.ndim - 2))).reshape(weight.shape)
        merged = narrowed(wide, weight)
        if merged is None:
            return False
        if linear.op != "MatMul" and len(linear.inputs) > 2 and linear.inputs[2].name:
            bias = weight_of(linear.inputs[2])
            both = None if bias is None else narrowed(bias.astype(np.float64) * factor, bias)
            if both is None:
                return False
            self.put(scene, linear, 2, both)
        self.put(scene, linear, 1, merged)
        return True

    def in_front(self, scene: Scene, node: Node) -> bool:
        if node.op not in ("Mul", "Div"):
            return False
        product = scene.reader(node.outputs[0], "MatMul")
        if product is None or product.inputs[0] is not node.outputs[0]:
            return False
        weight = weight_of(product.inputs[1])
        for index in (1, 0) if node.op == "Mul" else (1,):
            value, source = weight_of(node.inputs[index]), node.inputs[1 - index]
            rank = scene.rank(node.outputs[0])
            if value is None or weight is None or weight.ndim != 2 or rank is None or isinstance(source, Constant):
                continue
            channels = by_channel(value, rank, rank - 1)
            if channels is None or not scene.alike(source, node.outputs[0]):
                continue
            factor = channels if node.op == "Mul" else 1 / channels
            if not np.isfinite(factor).all():
                continue
            scaled = narrowed(weight.astype(np.float64) * factor.reshape(-1, 1), weight)
            if scaled is None:
                continue
            self.put(scene, product, 1, scaled)
            product.inputs = [source, product.inputs[1]]
            return True
        return False

    def put(self, scene: Scene, node: Node, index: int, value: NDArray[Any]) -> None:
        base = node.inputs[index].name if index < len(node.inputs) and node.inputs[index].name else f"{node.name}/bias"
        made: Tensor = scene.constant(f"{base}/merged", value)
        inputs = list(node.inputs)
        inputs[index : index + 1] = [made]
        node.inputs = inputs


def narrowed(wide: NDArray[np.float64], *like: NDArray[Any]) -> NDArray[Any] | None:
    """Merged values in the dtype of ``like[0]``. None if values overflow although those in ``like`` are finite."""
    with np.errstate(over="ignore"):
        made = wide.astype(like[0].dtype)
    finite = all(np.isfinite(v).all() for v in like)
    return made if np.isfinite(made).all() or not finite else None


def by_channel(value: NDArray[Any], rank: int, axis: int) -> NDArray[np.float64] | None:
    """The values of a constant that varies only along ``axis``, one of ``rank`` axes; None if it varies elsewhere."""
    if value.ndim > rank:
        return None
    shape = (1,) * (rank - value.ndim) + value.shape
    if any(size != 1 for a, size in enumerate(shape) if a != axis):
        return None
    return value.astype(np.float64).ravel()
