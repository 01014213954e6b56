"""Removes nodes whose output equals an input."""

from __future__ import annotations

import numpy as np
import onnx

from graphc.api import Node, Rewrite, Scene, Tensor, register_rewrite, value_of

OPS = ("Identity", "Dropout", "Cast", "Transpose", "Reshape", "Concat", "Expand", "Tile", "Mul", "Add", "Where")


@register_rewrite
class Identities(Rewrite):
    """Removes Identity, Dropout outside training, and nodes that change nothing: Cast to the same type; Transpose,
    Reshape, Expand, Tile and Concat that move nothing; Mul by 1; Add of 0; Where with a constant condition that is the
    same everywhere.
    """

    name = "identities"
    stage = "tidy"

    def apply(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes(*OPS):
            source = given_by(scene, node)
            if source is not None and scene.bypass(node, source):
                count += 1
        return count


def given_by(scene: Scene, node: Node) -> Tensor | None:
    """The input that a node returns unchanged; None if there is none."""
    if node.op in ("Mul", "Add"):
        return neutral(scene, node)
    if node.op == "Where":
        return chosen(scene, node)
    return node.inputs[0] if gives_its_input(scene, node) else None


def neutral(scene: Scene, node: Node) -> Tensor | None:
    """The other operand of a product with ones or a sum with zeros, if nothing is broadcast; else None."""
    for index in (0, 1):
        value, other = value_of(node.inputs[index]), node.inputs[1 - index]
        wanted = 1 if node.op == "Mul" else 0
        if value is not None and value.size and np.all(value == wanted) and same_shape(scene, other, node.outputs[0]):
            return other
    return None


def chosen(scene: Scene, node: Node) -> Tensor | None:
    """The input that a Where returns, if its condition is constant and the same everywhere; else None."""
    condition = value_of(node.inputs[0])
    if condition is None or condition.size == 0 or condition.min() != condition.max():
        return None
    branch: Tensor = node.inputs[1 if condition.ravel()[0] else 2]
    return branch if same_shape(scene, branch, node.outputs[0]) else None


def same_shape(scene: Scene, a: Tensor, b: Tensor) -> bool:
    before, after = scene.fixed(a), scene.fixed(b)
    return before is not None and before == after


def gives_its_input(scene: Scene, node: Node) -> bool:
    source, output = node.inputs[0], node.outputs[0]
    before, after = scene.shape(source), scene.shape(output)
    alike = before is not None and before == after and None not in before
    if node.op == "Identity":
        return True
    if node.op == "Dropout":
        masked = len(node.outputs) > 1 and node.outputs[1].name != ""
        training = len(node.inputs) > 2 and node.inputs[2].name != ""
        return not masked and not training
    if node.op == "Cast":
        dtype = scene.dtype(source)
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
        return alike or (wanted is not None and wanted.size <= 1 and bool(np.all(wanted == 1)) and bool(before))
    return alike and sum(not isinstance(d, int) for d in before or []) <= 1 and node.op == "Reshape"
