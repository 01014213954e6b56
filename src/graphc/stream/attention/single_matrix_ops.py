"""What the rules for ops on one score matrix share, if the op leaves each entry at its query and key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.time_axes import Frame
from graphc.stream.index_maps.relative_attention import settled_inputs
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.scores.dynamic_masks import Spans
from graphc.stream.scores.score_matrix import emit_nothing, score_matrix_of


def follow(
    node: Node,
    facts: Facts,
    table: ScoreMatrix,
    axes: tuple[int, int],
    make: Callable[[Builder, Tensor, Spans], Sequence[Tensor | None]],
) -> Lowering:
    """The lowering of an op that leaves each entry of a score matrix at its query and key.

    Args:
        axes: the output axes of the score matrix's first and second time.
        make: builds the outputs of one call from the score matrix of that call.
    """

    def output(index: int) -> ScoreMatrix:
        frame, swapped = frame_at(facts, table, axes, index)

        def build(b: Builder, spans: Spans) -> Tensor:
            inner = (spans[1], spans[0]) if swapped else spans
            key = ("follow", node.outputs[0].name, inner)
            if key not in b.memo:
                with b.within(node):
                    b.memo[key] = make(b, table.build(b, inner), inner)
            found: Tensor = b.memo[key][index]
            return found

        masks = table.masks.swapped() if swapped else table.masks
        pairs = score_matrix_of(facts, frame, build, masks, table.settled, index)
        return replace(pairs, normalised=frozenset(1 - s if swapped else s for s in table.normalised))

    outputs = tuple(output(i) if t.name and facts.output_shapes[i] else None for i, t in enumerate(node.outputs))
    return Lowering(outputs, emit_nothing(node))


def arguments(b: Builder, facts: Facts) -> list[Tensor | None]:
    """The inputs of a node after the first one, as constants of the call."""
    return [None if f is None else b.constant(np.asarray(facts.array(i + 1))) for i, f in enumerate(facts.inputs[1:])]


def only_table(facts: Facts) -> ScoreMatrix:
    facts = settled_inputs(facts)
    tables = [f for f in facts.inputs if isinstance(f, ScoreMatrix)]
    if len(tables) > 1:
        facts.refuse("takes several score matrices, but it may take only one", "combine them before it, elementwise")
    if not tables or facts.streams():
        facts.refuse(
            "combines a score matrix with a tensor that has only one time axis",
            "give that tensor a query axis and a key axis",
        )
    return tables[0]


def frame_at(facts: Facts, table: ScoreMatrix, axes: tuple[int, int], index: int = 0) -> tuple[Frame, bool]:
    """The time axes of an output, and whether the op has swapped them.

    Args:
        axes: the output axes of the score matrix's first and second time.
        index: the index of the output.
    """
    rank = len(facts.output_shapes[index][0])
    if axes[0] < axes[1]:
        return Frame((rank - axes[0], rank - axes[1]), table.times), False
    return Frame((rank - axes[1], rank - axes[0]), (table.times[1], table.times[0])), True
