"""Removes a first axis of size 1, so that products with a bias become Gemm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from graphc_passes._rewrites.layout._layout_regions import Layout, axis_of, data_of, relayout, varies, works_along
from numpy.typing import NDArray

import graphc.api as api
from graphc.api import (
    Constant,
    Node,
    Rewrite,
    Scene,
    Tensor,
    constant_of,
    is_last,
    normalised,
    op_of,
    register_rewrite,
    value_of,
)

RANK = 3
NORMALISATIONS = ("LayerNormalization", "RMSNormalization")
SHAPERS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


@register_rewrite
class SqueezeBatch(Rewrite):
    """Tensors [1, T, C] of a region lose their first axis, if products with a bias can then become Gemm without a
    Reshape before or after.
    """

    name = "squeeze_batch"
    stage = "ranks"

    def apply(self, scene: Scene) -> int:
        return relayout(Flat(scene), self.name)


class Flat(Layout):
    """The layout in which tensors [1, T, C] have no first axis."""

    opening_gain = 0.0

    def inside(self, tensor: Tensor) -> bool:
        shape = self.scene.fixed(tensor)
        return shape is not None and len(shape) == RANK and shape[0] == 1

    def takes(self, node: Node) -> bool:
        if not all(self.inside(t) for t in node.outputs if t.name):
            return False
        if api.is_elementwise(node):
            return all(self.fits(t) for t in node.inputs)
        if op_of(node) != node.op or not self.inside(node.inputs[0]):
            return False
        if node.op == "MatMul":
            return isinstance(node.inputs[1], Constant) and len(node.inputs[1].shape) == 2
        if node.op in NORMALISATIONS:
            return is_last(int(node.attrs.get("axis", -1)), RANK) and len([t for t in node.outputs if t.name]) == 1
        if works_along(self.scene, node):
            return all(self.inside(t) for t in data_of(node)) and varies(node) and axis_of(node, RANK) > 0
        if node.op == "Slice" and len(node.inputs) >= 4:
            axes = constant_of(node.inputs[3])
            return axes is not None and varies(node) and all(normalised(int(a), RANK) > 0 for a in axes)
        return node.op == "Transpose" and list(node.attrs.get("perm", [])) == [0, 2, 1]

    def fits(self, tensor: Tensor) -> bool:
        if not tensor.name or self.inside(tensor):
            return True
        shape = self.scene.fixed(tensor)
        if isinstance(tensor, Constant) and value_of(tensor) is None:
            return False
        return shape is not None and (len(shape) < RANK or (isinstance(tensor, Constant) and len(shape) == RANK))

    def worth(self, node: Node) -> float:
        if node.op != "MatMul":
            return 0.0
        add = self.scene.reader(node.outputs[0], "Add")
        biased = add is not None and any(
            isinstance(t, Constant) and math.prod(t.shape) == t.shape[-1] for t in add.inputs if t.shape
        )
        return self.scene.target.gains.biased_product if biased else 0.0

    def opens(self, node: Node | None) -> bool:
        return node is not None and node.op in SHAPERS

    def closes(self, node: Node) -> bool:
        return node.op in SHAPERS and self.scene.fixed(node.outputs[0]) is not None

    def closed(self, node: Node, tensor: Tensor) -> Tensor:
        sizes = self.scene.fixed(node.outputs[0])
        assert sizes is not None
        return self.scene.reshaped(tensor, sizes, node.outputs[0].name)

    def enter(self, tensor: Tensor) -> Tensor:
        sizes = self.scene.fixed(tensor)
        assert sizes is not None
        maker = self.scene.maker(tensor)
        source = maker.inputs[0] if maker is not None and self.opens(maker) else tensor
        return self.scene.reshaped(source, sizes[1:], tensor.name)

    def leave(self, tensor: Tensor, old: Tensor) -> Tensor:
        sizes = self.scene.fixed(old)
        assert sizes is not None
        return self.scene.reshaped(tensor, sizes, old.name)

    def relaid(self, init: NDArray[Any]) -> NDArray[Any] | None:
        signature = self.scene.model.signature
        alone = signature is not None and signature.streams is None
        return init[0] if alone and init.ndim == RANK and init.shape[0] == 1 else None

    def rewritten(self, node: Node, inputs: Sequence[Tensor]) -> list[Tensor]:
        scene, base = self.scene, node.name or node.outputs[0].name
        attrs, given = dict(node.attrs), list(inputs)
        shapes = [(scene.fixed(t) or [])[1:] for t in node.outputs]
        if works_along(scene, node):
            attrs["axis"] = axis_of(node, RANK) - 1
        elif node.op == "Slice":
            axes = constant_of(node.inputs[3])
            assert axes is not None
            given[3] = scene.constant(f"{base}/axes", [normalised(int(a), RANK) - 1 for a in axes])
        elif node.op == "Transpose":
            attrs["perm"] = [1, 0]
        elif node.op in NORMALISATIONS:
            attrs["axis"] = -1
        if node.op != "Slice":
            given = [self.operand(t) for t in given]
        dtype = scene.dtype(node.outputs[0])
        return list(scene.add(node.op, given, attrs, base=base, shapes=shapes, dtype=dtype, domain=node.domain))

    def operand(self, tensor: Tensor) -> Tensor:
        """An operand in the layout: a constant of rank 3 loses its first axis, any other tensor stays as it is."""
        value = value_of(tensor) if isinstance(tensor, Constant) and len(tensor.shape) == RANK else None
        return tensor if value is None else self.scene.constant(f"{tensor.name}/flat", np.asarray(value[0]))
