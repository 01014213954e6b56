"""Turns chains of Reshape, Slice and Transpose that move entries along one axis into one GatherElements."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.api import Node, Rewrite, Scene, Tensor, constant_of, register_rewrite, value_of

MOVERS = ("Reshape", "Slice", "Squeeze", "Unsqueeze", "Flatten", "Transpose")
SHORTEST = 3
MOST_ENTRIES = 1_000_000


@register_rewrite
class MovesToGather(Rewrite):
    """Three or more Reshape, Slice and Transpose in a row that pick entries along one axis (the shift of relative
    positions) become one GatherElements."""

    name = "moves_to_gather"
    stage = "layout"

    def apply(self, scene: Scene) -> int:
        count = 0
        for node in scene.nodes("Slice", "Reshape"):
            if not node.outputs:
                continue
            readers = node.outputs[0].outputs
            if len(readers) == 1 and readers[0].op in MOVERS and scene.is_inner(node.outputs[0]):
                continue
            count += self.merged(scene, node)
        return count

    def merged(self, scene: Scene, last: Node) -> bool:
        chain = [last]
        while (before := scene.sole(chain[-1].inputs[0], *MOVERS)) is not None:
            chain.append(before)
        while len(chain) >= SHORTEST:
            source = chain[-1].inputs[0]
            found = along_one_axis(scene, source, chain[::-1])
            if found is not None:
                axis, index = found
                base = last.name or last.outputs[0].name
                places = scene.constant(f"{base}/places", index)
                made = scene.one("GatherElements", source, places, base=base, shape=list(index.shape), axis=axis)
                scene.replace(last.outputs[0], made)
                return True
            chain.pop()
        return False


def along_one_axis(scene: Scene, source: Tensor, chain: list[Node]) -> tuple[int, NDArray[Any]] | None:
    """The axis along which a chain of nodes moves entries, and the index on this axis of each output entry's source.

    None if entries move along more than one axis, or if the shapes are unknown or too large.
    """
    shape, out = scene.fixed(source), scene.fixed(chain[-1].outputs[0])
    if shape is None or out is None or len(shape) != len(out) or int(np.prod(shape)) > MOST_ENTRIES:
        return None
    if all(n.op != "Slice" for n in chain):
        return None
    flat: NDArray[Any] | None = np.arange(int(np.prod(shape))).reshape(shape)
    for node in chain:
        flat = moved(scene, node, flat) if flat is not None else None
    if flat is None or list(flat.shape) != out:
        return None
    places = np.unravel_index(flat, shape)
    own = np.indices(out)
    differs = [a for a in range(len(shape)) if not np.array_equal(places[a], own[a])]
    return (differs[0], places[differs[0]].astype(np.int64)) if len(differs) == 1 else None


def moved(scene: Scene, node: Node, entries: NDArray[Any]) -> NDArray[Any] | None:
    """Applies a node that moves entries to an array. None if the arguments of the node are not known."""
    if node.op == "Transpose":
        return entries.transpose(node.attrs.get("perm", list(range(entries.ndim))[::-1]))
    if node.op != "Slice":
        out = scene.fixed(node.outputs[0])
        return None if out is None else entries.reshape(out)
    parts = [value_of(t) if t.name else None for t in node.inputs[1:]]
    if len(parts) < 3 or any(constant_of(t) is None for t in node.inputs[1:] if t.name):
        return None
    starts, ends, axes = (np.asarray(p) for p in parts[:3])
    steps = parts[3] if len(parts) > 3 and parts[3] is not None else np.ones(len(starts), np.int64)
    index: list[slice] = [slice(None)] * entries.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 1:
            return None
        index[int(axis)] = slice(int(start), int(end), int(step))
    return entries[tuple(index)]
