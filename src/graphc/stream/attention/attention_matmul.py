"""Lowers products that make or use a score matrix.

Each MatMul or Einsum is given in Einsum notation (``Terms``), with one letter for each axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from graphc.ir.graph import Node, Tensor
from graphc.stream.attention.attend import attended
from graphc.stream.facts.scores import MaskFacts, ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.index_maps.place_tables import constant_table, places, with_input
from graphc.stream.index_maps.relative_attention import settled_inputs
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import WINDOW_HINT, refuse_moving
from graphc.stream.scores.dynamic_masks import Spans
from graphc.stream.scores.einsum_terms import SUMMED, Terms
from graphc.stream.scores.score_matrix import built, emit_nothing, score_matrix_of


def product(node: Node, facts: Facts, terms: Terms) -> Lowering:
    """The lowering of a MatMul or Einsum whose operands have two different time axes in total."""
    facts = settled_inputs(facts)
    pairs = [(i, f) for i, f in enumerate(facts.inputs) if isinstance(f, ScoreMatrix)]
    for fact in facts.inputs:
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
    if len(pairs) > 1:
        facts.refuse("multiplies two score matrices", "attention of attention cannot be streamed")
    if not pairs:
        if len(facts.streams()) == 2:
            return scores(node, facts, terms)
        filtering = constant_table(facts, terms)
        if filtering is None:
            return places(node, facts, terms)
        pairs, facts = [filtering], with_input(facts, *filtering)
    index, table = pairs[0]
    letters = [terms.operands[index][a] for a in table.axes]
    gone = [side for side, letter in enumerate(letters) if letter not in terms.output]
    if len(gone) == 2:
        facts.refuse("sums a score matrix over both time axes, queries and keys", WINDOW_HINT)
    if not gone:
        return mixed(node, facts, terms, index, table)
    return attended(node, facts, terms, index, table, gone[0])


def scores(node: Node, facts: Facts, terms: Terms) -> Lowering:
    """The lowering of a product of two streams over their channels: a score matrix over their two time axes."""
    (i, a), (j, b) = facts.streams()
    one, other = terms.operands[i][a.axis], terms.operands[j][b.axis]
    if one not in terms.output or other not in terms.output or one in terms.operands[j] or other in terms.operands[i]:
        facts.refuse(SUMMED, WINDOW_HINT)
    sides = sorted([(terms.output.index(one), i, a), (terms.output.index(other), j, b)])
    rank = len(terms.output)
    frame = Frame(
        (rank - sides[0][0], rank - sides[1][0]),
        (sides[0][2].at(max(0, sides[0][2].delay)), sides[1][2].at(max(0, sides[1][2].delay))),
    )
    side_of = {sides[0][1]: 0, sides[1][1]: 1}

    def piece(index: int) -> Callable[[Builder, Spans], Tensor]:
        stream, name = facts.stream(index), facts.names[index]

        def window(b: Builder, spans: Spans) -> Tensor:
            span = spans[side_of[index]]
            return b.window(b.tensors[name], stream, span, "attention_key" if span.extra else "delay_line")

        return window

    build = built(node, [piece(k) for k in range(2)])
    return Lowering((score_matrix_of(facts, frame, build, MaskFacts.free(len(facts.lengths))),), emit_nothing(node))


def mixed(node: Node, facts: Facts, terms: Terms, index: int, table: ScoreMatrix) -> Lowering:
    """The lowering of a product that sums a score matrix over a non-time axis, as in talking-heads attention."""
    letters = [terms.operands[index][a] for a in table.axes]
    sides = {letter: side for side, letter in enumerate(letters)}
    places_out = [terms.output.index(letter) for letter in letters]
    rank = len(terms.output)
    order = sorted(range(2), key=lambda s: places_out[s])
    times = (table.times[order[0]], table.times[order[1]])

    def as_in_table(spans: Spans) -> Spans:
        return spans if order == [0, 1] else (spans[1], spans[0])

    def piece(number: int) -> Callable[[Builder, Spans], Tensor]:
        fact, name = facts[number], facts.names[number]
        if isinstance(fact, ScoreMatrix):
            return lambda b, spans: fact.build(b, as_in_table(spans))
        if isinstance(fact, Stream):
            letter = terms.operands[number][fact.axis]
            if letter not in sides:
                facts.refuse(
                    "multiplies a score matrix by a stream whose time is neither on the query axis nor on the key axis",
                    "transpose that stream so that its time is on the query axis or on the key axis",
                )
            side = sides[letter]
            return lambda b, spans: b.window(b.tensors[name], fact, as_in_table(spans)[side], "attention_context")
        if isinstance(fact, TimeConstant):
            if any(letter in terms.operands[number] for letter in letters):
                facts.refuse(
                    "multiplies a score matrix by a constant that has a time axis",
                    "write it as a Mul, and a sum as a ReduceSum",
                )
            value = facts.array(number)
            return lambda b, spans: b.constant(np.asarray(value), facts.node.inputs[number].name)
        return lambda b, spans: b.tensors[name]

    frame = Frame((rank - min(places_out), rank - max(places_out)), times)
    masks = table.masks if order == [0, 1] else table.masks.swapped()
    none = MaskFacts.free(len(facts.lengths))
    free = replace(masks, upper=none.upper, one=none.one)
    build = built(node, [piece(k) for k in range(2)])
    normalised = frozenset(order.index(side) for side in table.normalised)
    pairs = replace(score_matrix_of(facts, frame, build, free, table.settled), normalised=normalised)
    return Lowering((pairs,), emit_nothing(node))
