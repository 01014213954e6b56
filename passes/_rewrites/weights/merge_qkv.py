"""Merges products of one tensor with several weights into one product and a Split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.api import Node, Rewrite, Scene, Tensor, register_rewrite, weight_of


@dataclass(frozen=True)
class Product:
    """A product with its bias: the node, the weight [K, N], the bias [N] or None, and the output after the bias."""

    node: Node
    weight: NDArray[Any]
    bias: NDArray[Any] | None
    output: Tensor


@register_rewrite
class MergeQkv(Rewrite):
    """MatMuls of one tensor with several weights (queries, keys and values) become one MatMul and a Split."""

    name = "merge_qkv"
    stage = "weights"

    def apply(self, scene: Scene) -> int:
        groups: dict[int, list[Product]] = {}
        for node in scene.nodes("MatMul", "Gemm"):
            found = product_of(scene, node)
            if found is not None:
                groups.setdefault(id(node.inputs[0]), []).append(found)
        count = 0
        for products in groups.values():
            sizes = {p.weight.shape[0] for p in products} | {str(p.weight.dtype) for p in products}
            biased = sum(p.bias is not None for p in products)
            if len(sizes) > 2 or len(products) < 2 or (len(products) == 2 and biased == 0):
                continue
            if len({id(p.output) for p in products}) < len(products):
                continue
            self.merge(scene, products)
            count += 1
        return count

    def merge(self, scene: Scene, products: list[Product]) -> None:
        first = products[0]
        source, base = first.node.inputs[0], first.node.name or first.output.name
        weight = np.concatenate([p.weight for p in products], axis=1)
        shape = scene.shape(first.output)
        widths = [p.weight.shape[1] for p in products]
        whole = None if shape is None else [*shape[:-1], sum(widths)]
        dtype = weight.dtype
        made = scene.one(
            "MatMul", source, scene.constant(f"{base}/weights", weight), base=base, shape=whole, dtype=dtype
        )
        if any(p.bias is not None for p in products):
            biases = [
                p.bias if p.bias is not None else np.zeros(w, dtype) for p, w in zip(products, widths, strict=True)
            ]
            bias = scene.constant(f"{base}/biases", np.concatenate(biases).astype(dtype))
            made = scene.one("Add", made, bias, base=base, shape=whole, dtype=dtype)
        parts = scene.split(made, widths, -1 if shape is None else len(shape) - 1, base)
        for product, part in zip(products, parts, strict=True):
            scene.replace(product.output, part)


def product_of(scene: Scene, node: Node) -> Product | None:
    """A node's product with a constant weight, and its constant bias if there is one. None if the node does not fit."""
    weight = weight_of(node.inputs[1])
    if weight is None or weight.ndim != 2 or scene.shape(node.outputs[0]) is None:
        return None
    if node.op == "Gemm":
        plain = float(node.attrs.get("alpha", 1)) == 1 == float(node.attrs.get("beta", 1)) and not node.attrs.get(
            "transA"
        )
        bias = weight_of(node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2].name else None
        lost = len(node.inputs) > 2 and node.inputs[2].name and bias is None
        if not plain or lost or (bias is not None and bias.ndim > 1):
            return None
        turned = weight.T if node.attrs.get("transB") else weight
        full = None if bias is None else np.broadcast_to(bias, (turned.shape[1],))
        return Product(node, turned, full, node.outputs[0])
    add = scene.reader(node.outputs[0], "Add")
    if add is not None:
        other = next((t for t in add.inputs if t is not node.outputs[0]), None)
        bias = weight_of(other) if other is not None else None
        if bias is not None and bias.size == weight.shape[1] and bias.shape[-1:] == (weight.shape[1],):
            same = scene.shape(add.outputs[0]) == scene.shape(node.outputs[0])
            if same:
                return Product(node, weight, bias.ravel(), add.outputs[0])
    return Product(node, weight, None, node.outputs[0])
