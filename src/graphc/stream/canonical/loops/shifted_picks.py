"""Slices a tensor to the frames that a Loop picks from it, if iteration t does not pick frame t, or not all are picked.

``for t in range(1, T)`` picks frame t + 1 in iteration t. From the tensor without its first frame, it picks frame t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from graphc.ir.graph import Graph, Node, Tensor, drop_dead, place_of
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.loops.frame_picks import Pick, counts_of, pick_of, relied_on, sizes_beside
from graphc.stream.canonical.loops.iteration_values import COUNT, IterationValues
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array


def cut_picked_frames(graph: Graph, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> list[str] | None:
    """Slices the outer tensors from which a Loop picks frame t + c in iteration t, for the first Loop with such picks.

    Returns the names of what it relies on (``Evaluation.patterns``), or None if there is no such Loop.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        known: the values of the time-only tensors, at each evaluated length.
    """
    for loop in [n for n in graph.nodes if n.op == "Loop"]:
        counts = counts_of(loop, known)
        if len(set(counts)) < 2:
            continue
        body: Graph = loop.attrs["body"]
        values = IterationValues(body, counts, shapes, known, {})
        inside = {t.name for t in [*body.inputs, *(t for n in body.nodes for t in n.outputs)]}
        picks = [p for n in body.nodes if (p := shifted(n, values, inside, shapes)) is not None]
        if picks:
            return cut(graph, loop, picks, values)
    return None


def shifted(node: Node, values: IterationValues, inside: set[str], shapes: Shapes) -> Pick | None:
    """The pick of a node that reads frame t + c of a tensor outside the loop; None for any other node.

    The tensor must have more frames than the loop has iterations, and enough of them for the pick in every iteration.

    Args:
        inside: the names of the tensors in the body.
    """
    if not node.inputs or node.inputs[0].name in inside or node.inputs[0].name not in shapes:
        return None
    pick, dims = pick_of(node, values), values.dims(node.inputs[0])
    if pick is None or dims is None:
        return None
    spare = dims[pick.axis].minus(COUNT)
    return pick if spare.is_plain and spare.rest >= pick.offset and spare.rest else None


def cut(graph: Graph, loop: Node, picks: Sequence[Pick], values: IterationValues) -> list[str]:
    """Makes each pick read frame t of a Slice that has one frame for each iteration.

    Returns the names of the tensors on which the rewrite relies.
    """
    body: Graph = loop.attrs["body"]
    w, inner = Writer(f"{loop.outputs[0].name or loop.name}/picked"), Writer(f"{body.inputs[0].name}/picked")
    made: dict[tuple[str, int, int], Tensor] = {}
    turns = w.one("Reshape", loop.inputs[0], [1])
    turn = {
        shape: inner.one("Reshape", body.inputs[0], np.asarray(shape, np.int64)) for shape in {p.keeps for p in picks}
    }
    relies = relied_on(values, [t for pick in picks for t in pick.node.inputs[1:]], turns, w)
    for pick in picks:
        source = pick.node.inputs[0]
        key = (source.name, pick.axis, pick.offset)
        if key not in made:
            relies += sizes_beside(w, source, values.dims(source) or (), turns)
            made[key] = w.one("Slice", source, [pick.offset], w.one("Add", turns, [pick.offset]), [pick.axis])
        output, place = pick.node.outputs[0], place_of(body, pick.node)
        pick.node.inputs.clear()
        pick.node.outputs.clear()
        body.nodes[place] = Node(
            "Gather", f"{output.name}/pick", {"axis": pick.axis}, [made[key], turn[pick.keeps]], [output]
        )
    body.nodes = [*inner.nodes, *body.nodes]
    drop_dead(body)
    position = place_of(graph, loop)
    graph.nodes[position:position] = w.nodes
    return relies
