"""Turns a sequence to which a Loop appends in each iteration, as in scripted PyTorch models, into a scan output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.graph import Graph, Node, Tensor, Variable, place_of, producer
from graphc.ir.node_writer import Writer
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

STARTED = ("SequenceEmpty", "SequenceConstruct")


def stack_sequences(graph: Graph, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> bool:
    """Rewrites each Loop whose carried sequence is only appended to and then concatenated; returns whether it did.

    The appended value becomes a scan output, which a Loop stacks along axis 0; ConcatFromSequence becomes the Transpose
    that moves that axis to its place. Values of several frames stay in their sequence.

    Args:
        shapes: of the tensors of data, at each length evaluated.
        known: the values of the time-only tensors, at each length evaluated.
    """
    changed = False
    for loop in [n for n in graph.nodes if n.op == "Loop"]:
        for index in range(len(loop.outputs)):
            if index + 2 < len(loop.inputs) and rewrite(graph, loop, index, shapes, known):
                changed = True
                break
    return changed


def rewrite(graph: Graph, loop: Node, index: int, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> bool:
    body: Graph = loop.attrs["body"]
    carried, result = body.inputs[2 + index], body.outputs[1 + index]
    insert, started = producer(result), producer(loop.inputs[2 + index])
    sequence = loop.outputs[index]
    if started is None or started.op not in STARTED or insert is None or insert.op != "SequenceInsert":
        return False
    appends = (
        insert.inputs[0] is carried and len([t for t in insert.inputs if t.name]) == 2 and len(carried.outputs) == 1
    )
    readers = list(sequence.outputs)
    if not appends or len(readers) != 1 or readers[0].op != "ConcatFromSequence" or len(result.outputs) > 0:
        return False
    concat = readers[0]
    seen = shapes.get(concat.outputs[0].name)
    if seen is None:
        return False
    rank = len(seen[0])
    axis = int(concat.attrs["axis"]) % rank
    new_axis = bool(concat.attrs.get("new_axis", 0))
    held = list(started.inputs)
    if not new_axis and any(
        n + len(held) != sizes[axis] for n, sizes in zip(turns_of(loop, known), seen, strict=False)
    ):
        return False
    stacked = Variable(f"{sequence.name}/stacked")
    value = insert.inputs[1]
    insert.inputs.clear()
    insert.outputs.clear()
    del body.nodes[place_of(body, insert)]
    body.inputs = [t for i, t in enumerate(body.inputs) if i != 2 + index]
    body.outputs = [t for i, t in enumerate(body.outputs) if i != 1 + index] + [value]
    loop.inputs = [t for i, t in enumerate(loop.inputs) if i != 2 + index]
    loop.outputs = [t for i, t in enumerate(loop.outputs) if i != index] + [stacked]
    replace_concat(graph, concat, stacked, held, axis, rank, new_axis)
    return True


def turns_of(loop: Node, known: Sequence[Mapping[str, Array]]) -> list[int]:
    """The trip counts of a Loop at the lengths evaluated; none if they are not known."""
    name = loop.inputs[0].name
    return [int(values[name]) for values in known] if all(name in values for values in known) else []


def replace_concat(
    graph: Graph, concat: Node, stacked: Tensor, held: Sequence[Tensor], axis: int, rank: int, new_axis: bool
) -> None:
    """Moves the stacked axis to ``axis``, behind the tensors that the sequence held before the loop.

    Unless that is a new axis, first drops the elements' own axis of size 1.
    """
    w = Writer(f"{concat.outputs[0].name}/stacked")
    order = list(range(1, rank))
    order.insert(axis, 0)
    frames = w.transposed(stacked if new_axis else w.one("Squeeze", stacked, [axis + 1]), order)
    if held:
        before = [w.one("Unsqueeze", tensor, [axis]) if new_axis else tensor for tensor in held]
        frames = w.one("Concat", *before, frames, axis=axis)
    w.replace(graph, concat, frames)
