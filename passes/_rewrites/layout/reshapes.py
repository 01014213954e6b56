"""Merges consecutive reshapes."""

from __future__ import annotations

from graphc.api import Rewrite, Scene, register_rewrite, value_of

SHAPERS = ("Reshape", "Squeeze", "Unsqueeze", "Flatten")


@register_rewrite
class Reshapes(Rewrite):
    """Several Reshape, Squeeze, Unsqueeze and Flatten in a row become one Reshape. A Transpose that moves only axes of
    size 1 becomes a Reshape. A Reshape that only drops axes of size 1 moves before the Transpose that it follows.
    """

    name = "reshapes"
    stage = "tidy"

    def apply(self, scene: Scene) -> int:
        return self.chains(scene) + self.unit_moves(scene) + self.in_front(scene)

    def chains(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes(*SHAPERS):
            if node.op != "Reshape":
                sizes = scene.fixed(node.outputs[0])
                before = scene.maker(node.inputs[0], *SHAPERS)
                if sizes is None or 0 in sizes or before is None:
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

    def in_front(self, scene: Scene) -> int:
        """Moves each Reshape that only drops axes of size 1 before the Transpose that it follows. Returns how many."""
        count = 0
        for node in scene.nodes("Reshape"):
            turn = scene.sole(node.inputs[0], "Transpose")
            before, after = scene.fixed(node.inputs[0]), scene.fixed(node.outputs[0])
            if turn is None or before is None or after is None or len(after) >= len(before) or "perm" not in turn.attrs:
                continue
            kept = [a for a, size in enumerate(before) if size != 1]
            if [before[a] for a in kept] != after or 0 in after:
                continue
            perm = [turn.attrs["perm"][a] for a in kept]
            order = sorted(perm)
            source = scene.fixed(turn.inputs[0])
            assert source is not None
            base = node.name or node.outputs[0].name
            flat = scene.reshaped(turn.inputs[0], [source[a] for a in order], base)
            scene.replace(node.outputs[0], scene.transposed(flat, [order.index(a) for a in perm], base))
            count += 1
        return count

    def unit_moves(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes("Transpose"):
            shape = scene.fixed(node.inputs[0])
            if shape is None or 0 in shape or "perm" not in node.attrs:
                continue
            order = [a for a in node.attrs["perm"] if shape[a] != 1]
            if order != sorted(order) or len(order) == len(shape):
                continue
            made = scene.reshaped(node.inputs[0], [shape[a] for a in node.attrs["perm"]], node.outputs[0].name)
            scene.replace(node.outputs[0], made)
            count += 1
        return count
