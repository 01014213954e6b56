"""Replaces an If by the branch that it takes, and a Loop of few iterations by a copy of its body for each iteration."""

from __future__ import annotations

from collections.abc import Container, Mapping

import numpy as np

from graphc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    captured,
    names_in,
    place_of,
    producer,
    reads,
    unused_name,
)
from graphc.stream.canonical.constants_behind_nodes import value_in
from graphc.stream.canonical.loops.plain_loops import behind_identities
from graphc.stream.facts.index_map import Shapes

MOST_TURNS = 8


def inline_branch(graph: Graph, node: Node, taken: bool) -> None:
    """Replaces an If by its then branch if ``taken``, otherwise by its else branch."""
    branch = node.attrs["then_branch" if taken else "else_branch"]
    name_apart(branch, names_in(graph), node.outputs[0].name, node.name)
    put_in_place(graph, node, branch.nodes, dict(zip(range(len(node.outputs)), branch.outputs, strict=True)))


def inline_turns(graph: Graph, shapes: Shapes, carried: Container[str]) -> list[str] | None:
    """Unrolls the first Loop with the same few iterations at every length, such as a loop over the streams of a batch.

    Returns the names of the tensors that decide the number of iterations, or None if there is no such loop. The values
    of these tensors must be the same at every length.

    Args:
        shapes: the shapes of the tensors that depend on data, at each evaluated length.
        carried: the names of all tensors that depend on data.
    """
    for loop in [n for n in graph.nodes if n.op == "Loop" and len(n.inputs) > 1]:
        turns = steady_turns(loop, shapes) or constant_turns(loop)
        if turns is not None and not ends_by_data(loop, carried):
            return unrolled(graph, loop, turns)
    return None


def steady_turns(loop: Node, shapes: Shapes) -> int | None:
    """The number of iterations of a Loop, read from the first size of its scan outputs.

    None if the number varies with the length or exceeds ``MOST_TURNS``.
    """
    stacked = loop.outputs[len(loop.inputs) - 2 :]
    counts = {sizes[0] for t in stacked for sizes in shapes.get(t.name, ())}
    turns = counts.pop() if len(counts) == 1 else None
    return turns if turns is not None and 0 < turns <= MOST_TURNS else None


def constant_turns(loop: Node) -> int | None:
    """The trip count of a Loop, such as a loop over layers.

    None if the count is not a constant or exceeds ``MOST_TURNS``, or if a condition may end the loop earlier.
    """
    body: Graph = loop.attrs["body"]
    count, goes_on = value_in(loop.inputs[0]), behind_identities(body.outputs[0])
    started, told = value_in(loop.inputs[1]), value_in(goes_on)
    if count is None or np.size(count) != 1 or not (goes_on is body.inputs[1] or (told is not None and bool(told))):
        return None
    if loop.inputs[1].name and (started is None or not bool(started)):
        return None
    turns = int(np.ravel(count)[0])
    return turns if 0 < turns <= MOST_TURNS else None


def ends_by_data(loop: Node, carried: Container[str]) -> bool:
    """Whether the trip count or the condition of a Loop depends on data."""
    body: Graph = loop.attrs["body"]
    changes = {
        t.name: (first, last)
        for t, first, last in zip(body.inputs[2:], loop.inputs[2:], body.outputs[1:], strict=False)
    }
    inside = {id(n) for n in body.nodes}
    waiting: list[Tensor] = [*loop.inputs[:2], body.outputs[0]]
    seen: set[str] = set()
    while waiting:
        tensor = waiting.pop()
        if not tensor.name or tensor.name in seen:
            continue
        seen.add(tensor.name)
        if tensor.name in carried:
            return True
        made = producer(tensor)
        if tensor.name in changes:
            waiting += changes[tensor.name]
        elif made is not None and id(made) in inside:
            waiting += reads(made)
    return False


def unrolled(graph: Graph, loop: Node, turns: int) -> list[str]:
    """Unrolls a Loop; returns the names of the tensors that decide the number of iterations."""
    body: Graph = loop.attrs["body"]
    count = len(loop.inputs) - 2
    taken = names_in(graph)
    outside = {t.name: t for t in captured(loop)}
    outside |= {t.name: t for t in body.tensors().values() if isinstance(t, Constant)}
    decides = [t.name for t in loop.inputs[:2] if t.name and not isinstance(t, Constant)]
    goes_on: Tensor = loop.inputs[1]
    if not goes_on.name:
        goes_on = Constant(unused_name(f"{loop.name}/goes_on", taken), np.array(True))
    values, nodes = list(loop.inputs[2:]), []
    stacked: list[list[Tensor]] = [[] for _ in loop.outputs[count:]]
    for turn in range(turns):
        copy: Graph = body.copy(dict(outside))
        number = Constant(unused_name(f"{loop.name}/turn", taken), np.array(turn, np.int64))
        own = dict(zip((t.name for t in copy.inputs), (number, goes_on, *values), strict=True))
        place = f"{loop.name}/{turn}"
        name_apart(copy, taken, place, place)
        feed(copy, own)
        goes_on, results = copy.outputs[0], copy.outputs[1:]
        values = list(results[:count])
        for held, value in zip(stacked, results[count:], strict=True):
            held.append(value)
        if not isinstance(goes_on, Constant) and goes_on.name not in decides:
            decides.append(goes_on.name)
        nodes += copy.nodes
    gives: dict[int, Tensor] = dict(enumerate(values))
    for index, parts in enumerate(stacked):
        rows = []
        for part in parts:
            row = Variable(unused_name(f"{part.name}/row", taken))
            nodes.append(unsqueezed(graph, part, row))
            rows.append(row)
        whole = Variable(unused_name(f"{loop.name}/stacked", taken))
        nodes.append(Node("Concat", whole.name, {"axis": 0}, list(rows), [whole]))
        gives[count + index] = whole
    put_in_place(graph, loop, nodes, gives)
    return decides


def unsqueezed(graph: Graph, tensor: Tensor, row: Variable) -> Node:
    """A node that adds a leading axis of size 1 to ``tensor``, with the output ``row``."""
    if graph.opset < 13:
        return Node("Unsqueeze", row.name, {"axes": [0]}, [tensor], [row])
    return Node("Unsqueeze", row.name, {}, [tensor, Constant(f"{row.name}/axes", np.array([0]))], [row])


def feed(body: Graph, own: Mapping[str, Tensor]) -> None:
    """Replaces the inputs of a body by the values of one iteration.

    Subgraphs of the body are included, except where they define a tensor of the same name.

    Args:
        own: the value of each input, by the name of the input.
    """
    for node in body.nodes:
        node.inputs = [own.get(t.name, t) for t in node.inputs]
        for inner in (a for a in node.attrs.values() if isinstance(a, Graph)):
            anew = {t.name for t in inner.inputs} | {t.name for n in inner.nodes for t in n.outputs}
            feed(inner, {name: tensor for name, tensor in own.items() if name not in anew})
    body.outputs = [own.get(t.name, t) for t in body.outputs]


def name_apart(body: Graph, taken: set[str], tensors: str, nodes: str) -> None:
    """Gives the tensors of a body unique names with the prefix ``tensors``, and prefixes its nodes with ``nodes``."""
    local = {t.name: t for n in body.nodes for t in n.outputs if t.name}
    for name, tensor in local.items():
        tensor.name = unused_name(f"{tensors}/{name}", taken)
    for inner in body.nodes:
        inner.name = f"{nodes}/{inner.name}" if inner.name else ""


def put_in_place(graph: Graph, node: Node, nodes: list[Node], gives: Mapping[int, Tensor]) -> None:
    """Replaces a node by other nodes.

    Args:
        gives: the tensors that become the outputs of the replaced node, by output index.
    """
    results = list(node.outputs)
    position = place_of(graph, node)
    node.inputs.clear()
    node.outputs.clear()
    passed = [
        Node("Identity", f"{result.name}/taken", inputs=[gives[index]], outputs=[result])
        for index, result in enumerate(results)
    ]
    graph.nodes[position : position + 1] = [*nodes, *passed]
