"""Rewrites ScatterElements and ScatterND that write a few frames, counted from the first or the last, as choices.

``y[:, 0] = 1``, ``y[:, :2] += z`` and ``y[:, -1] = 0`` are exported so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.ir.graph import Graph, Node, Tensor, name_of
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.overlap_add.scatters import Placed, scatters_along_one_axis
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

MOST_FRAMES = 16


def choose_frames(
    graph: Graph,
    shapes: Shapes,
    known: Sequence[Mapping[str, Array]],
    dtypes: Mapping[str, np.dtype[np.generic]],
) -> list[str] | None:
    """Rewrites the first such node; returns the names of what it relies on (``Evaluation.patterns``), or None.

    Args:
        shapes: the shapes of the data tensors, at each length evaluated.
        known: the values of the time-only tensors, at each length evaluated.
        dtypes: the dtypes of the data tensors.
    """
    for node, placed, sizes in scatters_along_one_axis(graph, shapes, known, dtypes):
        for from_end in (False, True):
            places = same_places(placed.places, sizes, from_end)
            if places is not None:
                return rewritten(graph, node, placed, places, from_end)
    return None


def same_places(places: Sequence[Array], sizes: Sequence[int], from_end: bool) -> list[int] | None:
    """The places if they are the same few at every length, counted from the first frame or from the end."""
    forward = [np.where(p < 0, p + size, p) for p, size in zip(places, sizes, strict=True)]
    counted = [p - size if from_end else p for p, size in zip(forward, sizes, strict=True)]
    first = counted[0]
    if len(set(sizes)) < 2 or first.size > MOST_FRAMES or len(set(first.tolist())) < first.size:
        return None
    if any(not np.array_equal(other, first) for other in counted):
        return None
    return [int(place) for place in first]


def rewritten(graph: Graph, node: Node, placed: Placed, places: Sequence[int], from_end: bool) -> list[str]:
    data, indices, updates = node.inputs
    w = Writer(name_of(node))
    axis, rank = placed.axis, len(placed.of_updates)
    size = w.size(data, axis)
    index = w.span(size, rank - 1 - axis)
    frames = w.transposed(updates, placed.of_updates)
    result: Tensor = data
    for number, place in enumerate(places):
        frame = frames if len(places) == 1 else w.one("Slice", frames, [number], [number + 1], [axis])
        if node.attrs.get("reduction", "none") == "add":
            frame = w.one("Add", data, frame)
        here = w.one("Equal", index, w.one("Add", size, [place]) if from_end else np.array([place]))
        result = w.one("Where", here, frame, result)
    relied = indices
    if any(not np.array_equal(other, placed.places[0]) for other in placed.places):
        of_place = np.eye(placed.columns, dtype=np.int64)[axis] if placed.columns else np.array([1])
        relied = w.one("Sub", w.one("Cast", indices, to=7), w.one("Mul", size, of_place))
    w.replace(graph, node, result)
    return [relied.name]
