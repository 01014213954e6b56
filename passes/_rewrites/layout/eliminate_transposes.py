"""Removes Transposes around regions that could work in the transposed layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from graphc_passes._rewrites.layout._layout_regions import (
    Layout,
    axis_of,
    data_of,
    relayout,
    shaped,
    varies,
    works_along,
)
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
    weight_of,
)

CHANNELS_LAST = [0, 2, 1]
SMALLEST_PRODUCT = 4_096
SMALLEST_GATHERED = 8_192
LARGEST_GATHERED = 32_768


@register_rewrite
class EliminateTransposes(Rewrite):
    """Changes the order of axes in a region between Transposes, if fewer Transposes remain.

    The region may contain elementwise ops, Split, Concat, Slice, softmax, convolutions over single frames (they become
    MatMuls), and caches, whose ports change their layout.
    """

    name = "eliminate_transposes"
    stage = "layout"

    def apply(self, scene: Scene) -> int:
        count = 0
        perms = {tuple(n.attrs["perm"]) for n in scene.nodes("Transpose") if "perm" in n.attrs}
        perms |= {
            (*range(rank - 2), rank - 1, rank - 2)
            for n in scene.nodes("Concat")
            if (rank := scene.rank(n.outputs[0]) or 0) >= 3 and is_last(int(n.attrs["axis"]), rank)
        }
        if any(is_pointwise(n) for n in scene.nodes("Conv")):
            perms.add(tuple(CHANNELS_LAST))
        for perm in sorted(perms):
            count += relayout(Permuted(scene, list(perm)), self.name)
        return count


class Permuted(Layout):
    """The layout in which tensors of one rank have their axes in another order."""

    def __init__(self, scene: Scene, perm: list[int]):
        super().__init__(scene)
        self.perm = perm
        self.back = [perm.index(a) for a in range(len(perm))]

    @property
    def order(self) -> Sequence[int] | None:
        return self.perm

    def inside(self, tensor: Tensor) -> bool:
        shape = self.scene.shape(tensor)
        return shape is not None and len(shape) == len(self.perm)

    def takes(self, node: Node) -> bool:
        if not all(self.inside(t) for t in node.outputs if t.name):
            return False
        if api.is_elementwise(node):
            return all(self.fits(t) for t in node.inputs)
        if works_along(self.scene, node):
            return all(self.inside(t) for t in data_of(node)) and varies(node)
        if node.op == "Slice" and op_of(node) == node.op:
            known = len(node.inputs) >= 4 and constant_of(node.inputs[3]) is not None
            return known and varies(node) and self.inside(node.inputs[0])
        return self.perm == CHANNELS_LAST and (is_pointwise(node) or self.is_small(node))

    def is_small(self, node: Node) -> bool:
        """Whether a convolution over time is faster as a Gather of frames and a MatMul."""
        if not self.scene.target.gains.gathered_conv or not is_plain_conv(node):
            return False
        fixed = all(self.scene.fixed(t) is not None for t in (node.inputs[0], node.outputs[0]))
        return fixed and SMALLEST_GATHERED <= math.prod(node.inputs[1].shape) <= LARGEST_GATHERED

    def fits(self, tensor: Tensor) -> bool:
        """Whether an operand of an elementwise op can take the new order."""
        if not tensor.name:
            return True
        if isinstance(tensor, Constant):
            return value_of(tensor) is not None
        size = self.scene.fixed(tensor)
        return self.inside(tensor) or (size is not None and sum(d != 1 for d in size) <= 1)

    def worth(self, node: Node) -> float:
        """The gain from moving a node to the transposed layout, in removed nodes; negative if it gets slower.

        Large convolutions are faster as MatMuls, small ones slower. A Concat is faster along any axis but the last,
        because it then copies larger pieces of memory.
        """
        if node.op == "Concat":
            last = len(self.perm) - 1
            before, after = normalised(int(node.attrs["axis"]), len(self.perm)), self.axis(int(node.attrs["axis"]))
            return 0.5 * ((before == last) - (after == last))
        if node.op != "Conv":
            return 0.0
        return 0.5 if math.prod(node.inputs[1].shape) >= SMALLEST_PRODUCT else -0.5

    def opens(self, node: Node | None) -> bool:
        return node is not None and node.op == "Transpose" and list(node.attrs.get("perm", [])) == self.back

    def closes(self, node: Node) -> bool:
        return node.op == "Transpose" and list(node.attrs.get("perm", [])) == self.perm

    def absorbs(self, node: Node | None) -> bool:
        return node is not None and node.op == "Transpose"

    def indifferent(self, node: Node, tensor: Tensor) -> bool:
        """Whether the node is a MatMul into which the runtime fuses a Transpose of the last two axes."""
        swapped = [*range(len(self.perm) - 2), len(self.perm) - 1, len(self.perm) - 2]
        return self.scene.target.gains.transposed_product and self.perm == swapped and node.op == "MatMul"

    def closed(self, node: Node, tensor: Tensor) -> Tensor:
        return tensor

    def enter(self, tensor: Tensor) -> Tensor:
        maker = self.scene.maker(tensor, "Transpose")
        if maker is None or "perm" not in maker.attrs:
            return self.scene.transposed(tensor, self.perm, tensor.name)
        source: Tensor = maker.inputs[0]
        merged = [maker.attrs["perm"][a] for a in self.perm]
        return source if merged == sorted(merged) else self.scene.transposed(source, merged, tensor.name)

    def leave(self, tensor: Tensor, old: Tensor) -> Tensor:
        return self.scene.transposed(tensor, self.back, old.name)

    def relaid(self, init: NDArray[Any]) -> NDArray[Any] | None:
        return init.transpose(self.perm) if init.ndim == len(self.perm) else None

    def moved_shape(self, tensor: Tensor) -> list[int | str | None] | None:
        shape = self.scene.shape(tensor)
        return None if shape is None else [shape[a] for a in self.perm]

    def axis(self, axis: int) -> int:
        return self.perm.index(normalised(axis, len(self.perm)))

    def operand(self, tensor: Tensor) -> Tensor:
        """An operand of an elementwise op in the new order of axes.

        Constants, and tensors with fewer axes, are converted here. All other operands already have the new order.
        """
        value = value_of(tensor) if isinstance(tensor, Constant) else None
        size = self.scene.fixed(tensor)
        if value is None and size is not None and 0 < len(size) < len(self.perm) and math.prod(size) > 1:
            filled = [*[1] * (len(self.perm) - len(size)), *size]
            return self.scene.reshaped(tensor, without_front([filled[a] for a in self.perm]), tensor.name)
        if value is None or value.size == 1:
            return tensor
        moved = shaped(value, len(self.perm)).transpose(self.perm)
        return self.scene.constant(f"{tensor.name}/moved", moved.reshape(without_front(moved.shape)))

    def rewritten(self, node: Node, inputs: Sequence[Tensor]) -> list[Tensor]:
        scene, base = self.scene, node.name or node.outputs[0].name
        shapes = [self.moved_shape(t) for t in node.outputs]
        dtype = scene.dtype(node.outputs[0])
        if node.op == "Conv":
            return [self.product(node, [self.gathered(node, inputs[0], base), *inputs[1:]], base)]
        attrs, given = dict(node.attrs), list(inputs)
        if works_along(scene, node):
            attrs["axis"] = self.axis(axis_of(node, len(self.perm)))
            if node.op == "Concat":
                given = [self.whole(t) for t in given]
        elif node.op == "Slice":
            axes = constant_of(node.inputs[3])
            assert axes is not None
            given[3] = scene.constant(f"{base}/axes", [self.axis(int(a)) for a in axes])
        else:
            given = [self.operand(t) for t in given]
        return list(scene.add(node.op, given, attrs, base=base, shapes=shapes, dtype=dtype, domain=node.domain))

    def whole(self, tensor: Tensor) -> Tensor:
        value = value_of(tensor) if isinstance(tensor, Constant) else None
        return tensor if value is None else self.scene.constant(f"{tensor.name}/moved", value.transpose(self.perm))

    def gathered(self, node: Node, x: Tensor, base: str) -> Tensor:
        """The input frames that each output frame reads, side by side: [batch, frames, kernel * channels]."""
        kernel = int(node.inputs[1].shape[2])
        if is_pointwise(node):
            return x
        before, after = self.scene.fixed(node.inputs[0]), self.scene.fixed(node.outputs[0])
        assert before is not None
        assert after is not None
        stride, dilation = (int(node.attrs.get(name, [1])[0]) for name in ("strides", "dilations"))
        frames = np.arange(after[2])[:, None] * stride + np.arange(kernel)[None] * dilation
        index = self.scene.constant(f"{base}/frames", frames.astype(np.int64))
        shape = [before[0], after[2], kernel, before[1]]
        rows = self.scene.one("Gather", x, index, base=base, shape=shape, axis=1)
        return self.scene.reshaped(rows, [before[0], after[2], kernel * before[1]], base)

    def product(self, node: Node, inputs: Sequence[Tensor], base: str) -> Tensor:
        """Adds a MatMul, with an Add for the bias, that replaces a convolution. Returns the result.

        ``inputs[0]`` has the (gathered) frames, [batch, frames, kernel * channels].
        """
        weight = weight_of(node.inputs[1])
        assert weight is not None
        scene, shape = self.scene, self.moved_shape(node.outputs[0])
        columns = weight.transpose(2, 1, 0).reshape(-1, weight.shape[0])
        turned = scene.constant(f"{base}/turned", np.ascontiguousarray(columns))
        made: Tensor = scene.one("MatMul", inputs[0], turned, base=base, shape=shape)
        if len(inputs) > 2 and inputs[2].name:
            made = scene.one("Add", made, inputs[2], base=base, shape=shape)
        return made


def without_front(shape: Sequence[int]) -> list[int]:
    """A shape without its leading axes of size 1. At least one axis must have another size."""
    first = next(a for a, size in enumerate(shape) if size != 1)
    return list(shape[first:])


def is_plain_conv(node: Node) -> bool:
    """Whether a node is a convolution of rank 3 with a constant weight, and without padding and groups."""
    if op_of(node) != "Conv" or str(node.attrs.get("auto_pad", "NOTSET")) not in ("NOTSET", "VALID"):
        return False
    weight = weight_of(node.inputs[1])
    alone = int(node.attrs.get("group", 1)) == 1 and not any(node.attrs.get("pads", []))
    return alone and weight is not None and weight.ndim == 3


def is_pointwise(node: Node) -> bool:
    """Whether each output frame of a convolution depends on one input frame only."""
    return is_plain_conv(node) and node.inputs[1].shape[2] == 1 and all(s == 1 for s in node.attrs.get("strides", [1]))
