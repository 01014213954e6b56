"""Merges a Transpose of the last two axes into the MatMul that reads it."""

from __future__ import annotations

from graphc.api import Node, Rewrite, Scene, Tensor, register_rewrite


@register_rewrite
class FusedMatmul(Rewrite):
    """A Transpose of the last two axes and the MatMul after it become onnxruntime's FusedMatMul."""

    name = "fused_matmul"
    stage = "target"
    needs = ("com.microsoft::FusedMatMul",)

    def apply(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes("MatMul"):
            if str(scene.dtype(node.outputs[0])) != "float32":
                continue
            turned = [swapped(scene, t) for t in node.inputs]
            if all(t is None for t in turned):
                continue
            inputs = [t if s is None else s for t, s in zip(node.inputs, turned, strict=True)]
            made = scene.one(
                "FusedMatMul",
                *inputs,
                base=node.name or node.outputs[0].name,
                shape=scene.shape(node.outputs[0]),
                domain="com.microsoft",
                transA=int(turned[0] is not None),
                transB=int(turned[1] is not None),
            )
            scene.replace(node.outputs[0], made)
            count += 1
        return count


def swapped(scene: Scene, tensor: Tensor) -> Tensor | None:
    """If a Transpose of the last two axes makes a tensor, the input of that Transpose; else None."""
    node: Node | None = scene.maker(tensor, "Transpose")
    perm = [] if node is None else list(node.attrs.get("perm", []))
    if node is None or len(perm) < 2 or perm != [*range(len(perm) - 2), len(perm) - 1, len(perm) - 2]:
        return None
    source: Tensor = node.inputs[0]
    return source
