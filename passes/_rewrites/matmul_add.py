"""MatMul and Add of rank 2."""

from __future__ import annotations

from graphc_passes._rewrites._scene import Scene, is_float, value_of

from graphc.api import Node, place_of


def rewrite(scene: Scene) -> int:
    """x @ W + b becomes Gemm, where x has rank 2 and W and b are constants."""
    count = 0
    for add in scene.nodes("Add"):
        for index in (0, 1):
            product = scene.maker(add.inputs[index], "MatMul")
            bias = value_of(add.inputs[1 - index])
            if product is None or bias is None or not fits(scene, product, bias.shape):
                continue
            if not is_float(product.inputs[1]) or not is_float(add.inputs[1 - index]):
                continue
            inputs, output = [*product.inputs, add.inputs[1 - index]], add.outputs[0]
            place = place_of(scene.graph, add)
            name = product.name
            scene.drop(product)
            place -= 1
            scene.drop(add)
            gemm = Node("Gemm", name, inputs=inputs, outputs=[output])
            scene.graph.nodes.insert(place, gemm)
            count += 1
            break
    return count


def fits(scene: Scene, product: Node, bias: tuple[int, ...]) -> bool:
    weight = product.inputs[1]
    if scene.rank(product.inputs[0]) != 2 or value_of(weight) is None or len(weight.shape) != 2:
        return False
    return bias in ((weight.shape[1],), (1, weight.shape[1]))
