"""Merges consecutive Transposes."""

from __future__ import annotations

from graphc.api import Rewrite, Scene, register_rewrite


@register_rewrite
class Transposes(Rewrite):
    """Two Transposes in a row become one, or none if they cancel."""

    name = "transposes"
    stage = "tidy"

    def apply(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes("Transpose"):
            if not node.outputs:
                continue
            first = scene.maker(node.inputs[0], "Transpose")
            if first is None:
                continue
            inner, outer = first.attrs.get("perm"), node.attrs.get("perm")
            rank = scene.rank(first.inputs[0])
            if inner is None or outer is None:
                if rank is None:
                    continue
                inner = inner or list(range(rank))[::-1]
                outer = outer or list(range(rank))[::-1]
            merged = [inner[axis] for axis in outer]
            node.inputs = [first.inputs[0]]
            node.attrs["perm"] = merged
            count += 1
            if merged == sorted(merged):
                scene.bypass(node, node.inputs[0])
        return count
