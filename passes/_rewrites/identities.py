"""Nodes that give what they take."""

from __future__ import annotations

import numpy as np
import onnx
from graphc_passes._rewrites._scene import Scene, value_of

from graphc.api import Node


def rewrite(scene: Scene) -> int:
    """Takes out Identity, Dropout outside training, Cast to the same type, and Transpose, Reshape, Expand, Tile,
    Concat, Add 0 and Mul 1 that change nothing."""
    count = 0
    for node in list(scene.nodes("Identity", "Dropout", "Cast", "Transpose", "Reshape", "Concat", "Expand", "Tile")):
        count += gives_its_input(scene, node) and scene.bypass(node, node.inputs[0])
    return count


def gives_its_input(scene: Scene, node: Node) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    before, after = scene.shapes.get(source.name), scene.shapes.get(output.name)
    same_shape = before is not None and before == after and None not in before
    if node.op == "Identity":
        return True
    if node.op == "Dropout":
        masked = len(node.outputs) > 1 and node.outputs[1].name != ""
        training = len(node.inputs) > 2 and node.inputs[2].name != ""
        return not masked and not training
    if node.op == "Cast":
        dtype = scene.dtypes.get(source.name)
        return dtype is not None and onnx.helper.np_dtype_to_tensor_dtype(dtype) == node.attrs.get("to")
    if node.op == "Transpose":
        order = node.attrs.get("perm")
        return order is not None and list(order) == sorted(order)
    if node.op == "Concat":
        return len(node.inputs) == 1
    if node.op == "Tile":
        repeats = value_of(node.inputs[1])
        return repeats is not None and bool(np.all(repeats == 1))
    if node.op == "Expand":
        wanted = value_of(node.inputs[1])
        return same_shape or (wanted is not None and wanted.size <= 1 and bool(np.all(wanted == 1)) and bool(before))
    return same_shape and sum(not isinstance(d, int) for d in before or []) <= 1 and node.op == "Reshape"
