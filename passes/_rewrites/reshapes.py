"""Reshapes that follow each other."""

from __future__ import annotations

from graphc.api import Rewrite, Scene, register_rewrite, value_of

SHAPERS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


@register_rewrite
class Reshapes(Rewrite):
    """Only the last of several Reshape, Squeeze, Unsqueeze and Flatten says the shape; a Transpose that moves axes of one
    entry alone is a Reshape."""

    name = "reshapes"
    stage = "tidy"

    def apply(self, scene: Scene) -> int:
        return self.chains(scene) + self.unit_moves(scene)

    def chains(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes(*SHAPERS):
            if node.op != "Reshape":
                sizes = scene.fixed(node.outputs[0])
                before = scene.maker(node.inputs[0], *SHAPERS)
                if sizes is None or before is None:
                    continue
                made = scene.reshaped(before.inputs[0], sizes, node.outputs[0].name)
                scene.replace(node.outputs[0], made)
                count += 1
                continue
            shape = value_of(node.inputs[1]) if len(node.inputs) > 1 else None
            if shape is None or (shape == 0).any():
                continue
            while (maker := scene.maker(node.inputs[0], *SHAPERS)) is not None:
                node.inputs = [maker.inputs[0], node.inputs[1]]
                count += 1
        return count

    def unit_moves(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes("Transpose"):
            shape = scene.fixed(node.inputs[0])
            if shape is None or "perm" not in node.attrs:
                continue
            order = [a for a in node.attrs["perm"] if shape[a] != 1]
            if order != sorted(order) or len(order) == len(shape):
                continue
            made = scene.reshaped(node.inputs[0], [shape[a] for a in node.attrs["perm"]], node.outputs[0].name)
            scene.replace(node.outputs[0], made)
            count += 1
        return count
