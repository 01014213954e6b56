"""Tracks where Pad, Reshape, Slice and Gather move the entries of a tensor, by running them on the entries' indices.

docs/calculus.md, "Relative positions": between the product with a table of relative positions and the sum of scores,
nodes only move entries. The origin of an entry shows to which distance the entry belongs, whatever nodes have moved it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from graphc.ir.graph import Node, Tensor, op_of
from graphc.stream.facts.index_map import EntrySource, IndexMap
from graphc.stream.facts.stream import Span, Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.index_maps.data_movement import MOVERS, run_once
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.scores.score_matrix import emit_nothing
from graphc_runtime.errors import StreamError

MOST_ENTRIES = 50_000_000


def identity_maps(shapes: Sequence[tuple[int, ...]]) -> tuple[Array, ...]:
    return tuple(np.arange(math.prod(s), dtype=np.int64).reshape(s) for s in shapes)


def moved_stream(node: Node, facts: Facts, refusal: StreamError) -> Lowering | None:
    """The lowering of a node that moves entries of a stream; None if the entries cannot be tracked.

    This is for nodes that no stream rule covers.

    Args:
        refusal: the error to raise later, if the entries do not become a score matrix.
    """
    streams = facts.streams()
    if node.op not in MOVERS or len(streams) != 1 or not isinstance(facts[streams[0][0]], Stream):
        return None
    index, x = streams[0]
    if index and node.op != "Concat":
        return None
    shapes = facts.input_shapes[index]
    if sum(math.prod(s) for s in shapes) > MOST_ENTRIES:
        return None
    name = facts.names[index]

    def columns(b: Builder, span: Span, wide: int, picked: Sequence[Any], places: Tensor | None) -> Tensor:
        chunk = b.window(b.tensors[name], x, span, "attention_context")
        chosen: Tensor = b.constant(np.array([0 if p is None else p for p in picked], dtype=np.int64))
        if places is not None:
            chosen = b.one("Gather", chosen, places, axis=0, hint="distances")
        return b.one("Gather", chunk, chosen, axis=wide, hint="distances")

    source = EntrySource(x.at(max(0, x.delay)), x.axis, None, shapes, columns, made=name)
    moved = IndexMap(source, identity_maps(shapes), x.dtype, refusal)
    inputs = tuple(moved if i == index else f for i, f in enumerate(facts.inputs))
    try:
        return move(node, replace(facts, inputs=inputs))
    except StreamError:
        return None


def move(node: Node, facts: Facts) -> Lowering:
    """The lowering of a node that only moves entries: runs the node on the indices of the entries, at every length."""
    sources = [f for f in facts.inputs if isinstance(f, IndexMap)]
    moved = sources[0]
    if len(sources) > 1 or node.op not in MOVERS:
        refuse(facts, moved)
    maps: list[list[Array]] = [[] for _ in node.outputs]
    for length in range(len(facts.lengths)):
        inputs: list[Array | None] = []
        for fact in facts.inputs:
            if isinstance(fact, IndexMap):
                inputs.append(fact.maps[length])
            elif fact is None:
                inputs.append(None)
            elif not isinstance(fact, TimeConstant):
                refuse(facts, moved)
            elif node.op == "Concat":
                inputs.append(np.full(fact.values[length].shape, -1, np.int64))
            else:
                inputs.append(fact.values[length])
        if node.op == "Pad":
            inputs[2:3] = [np.array(-1, np.int64)]
        for number, result in enumerate(run_once(node, facts, inputs)):
            maps[number].append(result)
    outputs = tuple(
        IndexMap(moved.source, tuple(m), moved.dtype, moved.refusal) if t.name else None
        for t, m in zip(node.outputs, maps, strict=True)
    )
    return Lowering(outputs, emit_nothing(node))


def scaled_source(node: Node, facts: Facts) -> Lowering | None:
    """The lowering of an elementwise op on moved entries and scalars; None for any other op.

    The op is applied to the columns of the source instead, before they move.
    """
    moved = [(i, f) for i, f in enumerate(facts.inputs) if isinstance(f, IndexMap)]
    if len(moved) != 1 or not all(isinstance(f, TimeConstant) for i, f in enumerate(facts.inputs) if i != moved[0][0]):
        return None
    index, fact = moved[0]
    if any(isinstance(f, TimeConstant) and (f.steady is None or f.steady.size != 1) for f in facts.inputs):
        return None
    values = [facts.array(i) if i != index else None for i in range(len(facts))]
    inner = fact.source.columns

    def columns(b: Builder, span: Span, wide: int, picked: Sequence[Any], places: Tensor | None) -> Tensor:
        chunk = inner(b, span, wide, picked, places)
        given = [chunk if v is None else b.constant(v) for v in values]
        with b.within(node):
            return b.copy(node, given)[0]

    source = replace(fact.source, columns=columns)
    return Lowering((IndexMap(source, fact.maps, facts.dtypes[0], fact.refusal),), emit_nothing(node))


def refuse(facts: Facts, moved: IndexMap) -> NoReturn:
    if moved.refusal is not None:
        raise moved.refusal
    facts.refuse(
        "reads products of frames and positions that are not arranged by the distance between query and key",
        f"arrange them by distance, as a relative shift does, before this {op_of(facts.node)}",
    )
