"""Rewrites a Slice in the body of a Loop to a Gather, if the Slice returns exactly frame t in iteration t."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from graphc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    drop_dead,
    names_in,
    place_of,
    producer,
    standard,
    unused_name,
)
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.canonical.constants_behind_nodes import value_in
from graphc.stream.facts.time_constant import Array
from graphc_runtime.errors import RunError

TURNS = 300
MOST_TURNS = 50_000
FAR = tuple(10**power + more for power in range(3, 8) for more in (-1, 0, 1))
UNREACHED = 10**8
PIECEWISE = (
    *("Constant", "Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Concat", "Add", "Sub", "Max", "Min", "Where"),
    *("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "And", "Or", "Not"),
)


def gather_picks(graph: Graph) -> bool:
    """Turns each Slice that returns exactly frame t in iteration t of a Loop into a Gather.

    Returns whether there was one.
    """
    changed = False
    for loop in [n for n in graph.nodes if n.op == "Loop"]:
        body: Graph = loop.attrs["body"]
        for node in [n for n in body.nodes if n.op == "Slice" and standard(n) and len(n.inputs) > 2]:
            source = producer(node.inputs[0])
            if node.inputs[0] in body.inputs or any(n is source for n in body.nodes):
                continue
            made = made_by_turn(body, node.inputs[1:])
            axis = picked_axis(graph, body, node, made) if made else None
            if axis is not None:
                gather(body, node, axis)
                drop_dead(body)
                changed = True
    return changed


def made_by_turn(body: Graph, tensors: Sequence[Tensor]) -> list[Node]:
    """The nodes of a body that compute ``tensors`` from the iteration number by piecewise linear ops.

    Each linear piece is constant, or rises or falls by one per iteration. The result is empty if any other op is
    involved, if a node adds or subtracts two numbers that both depend on the iteration number, or if no tensor depends
    on it.
    """
    inside = {id(n) for n in body.nodes}
    found: dict[int, Node] = {}
    waiting = [t for t in tensors if t.name]
    turned = False
    while waiting:
        tensor = waiting.pop()
        node = producer(tensor)
        if tensor is body.inputs[0]:
            turned = True
        elif not isinstance(tensor, Constant):
            if node is None or id(node) not in inside or node.op not in PIECEWISE:
                return []
            if id(node) not in found:
                found[id(node)] = node
                waiting += [t for t in node.inputs if t.name]
    made = [n for n in body.nodes if id(n) in found]
    following = {body.inputs[0].name}
    for node in made:
        follows = [t.name in following for t in node.inputs]
        if node.op in ("Add", "Sub") and all(follows):
            return []
        if any(follows):
            following.update(t.name for t in node.outputs)
    return made if turned else []


def picked_axis(graph: Graph, body: Graph, node: Node, made: Sequence[Node]) -> int | None:
    """The axis along which a Slice returns exactly frame t in iteration t.

    None if there is no such axis, or if the Slice also cuts another axis.

    Args:
        made: the nodes of the body that compute the bounds of the Slice.
    """
    turns = turns_to_try(node, made)
    if turns is None:
        return None
    given = {index: t for index, t in enumerate(node.inputs) if index and t.name}
    values = values_in_turns(graph, body, made, list(given.values()), turns)
    if values is None:
        return None
    arguments = dict(zip(given, values, strict=True))
    starts, ends = arguments[1], arguments[2]
    count = starts.shape[1]
    axes = arguments.get(3, np.tile(np.arange(count), (len(turns), 1)))
    steps = arguments.get(4, np.ones_like(starts))
    if any(v.shape != starts.shape for v in (ends, axes, steps)) or (axes != axes[0]).any():
        return None
    turn = turns[:, None]
    picks = (starts == turn) & (ends > turn) & (steps > 0) & ((starts + steps >= ends) | (steps >= UNREACHED))
    whole = (starts == 0) & (ends >= UNREACHED) & (steps == 1)
    picking = [j for j in range(count) if picks[:, j].all()]
    if len(picking) != 1 or not all(whole[:, j].all() for j in range(count) if j not in picking):
        return None
    return int(axes[0][picking[0]])


def turns_to_try(node: Node, made: Sequence[Node]) -> Array | None:
    """Iteration numbers that reach every linear piece: all up to the sum of the nodes' constants, and some far beyond.

    None if that sum is too large.
    """
    tensors = [*node.inputs[1:], *(t for n in made for t in [*n.inputs, *n.outputs])]
    constants = {t.name: np.asarray(v) for t in tensors if (v := value_in(t)) is not None}
    numbers = [abs(float(v)) for c in constants.values() if c.dtype.kind in "iuf" for v in c.ravel()]
    reach = sum(v for v in numbers if v < UNREACHED)
    if not reach <= MOST_TURNS:
        return None
    near = max(TURNS, int(reach) + 2)
    return np.asarray([*range(near), *(t for t in FAR if t >= near)], np.int64)


def values_in_turns(
    graph: Graph, body: Graph, made: Sequence[Node], tensors: Sequence[Tensor], turns: Array
) -> list[Array] | None:
    """The value of each tensor in the given iterations, one array [iterations, ...] per tensor.

    None if onnxruntime cannot run the nodes that compute the tensors.

    Args:
        made: the nodes of the body that compute the tensors.
        turns: the iteration numbers.
    """
    place, go, number = Variable("place", np.int64, ()), Variable("go", np.bool_, ()), Variable("turn")
    renamed = {body.inputs[0].name: number}
    nodes = [
        Node("Identity", "go_on", {}, [go], [Variable("went", np.bool_, ())]),
        Node("Gather", "turn", {}, [Constant("turns_tried", turns), place], [number]),
    ]
    for node in made:
        outputs = [Variable(t.name) for t in node.outputs]
        nodes.append(Node(node.op, node.name, node.attrs, [renamed.get(t.name, t) for t in node.inputs], outputs))
        renamed |= {t.name: t for t in outputs}
    results = [Variable(f"out_{i}") for i in range(len(tensors))]
    nodes += [Node("Identity", f"out_{i}", {}, [renamed.get(t.name, t)], [results[i]]) for i, t in enumerate(tensors)]
    inner = Graph(nodes=nodes, inputs=[place, go], outputs=[nodes[0].outputs[0], *results], name="turns")
    outputs = [Variable(f"value_{i}") for i in range(len(tensors))]
    count = Constant("count", np.asarray(len(turns), np.int64))
    loop = Node("Loop", "loop", {"body": inner}, [count, Constant("yes", np.asarray(True))], outputs)
    whole = Graph(nodes=[loop], outputs=outputs, opset=graph.opset, import_domains=graph.import_domains)
    try:
        run = Session(export_model(whole, onnx.ModelProto()), optimize=False).run({})
    except RunError:
        return None
    return [np.asarray(run[t.name]) for t in outputs]


def gather(body: Graph, node: Node, axis: int) -> None:
    """Replaces a Slice by a Gather of one frame; the axis stays, with size 1."""
    taken = names_in(body)
    index = Variable(unused_name("turn_index", taken))
    shape = Constant(unused_name("turn_index_shape", taken), np.ones(1, np.int64))
    source, output, place = node.inputs[0], node.outputs[0], place_of(body, node)
    node.inputs.clear()
    node.outputs.clear()
    body.nodes[place : place + 1] = [
        Node("Reshape", index.name, {}, [body.inputs[0], shape], [index]),
        Node("Gather", f"{output.name}/picked", {"axis": axis}, [source, index], [output]),
    ]
