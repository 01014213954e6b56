"""Lowers products of a stream and a constant table.

The table has one column for each relative position, and later nodes move the entries of the product into a score
matrix; or the table is a filter that sums the stream over time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.index_map import EntrySource, IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Span
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.index_maps.index_maps import identity_maps
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import WINDOW_HINT
from graphc.stream.scores.constant_scores import known_piece
from graphc.stream.scores.einsum_terms import SUMMED, Terms, grown_letter
from graphc.stream.scores.mask_propagation import mask_facts_of_operand
from graphc.stream.scores.score_matrix import emit_nothing, law_of


def constant_table(facts: Facts, terms: Terms) -> tuple[int, ScoreMatrix] | None:
    """The input index and the score matrix of a constant that sums a stream over time, as a filter does.

    None if no input is such a constant.
    """
    ((index, x),) = facts.streams()
    other = 1 - index
    known, own = facts[other], terms.operands[other]
    time = terms.operands[index][x.axis]
    wide = grown_letter(facts, terms, {time})
    if (
        not isinstance(known, TimeConstant)
        or time in terms.output
        or time not in own
        or wide is None
        or wide not in own
    ):
        return None
    axes = own.index(time), own.index(wide)
    if any(v.shape[a] != x.length(n) for v, n in zip(known.values, facts.lengths, strict=True) for a in axes):
        return None
    first, second = sorted(axes)
    times = x.at(max(0, x.delay))
    frame = Frame((len(own) - first, len(own) - second), (times, times))
    masks = mask_facts_of_operand(facts, known, frame, len(facts.lengths))
    shape = tuple(-1 if a in axes else size for a, size in enumerate(known.values[0].shape))
    laws = (law_of(facts, facts.proof, other, frame),) if facts.proof is not None else ()
    build = known_piece(facts, other, frame)
    return other, ScoreMatrix((first, second), frame.times, shape, known.values[0].dtype, build, masks, laws=laws)


def places(node: Node, facts: Facts, terms: Terms) -> Lowering:
    """The lowering of a product of a stream and a table with one column for each relative position.

    The output is an ``IndexMap``. Later nodes move its entries into a score matrix.
    """
    ((index, x),) = facts.streams()
    other = 1 - index
    known = facts[other]
    time = terms.operands[index][x.axis]
    wide = grown_letter(facts, terms, {time})
    if not isinstance(known, TimeConstant) or wide is None or wide not in terms.operands[other]:
        facts.refuse(
            "makes a score matrix in which only the queries or only the keys come from the stream",
            "compute both from stream inputs",
        )
    if time not in terms.output:
        facts.refuse(SUMMED, WINDOW_HINT)
    letters = terms.operands[other]
    own_time = time in letters
    column_axis = letters.index(wide)
    longest = max(range(len(known.values)), key=lambda k: known.values[k].size)

    def table(length: int) -> Array:
        value = known.values[length]
        axes = [letters.index(time), column_axis] if own_time else [column_axis]
        return np.moveaxis(value, axes, range(len(axes)))

    attrs = terms.rewrite(node, other, time) if own_time else None

    def columns(
        b: Builder, span: Span, wide_axis: int, picked: Sequence[tuple[int, int] | int], places: Tensor | None
    ) -> Tensor:
        value = table(longest)
        rows = [value[p] if p is not None else np.zeros_like(value[0, 0] if own_time else value[0]) for p in picked]
        stacked = np.stack(rows)
        if own_time:
            chosen = np.expand_dims(stacked, 0)
            chosen = np.moveaxis(chosen, (0, 1), (letters.index(time), column_axis))
            if attrs is not None:
                chosen = chosen.squeeze(letters.index(time))
        else:
            chosen = np.moveaxis(stacked, 0, column_axis)
        chunk = b.window(b.tensors[facts.names[index]], x, span, "attention_context")
        pair: list[Tensor | None] = [chunk, chunk]
        distances: Tensor = b.constant(np.ascontiguousarray(chosen), f"{node.inputs[other].name}/distances")
        if places is not None:
            left_out = own_time and attrs is not None and letters.index(time) < column_axis
            distances = b.one("Gather", distances, places, axis=column_axis - left_out, hint="distances")
        pair[other] = distances
        with b.within(node):
            return b.copy(node, pair, attrs)[0]

    source = EntrySource(
        x.at(max(0, x.delay)),
        terms.output.index(time),
        terms.output.index(wide),
        facts.output_shapes[0],
        columns,
        table,
        made=node.outputs[0].name,
        places=(other, column_axis, letters.index(time) if own_time else None),
    )
    moved = IndexMap(source, identity_maps(facts.output_shapes[0]), facts.dtypes[0])
    return Lowering((moved,), emit_nothing(node))


def with_input(facts: Facts, index: int, table: ScoreMatrix) -> Facts:
    return replace(facts, inputs=tuple(table if i == index else f for i, f in enumerate(facts.inputs)))
