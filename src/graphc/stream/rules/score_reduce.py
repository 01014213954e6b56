"""Reductions of score matrices, over keys or over other axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.attention.attend import place_queries, rehearse, spans_of, weights_of, with_existing
from graphc.stream.attention.single_matrix_ops import arguments, follow, only_table
from graphc.stream.facts.scores import MaskFacts
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import WINDOW_HINT
from graphc.stream.lowering.rule import score_rule
from graphc.stream.rules.reduction import REDUCTIONS
from graphc.stream.rules.score_softmax import vanishing
from graphc.stream.scores.constant_scores import lowest_of

ZERO_STAYS_REDUCED = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")


@score_rule(*REDUCTIONS)
def reduce(node: Node, facts: Facts) -> Lowering:
    """Over axes other than time, any reduction; over one time axis, the sum, norm or maximum of what a query sees."""
    table = only_table(facts)
    axes = facts.argument("axes", 1)
    axes = [normalised(int(a), table.rank) for a in axes or []]
    along = [a for a in axes if a in table.axes]
    keep = bool(node.attrs.get("keepdims", 1))
    if not axes or len(along) > 1:
        facts.refuse("reduces a score matrix over both time axes", WINDOW_HINT)
    if along and len(axes) > 1:
        facts.refuse("reduces a score matrix over a time axis and another axis at once", "reduce one axis at a time")
    if not along:
        rest = [a - (0 if keep else sum(x < a for x in axes)) for a in table.axes]
        free = MaskFacts.free(len(facts.lengths))
        stays = table.masks.zero if node.op in ZERO_STAYS_REDUCED else free.zero
        bare = replace(
            table, masks=replace(free, displaced=table.masks.displaced, zero=stays, in_softmax=table.masks.in_softmax)
        )
        return follow(
            node, facts, bare, (rest[0], rest[1]), lambda b, x, spans: b.copy(node, [x, *arguments(b, facts)])
        )
    key = table.axes.index(along[0])
    query = table.times[1 - key]
    if node.op == "ReduceMax":
        zero = vanishing(table.masks, key)
        judged = replace(table, masks=replace(table.masks, zero=zero))
    elif node.op in ("ReduceSum", "ReduceL1", "ReduceSumSquare", "ReduceL2"):
        judged = table
    else:
        facts.refuse(f"computes {node.op} over the keys", "only sums, norms and maxima over keys are supported")
    where, context = place_queries(facts, judged, key, query, table.times[key])
    rehearse(facts, table, key, where)
    kept = table.axes[1 - key]
    axis = kept if keep else kept - (along[0] < kept)
    out = facts.out(query.at(where.delay), axis, delay=where.delay)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if node.op == "ReduceMax":
            x = with_existing(b, table, key, spans_of(where, key), lowest_of(table.dtype))
        else:
            x = weights_of(b, table, key, where)
        return b.copy(node, [x, *arguments(b, facts)])

    return Lowering((out,), emit, attention=context)
