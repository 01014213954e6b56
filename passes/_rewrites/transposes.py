"""Transposes that follow each other."""

from __future__ import annotations

from graphc_passes._rewrites._scene import Scene


def rewrite(scene: Scene) -> int:
    """Transpose after Transpose becomes one; two that cancel become none."""
    count = 0
    for node in scene.nodes("Transpose"):
        first = node.inputs[0].inputs[0] if node.inputs and node.inputs[0].inputs else None
        if first is None or first.op != "Transpose" or first not in scene.nodes("Transpose"):
            continue
        inner, outer = first.attrs.get("perm"), node.attrs.get("perm")
        rank = scene.rank(first.inputs[0])
        if inner is None or outer is None:
            if rank is None:
                continue
            inner = inner or list(range(rank))[::-1]
            outer = outer or list(range(rank))[::-1]
        merged = [inner[axis] for axis in outer]
        source = first.inputs[0]
        node.inputs = [source]
        node.attrs["perm"] = merged
        count += 1
        if merged == sorted(merged):
            scene.bypass(node, source)
    return count
