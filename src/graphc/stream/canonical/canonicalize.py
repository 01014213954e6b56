"""Rewrites nodes to equivalent simpler ops, before a graph is analysed as a stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    constant_of,
    name_of,
    names_in,
    normalised,
    place_of,
    producer,
    standard,
    subgraphs,
    unused_name,
)
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.constants_behind_nodes import value_in
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

WHOLE = 2**31 - 1


def make_plainer(graph: Graph, shapes: Shapes) -> bool:
    """Removes Slices that return their whole input, and turns GatherND over one axis into Gather.

    Returns whether the graph changed.
    """
    sliced = drop_whole_slices(graph)
    return gathered(graph, shapes) or sliced


def drop_whole_slices(graph: Graph) -> bool:
    """Removes every Slice that is known from its constants to return its whole input, in subgraphs too.

    Returns whether there was one.
    """
    changed = False
    ports = {t.name for t in graph.outputs}
    for node in list(graph.nodes):
        for inner in subgraphs(node):
            changed = drop_whole_slices(inner) or changed
        if node.op != "Slice" or not standard(node) or not keeps_all(node) or node.outputs[0].name in ports:
            continue
        source, output = node.inputs[0], node.outputs[0]
        for reader in list(output.outputs):
            reader.inputs = [source if t is output else t for t in reader.inputs]
        position = place_of(graph, node)
        node.inputs.clear()
        node.outputs.clear()
        del graph.nodes[position]
        changed = True
    return changed


def keeps_all(node: Node) -> bool:
    values = [value_in(t) if t.name else None for t in node.inputs[1:]]
    if len(values) < 2 or values[0] is None or values[1] is None:
        return False
    steps = values[3] if len(values) > 3 else None
    forward = steps is None and (len(values) < 4 or not node.inputs[4].name)
    return bool(
        np.all(values[0] == 0)
        and np.all(values[1] >= WHOLE)
        and (forward or (steps is not None and np.all(steps == 1)))
    )


def gathered(graph: Graph, shapes: Shapes) -> bool:
    """Turns each GatherND that indexes one axis, as exporters write ``table[ids]``, into a Gather along axis 0.

    Returns whether there was one.
    """
    changed = False
    taken = names_in(graph)
    for node in [n for n in graph.nodes if n.op == "GatherND" and standard(n)]:
        places = node.inputs[1]
        widened = producer(places)
        if (
            widened is not None
            and widened.op == "Unsqueeze"
            and adds_last(widened)
            and not node.attrs.get("batch_dims")
        ):
            node.op, node.attrs = "Gather", {"axis": 0}
            node.inputs = [node.inputs[0], widened.inputs[0]]
            changed = True
            continue
        shape = tuple(places.shape) if isinstance(places, Constant) else last_shape(places, shapes)
        if not shape or shape[-1] != 1 or int(node.attrs.get("batch_dims", 0)):
            continue
        name = unused_name(f"{node.outputs[0].name}/places", taken)
        flat = Variable(name)
        axes = Constant(f"{name}/axes", np.array([-1], np.int64))
        position = place_of(graph, node)
        squeeze = (
            Node("Squeeze", name, {"axes": [len(shape) - 1]}, [places], [flat])
            if graph.opset < 13
            else Node("Squeeze", name, {}, [places, axes], [flat])
        )
        node.op, node.attrs = "Gather", {"axis": 0}
        node.inputs = [node.inputs[0], flat]
        graph.nodes.insert(position, squeeze)
        changed = True
    return changed


def adds_last(node: Node) -> bool:
    """Whether an Unsqueeze adds exactly one axis, as the last axis."""
    axes = node.attrs.get("axes") if len(node.inputs) < 2 else constant_of(node.inputs[1])
    return axes is not None and [int(a) for a in np.ravel(axes)] == [-1]


def last_shape(tensor: Tensor, shapes: Shapes) -> tuple[int, ...]:
    """The shape of a tensor at the first evaluated length; an empty tuple if it is not known."""
    found = shapes.get(tensor.name)
    return found[0] if found else ()


def flatten_picks(graph: Graph, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> bool:
    """Rewrites each Gather by a table [frames, taps] of clamped positions to a Gather by a flat list of positions.

    A Reshape then restores the two axes. Returns whether there was such a Gather.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        known: the values of the time-only tensors, at each evaluated length.
    """
    changed = False
    for node in [n for n in graph.nodes if n.op == "Gather" and standard(n)]:
        source, places = node.inputs
        tables = [values[places.name] for values in known if places.name in values]
        seen = shapes.get(source.name)
        if seen is None or len(tables) < len(known) or any(t.ndim != 2 or not t.size for t in tables):
            continue
        axis = normalised(int(node.attrs.get("axis", 0)), len(seen[0]))
        taps = {t.shape[1] for t in tables}
        beside = {(*shape[:axis], *shape[axis + 1 :]) for shape in seen}
        if len(taps) > 1 or len(beside) > 1 or len({t.shape[0] for t in tables}) < 2:
            continue
        if not any(is_clamped(t) for t in tables):
            continue
        w = Writer(name_of(node))
        flat = w.one("Gather", source, w.one("Reshape", places, [-1]), axis=axis)
        behind = [int(size) for size in seen[0][axis + 1 :]]
        w.replace(graph, node, w.one("Reshape", flat, [*[0] * axis, -1, taps.pop(), *behind]))
        changed = True
    return changed


def is_clamped(table: Array) -> bool:
    """Whether the steps between taps or between frames vary in a table [frames, taps], as clamping causes."""
    return len(np.unique(np.diff(table, axis=1))) > 1 or len(np.unique(np.diff(table, axis=0))) > 1
