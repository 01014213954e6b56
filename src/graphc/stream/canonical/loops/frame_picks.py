"""Finds nodes in the body of a Loop that pick frame t + c of a tensor in iteration t, for a constant c."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.ir.graph import Graph, Node, Tensor, normalised, standard
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.constants_behind_nodes import value_in
from graphc.stream.canonical.loops.iteration_affine import beside
from graphc.stream.canonical.loops.iteration_values import Dims, IterationValues, is_single, offset_of
from graphc.stream.canonical.loops.plain_loops import behind_identities, turns_of
from graphc.stream.facts.time_constant import Array

DATA, INDICES = range(2)


@dataclass(frozen=True)
class Pick:
    """A node that picks frame t + ``offset`` along an axis in iteration t.

    Args:
        keeps: the shape of the picked axis in the result: () if the axis is removed, (1,) if it stays.
    """

    node: Node
    axis: int
    offset: int
    keeps: tuple[int, ...]


def pick_of(node: Node, values: IterationValues) -> Pick | None:
    """The frame that a Gather or a Slice picks from its first input; None if it does not pick one frame."""
    dims = values.dims(node.inputs[DATA]) if node.op in ("Gather", "Slice") and standard(node) else None
    if dims is None:
        return None
    if node.op == "Gather":
        places = values.of(node.inputs[INDICES])
        if not isinstance(places, np.ndarray) or places.size != 1 or places.ndim > 1:
            return None
        offset = offset_of(places.ravel()[0])
        axis = normalised(int(node.attrs.get("axis", 0)), len(dims))
        return None if offset is None else Pick(node, axis, offset, places.shape)
    cuts = {a: cut for a, cut in (values.cuts(node, len(dims)) or {}).items() if cut is not None}
    if len(cuts) != 1:
        return None
    ((axis, (start, end)),) = cuts.items()
    offset = offset_of(start) if is_single(start, end) else None
    return None if offset is None else Pick(node, axis, offset, (1,))


def views_of(tensor: Tensor, values: IterationValues) -> list[Tensor]:
    """The tensor, and all tensors in the body that contain the same entries (Identity, or a Slice of everything)."""
    found = [tensor]
    for held in found:
        found += [node.outputs[0] for node in held.outputs if passes_all(node, held, values)]
    return found


def passes_all(node: Node, held: Tensor, values: IterationValues) -> bool:
    if node.op == "Identity":
        return True
    dims = values.dims(held)
    if node.op != "Slice" or node.inputs[DATA] is not held or dims is None or not standard(node):
        return False
    cuts = values.cuts(node, len(dims))
    return cuts is not None and all(cut is None for cut in cuts.values())


def counts_of(loop: Node, known: Sequence[Mapping[str, Array]]) -> list[int]:
    """The number of iterations of a Loop, at each evaluated length; an empty list if it is not known.

    A Loop with a condition of its own may stop before, so its number of iterations is not known.
    """
    body: Graph = loop.attrs["body"]
    condition = behind_identities(body.outputs[0])
    always = value_in(condition)
    if condition is not body.inputs[1] and not (always is not None and bool(np.all(always))):
        return []
    return turns_of(loop, known)


def relied_on(values: IterationValues, tensors: Sequence[Tensor], turns: Tensor, w: Writer) -> list[str]:
    """Lists what must be the same at every length, so that ``values`` describes some tensors of a body correctly.

    A number or size that grows with the number of iterations is replaced by its difference from that number.

    Args:
        tensors: the tensors of the body.
        turns: the number of iterations, int64 [1].

    Returns:
        the names of time-only tensors.
    """
    read, measured = values.read_outside(tensors)
    names: list[str] = []
    for tensor in read:
        held = values.of(tensor)
        follows = isinstance(held, np.ndarray) and held.size == 1 and held.ravel()[0].count
        names.append(beside(w, tensor, follows, turns) if follows else tensor.name)
    return [*names, *(name for t in measured for name in sizes_beside(w, t, values.dims(t) or (), turns))]


def sizes_beside(w: Writer, tensor: Tensor, dims: Dims, turns: Tensor) -> list[str]:
    """Computes what must be the same at every length for a tensor to have the shape ``dims``; returns the names."""
    return [beside(w, w.size(tensor, axis), size.count, turns) for axis, size in enumerate(dims)]
