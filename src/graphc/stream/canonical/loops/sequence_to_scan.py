"""Turns a sequence to which a Loop appends in each iteration, as in scripted PyTorch models, into a scan output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.ir.graph import Graph, Node, Tensor, Variable, place_of, producer
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.loops.plain_loops import turns_of
from graphc.stream.facts.index_map import Shapes
from graphc.stream.facts.time_constant import Array

STARTED = ("SequenceEmpty", "SequenceConstruct")


def stack_sequences(graph: Graph, shapes: Shapes, known: Sequence[Mapping[str, Array]]) -> bool:
    """Rewrites each Loop that only appends to a carried sequence, if only a ConcatFromSequence reads that sequence.

    The appended value becomes a scan output, which a Loop stacks along axis 0. The ConcatFromSequence becomes a
    Transpose that moves this axis to its place. A sequence whose elements have several frames stays as it is. Returns
    whether a Loop was rewritten.

    Args:
        shapes: the shapes of the data tensors, at each evaluated length.
        known: the values of the time-only tensors, at each evaluated length.
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


def replace_concat(
    graph: Graph, concat: Node, stacked: Tensor, held: Sequence[Tensor], axis: int, rank: int, new_axis: bool
) -> None:
    """Replaces a ConcatFromSequence: moves the stacked axis to ``axis``, after the elements from before the loop.

    If the ConcatFromSequence adds no new axis, the elements' own axis of size 1 is dropped first.

    Args:
        held: the elements of the sequence before the loop.
    """
    w = Writer(f"{concat.outputs[0].name}/stacked")
    order = list(range(1, rank))
    order.insert(axis, 0)
    frames = w.transposed(stacked if new_axis else w.one("Squeeze", stacked, [axis + 1]), order)
    if held:
        before = [w.one("Unsqueeze", tensor, [axis]) if new_axis else tensor for tensor in held]
        frames = w.one("Concat", *before, frames, axis=axis)
    w.replace(graph, concat, frames)
