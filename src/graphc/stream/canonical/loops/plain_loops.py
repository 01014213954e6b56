"""Simplifies Loops, so that every carried value changes and only the trip count ends the loop.

Exporters of other frameworks carry weights and whole streams through a Loop that does not change them, carry counters
of the iterations, and compute a condition that only repeats what the trip count says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from graphc.ir.graph import (
    Constant,
    Graph,
    Node,
    Tensor,
    Variable,
    captured,
    drop_dead,
    names_in,
    place_of,
    producer,
    replace_tensor,
    subgraphs,
    unused_name,
)
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.constants_behind_nodes import value_in
from graphc.stream.canonical.loops.iteration_affine import Line, Turns, beside
from graphc.stream.facts.time_constant import Array

ENDLESS = 2**31 - 1


def plain_loops(graph: Graph) -> bool:
    """Simplifies the loops of a graph; returns whether one of them changed."""
    changed = False
    for loop in [n for n in graph.nodes if n.op == "Loop"]:
        for index in reversed(range(len(loop.inputs) - 2)):
            changed |= without_variable(graph, loop, index)
    return changed


def without_variable(graph: Graph, loop: Node, index: int) -> bool:
    """Removes a carried value that never changes, or that only counts the iterations; returns whether it was removed.

    Args:
        index: the index of the value among the carried values of the Loop.
    """
    body: Graph = loop.attrs["body"]
    variable, result = body.inputs[2 + index], body.outputs[1 + index]
    first, last = loop.inputs[2 + index], loop.outputs[index]
    if is_captured(graph, last) or any(t is last for t in graph.outputs):
        return False
    if behind_identities(result) is variable:
        if first.name in made_within(body):
            return False
        replace_tensor(graph, last, first)
        replace_inside(body, variable, first)
    elif not last.outputs and (counter := counted(variable, result, first)) is not None:
        start, step = counter
        replace_inside(body, variable, counting(body, start, step))
    else:
        return False
    body.inputs = [t for i, t in enumerate(body.inputs) if i != 2 + index]
    body.outputs = [t for i, t in enumerate(body.outputs) if i != 1 + index]
    loop.inputs = [t for i, t in enumerate(loop.inputs) if i != 2 + index]
    loop.outputs = [t for i, t in enumerate(loop.outputs) if i != index]
    drop_dead(body)
    return True


def counted(variable: Tensor, result: Tensor, first: Tensor) -> tuple[Array, Array] | None:
    """The start and step of a carried integer to which every iteration adds a constant; None for other carried values.

    Args:
        variable: the carried value, as an input of the body.
        result: the carried value, as an output of the body.
        first: the carried value before the first iteration.
    """
    start, made = value_in(first), producer(behind_identities(result))
    if (
        start is None
        or start.size != 1
        or start.dtype.kind not in "iu"
        or made is None
        or made.op not in ("Add", "Sub")
    ):
        return None
    sides = [behind_identities(t) for t in made.inputs]
    if sides[0] is variable:
        step = value_in(sides[1])
    elif sides[1] is variable and made.op == "Add":
        step = value_in(sides[0])
    else:
        return None
    if step is None or step.size != 1:
        return None
    return start, -step if made.op == "Sub" else step


def counting(body: Graph, start: Array, step: Array) -> Tensor:
    """Adds nodes to a body that compute a counter from the iteration number; returns the counter."""
    taken = names_in(body)
    tensor: Tensor = body.inputs[0]
    nodes: list[Node] = []

    def add(op: str, other: Array | None, **attrs: int) -> None:
        nonlocal tensor
        output = Variable(unused_name("turns_counted", taken))
        inputs = [tensor] if other is None else [tensor, Constant(unused_name("turns_counted_by", taken), other)]
        nodes.append(Node(op, output.name, attrs, inputs, [output]))
        tensor = output

    if start.dtype != np.int64:
        add("Cast", None, to=int(onnx.helper.np_dtype_to_tensor_dtype(start.dtype)))
    if start.ndim:
        add("Reshape", np.asarray(start.shape, np.int64))
    if step.item() != 1:
        add("Mul", step.reshape(start.shape).astype(start.dtype))
    if start.item() != 0:
        add("Add", start)
    body.nodes = [*nodes, *body.nodes]
    return tensor


def without_conditions(graph: Graph, values: Sequence[Mapping[str, Array]]) -> list[str] | None:
    """Drops the condition of the first Loop whose condition is true in every iteration but the last.

    The trip count ends such a Loop anyway. If only the condition ends it, and the body reads the number of iterations
    from a tensor, that tensor becomes the trip count.

    Returns the names of what it relies on (``Evaluation.patterns``), or None if there is no such Loop.
    """
    for loop in [n for n in graph.nodes if n.op == "Loop"]:
        relies = without_condition(graph, loop, values)
        if relies is not None:
            return relies
    return None


def without_condition(graph: Graph, loop: Node, values: Sequence[Mapping[str, Array]]) -> list[str] | None:
    """Drops the condition of one Loop; returns the names of what it relies on, or None if the condition stays."""
    body: Graph = loop.attrs["body"]
    condition = body.outputs[0]
    if behind_identities(condition) is body.inputs[1]:
        return None
    hidden = made_within(body)
    read = [t for t in captured(loop) if t.name not in hidden and all(t.name in run for run in values)]
    outer = {t.name: [run[t.name] for run in values] for t in read}
    candidates = read if is_endless(loop.inputs[0]) else [loop.inputs[0]]
    for tensor in [t for t in candidates if all(t.name in run for run in values)]:
        counts = counts_of([run[tensor.name] for run in values])
        turns = Turns(body, counts, outer)
        if len(set(counts)) < 2 or not turns.goes_on(condition):
            continue
        if tensor is not loop.inputs[0]:
            if not turns.ends(condition):
                continue
            loop.inputs = [as_turns(graph, loop, tensor), *loop.inputs[1:]]
        body.outputs = [body.inputs[1], *body.outputs[1:]]
        drop_dead(body)
        return claimed(graph, loop, tensor, [(t, turns.used[t.name]) for t in read if t.name in turns.used])
    return None


def claimed(graph: Graph, loop: Node, tensor: Tensor, used: Sequence[tuple[Tensor, Line | None]]) -> list[str]:
    """What must be the same at every length: conditions, and numbers less what the number of iterations explains."""
    w = Writer(f"{loop.name or loop.outputs[0].name}/goes_on")
    count = w.one("Reshape", w.one("Cast", tensor, to=int(onnx.TensorProto.INT64)), [1])
    names = [t.name if held is None else beside(w, t, held.count, count) for t, held in used]
    place = place_of(graph, loop)
    graph.nodes[place:place] = w.nodes
    return names


def is_endless(turns: Tensor) -> bool:
    value = value_in(turns) if turns.name else None
    return not turns.name or (value is not None and value.size == 1 and value.item() >= ENDLESS)


def counts_of(values: Sequence[Array]) -> list[int]:
    """The values as integers; an empty list if one of the values is not a single integer."""
    fit = all(v.size == 1 and v.dtype.kind in "iu" for v in values)
    return [int(v.item()) for v in values] if fit else []


def turns_of(loop: Node, known: Sequence[Mapping[str, Array]]) -> list[int]:
    """The trip count of a Loop, at each evaluated length; an empty list if it is not known."""
    name = loop.inputs[0].name
    return counts_of([values[name] for values in known]) if all(name in values for values in known) else []


def as_turns(graph: Graph, loop: Node, tensor: Tensor) -> Tensor:
    """Adds nodes that convert a number to the form of a Loop's trip count, int64 []; returns the result."""
    taken, place = names_in(graph), place_of(graph, loop)
    cast, turns = Variable(unused_name("turns_cast", taken)), Variable(unused_name("turns", taken))
    shape = Constant(unused_name("turns_shape", taken), np.zeros(0, np.int64))
    graph.nodes[place:place] = [
        Node("Cast", cast.name, {"to": int(onnx.TensorProto.INT64)}, [tensor], [cast]),
        Node("Reshape", turns.name, {}, [cast, shape], [turns]),
    ]
    return turns


def behind_identities(tensor: Tensor) -> Tensor:
    """The tensor that reaches ``tensor`` through a chain of Identity nodes; ``tensor`` if there is no chain."""
    while (made := producer(tensor)) is not None and made.op == "Identity":
        tensor = made.inputs[0]
    return tensor


def is_captured(graph: Graph, tensor: Tensor) -> bool:
    return any(t is tensor for node in graph.nodes for t in captured(node))


def made_within(body: Graph) -> set[str]:
    """The names of the tensors that a body and its subgraphs define. They shadow outer tensors of the same name."""
    names = {t.name for t in body.inputs} | {t.name for n in body.nodes for t in n.outputs}
    for node in body.nodes:
        for inner in subgraphs(node):
            names |= made_within(inner)
    return names


def replace_inside(body: Graph, old: Tensor, new: Tensor) -> None:
    """Replaces ``old`` by ``new`` wherever a body or one of its subgraphs reads or returns it."""
    for node in body.nodes:
        if any(t is old for t in node.inputs):
            node.inputs = [new if t is old else t for t in node.inputs]
        for inner in subgraphs(node):
            replace_inside(inner, old, new)
    body.outputs = [new if t is old else t for t in body.outputs]
