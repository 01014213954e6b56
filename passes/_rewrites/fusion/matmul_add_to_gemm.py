"""Turns a MatMul and an Add of rank 2 into one Gemm."""

from __future__ import annotations

from graphc.api import Node, Rewrite, Scene, is_float, register_rewrite, value_of


@register_rewrite
class MatmulAddToGemm(Rewrite):
    """x @ W + b becomes Gemm, if x has rank 2 and W and b are constants."""

    name = "matmul_add_to_gemm"
    stage = "ranks"

    def apply(self, scene: Scene) -> int:
        count = 0
        for add in scene.nodes("Add"):
            for index in (0, 1):
                product, bias = scene.sole(add.inputs[index], "MatMul"), value_of(add.inputs[1 - index])
                if product is None or bias is None or not fits(scene, product, bias.shape):
                    continue
                if not is_float(product.inputs[1]) or not is_float(add.inputs[1 - index]):
                    continue
                made = scene.one(
                    "Gemm",
                    *product.inputs,
                    add.inputs[1 - index],
                    base=product.name or add.outputs[0].name,
                    shape=scene.shape(add.outputs[0]),
                )
                scene.replace(add.outputs[0], made)
                count += 1
                break
        return count


def fits(scene: Scene, product: Node, bias: tuple[int, ...]) -> bool:
    weight = product.inputs[1]
    if scene.rank(product.inputs[0]) != 2 or value_of(weight) is None or len(weight.shape) != 2:
        return False
    return bias in ((weight.shape[1],), (1, weight.shape[1]))
