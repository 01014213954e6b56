"""Rewrites ScatterElements and ScatterND that write whole frames at evenly spaced positions, as in overlap-add.

``out.index_add_(-1, places, frames)`` and ``out[:, ::2] = x`` are exported in this form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable, name_of, standard
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.overlap_add.even_places import EvenPlaces, even_places
from graphc.stream.canonical.overlap_add.overlapped_frames import length_of, overlapped, written_places
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

DATA, INDICES, UPDATES = range(3)
REDUCTIONS = ("none", "add")
MOVABLE = ("float16", "float32", "float64", "int8", "uint8", "int32", "int64")  # by onnxruntime's Pad and Where


@dataclass(frozen=True)
class Placed:
    """The updates of a scatter that writes to chosen positions of one data axis, and to all positions of the others.

    Args:
        axis: the data axis with the chosen positions.
        of_updates: for each axis of the data, the axis of the updates that matches it.
        columns: the size of the indices' last axis, which indexes as many first axes of the data; 0 for
            ScatterElements.
        places: the chosen positions, at each evaluated length.
    """

    axis: int
    of_updates: tuple[int, ...]
    columns: int
    places: tuple[Array, ...]


def spread_scatters(
    graph: Graph,
    shapes: Shapes,
    known: Sequence[Mapping[str, Array]],
    dtypes: Mapping[str, np.dtype[np.generic]],
) -> list[str] | None:
    """Rewrites the first scatter of whole frames at evenly spaced positions.

    Returns the names of the tensors on which the rewrite relies (``Evaluation.patterns``), or None if there is no such
    node.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        known: the values of the time-only tensors, at each evaluated length.
        dtypes: the dtypes of the data tensors.
    """
    for node, placed, sizes in scatters_along_one_axis(graph, shapes, known, dtypes):
        places = even_places(placed.places, sizes)
        adds = node.attrs.get("reduction", "none") == "add"
        if places is None or not (adds or places.is_narrow):
            continue
        return rewritten(graph, node, placed, places, adds, is_zero(node.inputs[DATA], known))
    return None


def scatters_along_one_axis(
    graph: Graph,
    shapes: Shapes,
    known: Sequence[Mapping[str, Array]],
    dtypes: Mapping[str, np.dtype[np.generic]],
) -> Iterator[tuple[Node, Placed, list[int]]]:
    """Finds the scatters that write along one axis, with the size of that axis at each evaluated length."""
    for node in graph.nodes:
        if node.op not in ("ScatterElements", "ScatterND") or not standard(node):
            continue
        if str(dtypes.get(node.outputs[0].name)) not in MOVABLE:
            continue
        placed = placed_by(node, shapes, known)
        if placed is not None:
            yield node, placed, [shape[placed.axis] for shape in sizes_of(node.inputs[DATA], shapes, known)]


def placed_by(node: Node, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> Placed | None:
    """Where a scatter writes; None unless it chooses positions on one axis and writes all positions of the others."""
    data, indices, updates = node.inputs
    wholes, parts = sizes_of(data, shapes, known), sizes_of(updates, shapes, known)
    rows = values_of(indices, known)
    if {len(wholes), len(parts), len(rows)} != {len(known)} or node.attrs.get("reduction", "none") not in REDUCTIONS:
        return None
    found = by_elements(node, rows, parts) if node.op == "ScatterElements" else by_rows(rows, wholes, len(parts[0]))
    if found is None:
        return None
    for whole, part in zip(wholes, parts, strict=True):
        if any(whole[a] != part[b] for a, b in enumerate(found.of_updates) if a != found.axis):
            return None
    return found


def sizes_of(tensor: Tensor, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> list[tuple[int, ...]]:
    if tensor.name in shapes:
        return list(shapes[tensor.name])
    return [value.shape for value in values_of(tensor, known)]


def values_of(tensor: Tensor, known: Sequence[Mapping[str, Array]]) -> list[Array]:
    """The values of a time-only tensor or a constant, at each length evaluated; none for any other tensor."""
    if isinstance(tensor, Constant):
        return [np.asarray(tensor.values)] * len(known)
    return [values[tensor.name] for values in known if tensor.name in values]


def by_elements(node: Node, rows: Sequence[Array], sizes: Sequence[tuple[int, ...]]) -> Placed | None:
    rank = rows[0].ndim
    axis = int(node.attrs.get("axis", 0)) % rank
    if any(value.shape != shape or not value.size for value, shape in zip(rows, sizes, strict=True)):
        return None
    places = along(rows, axis)
    return None if places is None else Placed(axis, tuple(range(rank)), 0, places)


def along(rows: Sequence[Array], axis: int) -> tuple[Array, ...] | None:
    """The values along one axis, at each evaluated length; None if the values also vary along another axis."""
    found = []
    for value in rows:
        line = np.moveaxis(value, axis, -1).reshape(-1, value.shape[axis])
        if (line != line[:1]).any():
            return None
        found.append(line[0])
    return tuple(found)


def by_rows(rows: Sequence[Array], wholes: Sequence[tuple[int, ...]], rank: int) -> Placed | None:
    """Where a ScatterND writes; None if its indices have another form.

    Each column of the index rows must count all positions of a data axis, except one column, with the chosen positions.

    Args:
        rows: the indices, at each evaluated length.
        wholes: the shape of the data, at each evaluated length.
        rank: the rank of the updates.
    """
    depth, lead = rows[0].shape[-1], rows[0].ndim - 1
    if depth != lead or any(not value.size for value in rows):
        return None
    axes: list[int] = []
    moved: list[tuple[int, tuple[Array, ...]]] = []
    for column in range(depth):
        values = [value[..., column] for value in rows]
        lines = {axis: places for axis in range(lead) if (places := along(values, axis)) is not None}
        sizes = [whole[column] for whole in wholes]
        counting = [a for a, places in lines.items() if count_all(places, sizes)]
        free = [a for a in counting or lines if a not in axes]
        if not free:
            return None
        axes.append(free[0])
        if not counting:
            moved.append((column, lines[free[0]]))
    if len(moved) != 1:
        return None
    ((column, places),) = moved
    return Placed(column, (*axes, *range(lead, rank)), depth, places)


def count_all(places: Sequence[Array], sizes: Sequence[int]) -> bool:
    return all(np.array_equal(p, np.arange(size)) for p, size in zip(places, sizes, strict=True))


def is_zero(tensor: Tensor, known: Sequence[Mapping[str, Array]]) -> bool:
    """Whether a tensor is time-only and consists of zeros at every evaluated length."""
    values = values_of(tensor, known)
    return len(values) == len(known) and not any(v.any() for v in values)


def rewritten(graph: Graph, node: Node, placed: Placed, places: EvenPlaces, adds: bool, zero: bool) -> list[str]:
    """Replaces a scatter by a sum of shifted frames; returns the names of the tensors on which the rewrite relies.

    Args:
        adds: whether the updates are added to the data; otherwise they replace it.
        zero: whether the data consists of zeros.
    """
    data, indices, updates = node.inputs
    w = Writer(name_of(node))
    rank, axis = len(placed.of_updates), placed.axis
    entries = len(places.offsets)
    right = [expected(w, indices, updates, placed, places), as_long(w, data, updates, placed, places)]
    order = [*(a for a in range(rank) if a != axis), axis]
    last = w.transposed(updates, [placed.of_updates[a] for a in order])
    frames = w.one("Reshape", last, [*[0] * (rank - 1), -1, entries])
    written = overlapped(w, frames, rank + 1, places)
    spread = w.transposed(written, [int(a) for a in np.argsort(order)])
    if zero and not adds:
        right.append(w.one("ReduceMax", w.one("Abs", data), keepdims=0))
    if zero or adds:
        result = w.one("Add", data, spread)
    else:
        mask = written_places(w, w.size(data, axis), places, rank - 1 - axis)
        result = w.one("Where", mask, spread, data)
    w.replace(graph, node, result)
    return [tensor.name for tensor in right]


def expected(w: Writer, indices: Tensor, updates: Tensor, placed: Placed, places: EvenPlaces) -> Variable:
    """Computes whether the indices follow the pattern ``places``: 1 if they do, otherwise 0."""
    of_updates, entries = placed.of_updates, len(places.offsets)
    along_axis = of_updates[placed.axis]
    frame = w.span(w.one("Div", w.size(updates, along_axis), entries), 1)
    line = w.one("Reshape", w.one("Add", w.one("Mul", frame, places.hop), np.array(places.offsets)), [-1])
    if not placed.columns:
        trailing = [1] * (len(of_updates) - 1 - along_axis)
        return everywhere(w, w.one("Equal", indices, w.one("Reshape", line, [-1, *trailing])))
    right: Tensor | None = None
    for column, axis in enumerate(of_updates[: placed.columns]):
        behind = placed.columns - 1 - axis
        if column == placed.axis:
            wanted: Tensor = w.one("Reshape", line, [-1, *[1] * behind])
        else:
            wanted = w.span(w.size(updates, axis), behind)
        here = w.one("Equal", w.one("Gather", indices, column, axis=-1), wanted)
        right = here if right is None else w.one("And", right, here)
    assert right is not None
    return everywhere(w, right)


def as_long(w: Writer, data: Tensor, updates: Tensor, placed: Placed, places: EvenPlaces) -> Variable:
    """Computes whether the data axis has the length that the pattern ``places`` gives for the updates."""
    frames = w.one("Div", w.size(updates, placed.of_updates[placed.axis]), len(places.offsets))
    return w.one("Equal", w.size(data, placed.axis), length_of(w, frames, places))


def everywhere(w: Writer, mask: Tensor) -> Variable:
    """1 if a mask is true everywhere, and otherwise 0."""
    return w.one("ReduceMin", w.one("Cast", mask, to=6), keepdims=0)
