"""Softmax over keys."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.attention.attend import with_existing
from graphc.stream.attention.single_matrix_ops import only_table
from graphc.stream.facts.scores import Law, MaskFacts, ScoreMatrix, SoftmaxSite
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import score_rule
from graphc.stream.scores.constant_scores import lowest_of
from graphc.stream.scores.dynamic_masks import Spans
from graphc.stream.scores.mask_propagation import FAR_OFF, OFF
from graphc.stream.scores.score_matrix import built, emit_nothing, score_matrix_of


@score_rule("Softmax")
def softmax(node: Node, facts: Facts) -> Lowering:
    """Over one time axis, entries far below the largest of their row become zeros, as do frames that do not exist."""
    table = only_table(facts)
    first = normalised(int(node.attrs.get("axis", -1 if facts.opset >= 13 else 1)), table.rank)
    axes = [first] if facts.opset >= 13 else list(range(first, table.rank))
    along = [a for a in axes if a in table.axes]
    if len(along) > 1 or (along and len(axes) > 1 and any(table.shape[a] != 1 for a in axes if a not in along)):
        facts.refuse("normalises a score matrix over the keys and another axis at once", "apply it over the keys alone")
    if not along:
        free = MaskFacts.free(len(facts.lengths))
        frame = Frame(table.from_right, table.times)
        build = built(node, [table.build])
        return Lowering(
            (score_matrix_of(facts, frame, build, replace(table.masks, upper=free.upper, zero=free.zero)),),
            emit_nothing(node),
        )
    key = table.axes.index(along[0])
    lowest = lowest_of(table.dtype)

    def scores(b: Builder, spans: Spans) -> Tensor:
        return with_existing(b, table, key, spans, lowest)

    if any((upper == -np.inf).all(axis=key).any() for upper in table.masks.upper):
        facts.refuse(
            "normalises a query whose keys are all masked with -inf, which gives NaN",
            "let every query see its own frame, or mask with a finite number",
        )
    zero = vanishing(table.masks, key)
    in_softmax = tuple(~z for z in zero)
    masks = replace(
        MaskFacts.free(len(facts.lengths)), zero=zero, displaced=table.masks.displaced, in_softmax=in_softmax
    )
    build = built(node, [scores])
    frame = Frame(table.from_right, table.times)
    rights = table.from_right
    site = SoftmaxSite(node.inputs[0].name, node.outputs[0].name, rights[1 - key], rights[key], table.dtype)
    pairs = score_matrix_of(facts, frame, build, masks, settled=True, sites=(site,))
    laws = pairs.laws if holds_in_short_rows(table, key) else (*pairs.laws, doubtful(node, facts))
    return Lowering((replace(pairs, normalised=pairs.normalised | {key}, laws=laws),), emit_nothing(node))


def holds_in_short_rows(table: ScoreMatrix, key: int) -> bool:
    """Whether entries far below the highest of their row are also far below the entry at the row's own position.

    Rows near the ends of a stream, and rows of short streams, have fewer entries, but every row has its own position.
    """
    masks = table.masks if key == 1 else table.masks.swapped()
    upper, lower, zero = max(zip(masks.upper, masks.lower, vanishing(masks, 1), strict=True), key=lambda v: v[0].size)
    rows, keys = np.broadcast_shapes(upper.shape, lower.shape)
    if rows == 1 or keys == 1:
        return True
    own = np.diagonal(np.broadcast_to(lower, (rows, keys)))[:, None]
    upper, zero = (np.broadcast_to(v, (rows, keys))[: len(own)] for v in (upper, zero))
    with np.errstate(invalid="ignore"):
        below = np.where(np.isfinite(own), upper - own, 0) <= OFF
    return not bool((zero & ~(below | (upper == -np.inf))).any())


def doubtful(node: Node, facts: Facts) -> Law:
    """A law which notes that the band of an attention is only known at the lengths evaluated."""

    def claim(period: int, masks: int) -> None:
        if facts.proof is not None:
            facts.proof.doubt(node.outputs[0].name, "a query whose own position is masked may attend further")

    return claim


def vanishing(masks: MaskFacts, axis: int) -> tuple[Array, ...]:
    """Which entries are so far below the highest of their row, in every head, that their exponential is zero."""
    found: list[Array] = []
    for upper, lower in zip(masks.upper, masks.lower, strict=True):
        highest = lower.max(axis=axis, keepdims=True)
        with np.errstate(invalid="ignore"):
            below = np.where(np.isfinite(highest), upper - highest, 0)
        found.append(is_masked(below, axis) | (upper == -np.inf))
    return tuple(found)


def is_masked(below: Array, axis: int) -> Array:
    """Whether entries lie so far below the highest of their row that no data brings them near it.

    A mask leaves a gap: the entries that it hides lie at ``OFF`` or lower, and the others at less than half of that. If
    the entries of a row fall gradually, as penalties that grow with the distance do, the limit is ``FAR_OFF``.
    """
    off = below <= OFF
    highest_off = np.where(off, below, -np.inf).max(axis=axis, keepdims=True)
    lowest_on = np.where(off, 0.0, below).min(axis=axis, keepdims=True)
    return np.asarray(below <= np.where(lowest_on < highest_off / 2, FAR_OFF, OFF))
