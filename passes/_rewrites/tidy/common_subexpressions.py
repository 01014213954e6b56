"""Removes nodes that compute the same as an earlier node."""

from __future__ import annotations

from typing import Any

from graphc.api import (
    RANDOM_OPS,
    Constant,
    Node,
    Rewrite,
    Scene,
    Tensor,
    captured,
    nbytes,
    register_rewrite,
    subgraphs,
    value_of,
)

UNLIKE = (*RANDOM_OPS, "Dropout")
LARGEST_COMPARED = 4096


@register_rewrite
class CommonSubexpressions(Rewrite):
    """Of several nodes with the same op, attributes and inputs, only the first stays."""

    name = "common_subexpressions"
    stage = "tidy"

    def apply(self, scene: Scene) -> int:
        seen: dict[Any, Node] = {}
        constants: dict[Any, Tensor] = {}
        count = 0
        for node in list(scene.graph.nodes):
            if not node.outputs or node.op in UNLIKE or captured(node) or any(True for _ in subgraphs(node)):
                continue
            key = key_of(node, constants)
            if key is None:
                continue
            first = seen.setdefault(key, node)
            if first is node or not all(scene.is_inner(t) for t in node.outputs if t.name):
                continue
            if [bool(t.name) for t in first.outputs] != [bool(t.name) for t in node.outputs]:
                continue
            for old, new in zip(list(node.outputs), list(first.outputs), strict=True):
                if old.name:
                    scene.replace(old, new)
            scene.drop(node)
            count += 1
        return count


def key_of(node: Node, constants: dict[Any, Tensor]) -> Any:
    attrs = []
    for name, value in sorted(node.attrs.items()):
        if isinstance(value, list):
            value = tuple(value)
        if not isinstance(value, int | float | str | bytes | bool | tuple):
            return None
        attrs.append((name, value))
    return node.op, node.domain or "", tuple(attrs), tuple(identity_of(t, constants) for t in node.inputs)


def identity_of(tensor: Tensor, constants: dict[Any, Tensor]) -> Any:
    """A key that identifies a tensor. Small constants with equal values have the same key."""
    if not tensor.name:
        return None
    if not isinstance(tensor, Constant):
        return id(tensor)
    if nbytes(tensor) > LARGEST_COMPARED:
        return id(tensor._values)
    value = value_of(tensor)
    if value is None:
        return id(tensor)
    return id(constants.setdefault((value.dtype.str, str(value.dtype), value.shape, value.tobytes()), tensor))
