"""Reshapes that follow each other."""

from __future__ import annotations

from graphc_passes._rewrites._scene import Scene, value_of


def rewrite(scene: Scene) -> int:
    """Only the last of several Reshape, Squeeze, Unsqueeze and Flatten says the shape, where it copies no dim (0)."""
    count = 0
    for node in scene.nodes("Reshape"):
        shape = value_of(node.inputs[1]) if len(node.inputs) > 1 else None
        if shape is None or (shape == 0).any():
            continue
        while True:
            source = node.inputs[0]
            maker = source.inputs[0] if source.inputs else None
            if maker is None or maker not in scene.nodes("Reshape", "Squeeze", "Unsqueeze", "Flatten"):
                break
            node.inputs = [maker.inputs[0], node.inputs[1]]
            count += 1
    return count
