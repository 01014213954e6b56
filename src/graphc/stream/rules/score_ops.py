"""Ops on score matrices that do not mix entries: elementwise ops, and ops that only move or pick other axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor, constant_of, normalised, producer
from graphc.stream.attention.single_matrix_ops import arguments, follow, only_table
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import MaskFacts, ScoreMatrix
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.index_maps.index_maps import move, scaled_source
from graphc.stream.index_maps.masked_index_maps import blanked
from graphc.stream.index_maps.relative_attention import settled_inputs
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import score_rule
from graphc.stream.rules.elementwise import BROADCAST, CONTRIB, UNARY
from graphc.stream.scores.constant_scores import known_piece
from graphc.stream.scores.dynamic_masks import Spans
from graphc.stream.scores.mask_propagation import conjunction, disjunction, each, mask_facts_of
from graphc.stream.scores.score_matrix import built, emit_nothing, pairwise, score_matrix_of
from graphc.stream.symbolic.queries.questions import AllAre
from graphc_runtime.errors import StreamError


@score_rule(*UNARY, *BROADCAST, *CONTRIB)
def elementwise(node: Node, facts: Facts) -> Lowering:
    if any(isinstance(f, IndexMap) for f in facts.inputs):
        scaled = scaled_source(node, facts)
        if scaled is not None:
            return scaled
        try:
            facts = settled_inputs(facts)
        except StreamError:
            step = blanked(node, facts)
            if step is None:
                raise
            return step
    return pairwise(node, facts)


@score_rule("QuantizeLinear", "DequantizeLinear")
def quantize(node: Node, facts: Facts) -> Lowering:
    """Requires one scale for all entries: an entry of 0 becomes the zero point, and 0 again after DequantizeLinear."""
    if any(isinstance(f, Stream) for f in facts.inputs[1:]) or math.prod(facts.input_shapes[1][0]) > 1:
        facts.refuse(
            "its score matrix has several scales, or one that comes from the stream", "quantize with one fixed scale"
        )
    maker, readers = producer(node.inputs[0]), {n.op for n in node.outputs[0].outputs}
    if node.op == "QuantizeLinear" and readers != {"DequantizeLinear"}:
        facts.refuse(
            f"passes quantized scores to {', '.join(sorted(readers - {'DequantizeLinear'})) or 'an output'}",
            "dequantize the scores first",
        )
    if node.op == "DequantizeLinear":
        if maker is None or maker.op != "QuantizeLinear":
            facts.refuse("dequantizes scores that no QuantizeLinear made", "compute the scores in float")
        if not np.array_equal(zero_point(maker), zero_point(node)):
            facts.refuse(
                "its zero point is computed, or is not that of the QuantizeLinear", "use one constant zero point"
            )
    return elementwise(node, facts)


def zero_point(node: Node) -> Array:
    """The zero point of a QuantizeLinear or DequantizeLinear; NaN, which equals nothing, if it is computed."""
    if len(node.inputs) < 3 or not node.inputs[2].name:
        return np.zeros(())
    value = constant_of(node.inputs[2])
    return np.asarray(np.nan if value is None else np.squeeze(value), np.float64)


@score_rule("Dropout")
def dropout(node: Node, facts: Facts) -> Lowering:
    """An identity outside training."""
    if facts[2] is not None and bool(facts.array(2, "training_mode")):
        facts.refuse("applies dropout (training_mode)", "export the model in evaluation mode")
    table = only_table(replace(facts, inputs=facts.inputs[:1]))
    if len(node.outputs) > 1 and node.outputs[1].name and node.outputs[1].outputs:
        facts.refuse("its mask output is used", "export the model in evaluation mode")
    frame = Frame(table.from_right, table.times)
    return Lowering((score_matrix_of(facts, frame, table.build, table.masks, table.settled), None), emit_nothing(node))


@score_rule("Transpose")
def transpose(node: Node, facts: Facts) -> Lowering:
    if isinstance(facts[0], IndexMap):
        return move(node, facts)
    table = only_table(facts)
    order = [int(a) for a in node.attrs.get("perm", range(table.rank)[::-1])]
    axes = (order.index(table.axes[0]), order.index(table.axes[1]))
    return follow(node, facts, table, axes, lambda b, x, spans: b.copy(node, [x]))


@score_rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(node: Node, facts: Facts) -> Lowering:
    """Both time axes keep their frames; the axes before, between and after them may be split or merged."""
    if isinstance(facts[0], IndexMap):
        return move(node, facts)
    table = only_table(facts)
    fits = [
        axes
        for axes in ((a, b) for b in range(len(facts.output_shapes[0][0])) for a in range(b))
        if all(
            keeps(old, new, table.axes, axes)
            for old, new in zip(facts.input_shapes[0], facts.output_shapes[0], strict=True)
        )
    ]
    varying = [f for f in fits if all(len({s[a] for s in facts.output_shapes[0]}) > 1 for a in f)] or fits
    if not varying:
        facts.refuse("folds a time axis of a score matrix into another axis", "keep queries and keys on an axis each")
    axes = varying[0]
    shape = list(facts.output_shapes[0][0])

    def make(b: Builder, x: Tensor, spans: Spans) -> list[Tensor]:
        sizes = list(shape)
        for axis, span, time in zip(axes, spans, table.times, strict=True):
            sizes[axis] = b.frames(time) + span.extra
        return [b.one("Reshape", x, b.constant(sizes), hint="reshaped")]

    return follow(node, facts, table, axes, make)


def keeps(old: Sequence[int], new: Sequence[int], before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether two axes keep their sizes, and the axes before, between and after these two keep their total sizes.

    Args:
        old, new: the shapes before and after a Reshape.
        before, after: the two axes in ``old`` and in ``new``.
    """
    parts = [
        (math.prod(s[: a[0]]), s[a[0]], math.prod(s[a[0] + 1 : a[1]]), s[a[1]], math.prod(s[a[1] + 1 :]))
        for s, a in ((old, before), (new, after))
    ]
    return parts[0] == parts[1]


@score_rule("Slice", "Split", "Gather", "Expand", "Tile", "Concat")
def pick(node: Node, facts: Facts) -> Lowering:
    """Picks entries on axes other than time; the two time axes must stay whole."""
    if any(isinstance(f, IndexMap) for f in facts.inputs):
        return move(node, facts)
    if node.op == "Concat":
        return concat(node, facts)
    table = only_table(facts)
    rank = len(facts.output_shapes[0][0])
    added = rank - table.rank
    axes = (table.axes[0] + added, table.axes[1] + added)
    if node.op == "Gather":
        along = normalised(int(node.attrs.get("axis", 0)), table.rank)
        moved = [a + (added if a > along else 0) for a in table.axes]
        axes = (moved[0], moved[1])
    if node.op == "Slice" and any(int(s) < 0 for s in facts.argument("steps", 4) or []):
        facts.refuse("slices a score matrix with a negative step", "export without the reversal")
    if node.op == "Slice" and facts.output_shapes[0] == facts.input_shapes[0]:
        return follow(node, facts, table, axes, lambda b, x, spans: [x])
    if node.op == "Expand":
        shape = list(facts.output_shapes[0][0])

        def expand(b: Builder, x: Tensor, spans: Spans) -> list[Tensor]:
            sizes = [1 if a in axes else s for a, s in enumerate(shape)]
            return [b.one("Expand", x, b.constant(sizes), hint="expanded")]

        return follow(node, facts, table, axes, expand)
    return follow(node, facts, table, axes, lambda b, x, spans: b.copy(node, [x, *arguments(b, facts)]))


def concat(node: Node, facts: Facts) -> Lowering:
    """Joins score matrices along an axis other than time, such as heads."""
    tables = [f for f in facts.inputs if isinstance(f, ScoreMatrix)]
    first = tables[0]
    along = normalised(int(node.attrs["axis"]), first.rank)
    if along in first.axes:
        facts.refuse(
            "concatenates scores along a time axis",
            "for an attention sink, add its exponential to the denominator of the softmax instead of a column",
        )
    if len(tables) != len(facts) or any(t.axes != first.axes for t in tables):
        facts.refuse(
            "concatenates a score matrix with a tensor that has other time axes, or none",
            "concatenate score matrices only, with queries and keys on the same axes",
        )
    frame = Frame(first.from_right, first.times)
    parts = [t.masks for t in tables]
    masks = MaskFacts(
        each(lambda uppers: np.maximum.reduce(np.broadcast_arrays(*uppers)), [p.upper for p in parts]),
        each(conjunction, [p.zero for p in parts]),
        each(disjunction, [p.displaced for p in parts]),
        each(conjunction, [p.one for p in parts]),
        each(disjunction, [p.in_softmax for p in parts]),
        each(lambda uppers: np.minimum.reduce(np.broadcast_arrays(*uppers)), [p.lower for p in parts]),
    )
    build = built(node, [t.build for t in tables])
    return Lowering((score_matrix_of(facts, frame, build, masks, all(t.settled for t in tables)),), emit_nothing(node))


@score_rule("Pad", "GatherElements", "GatherND")
def move_only(node: Node, facts: Facts) -> Lowering:
    if not any(isinstance(f, IndexMap) for f in facts.inputs):
        if node.op == "Pad" and facts.output_shapes[0] == facts.input_shapes[0]:
            return pads_nothing(node, facts)
        facts.refuse(
            "pads or gathers entries of a score matrix",
            "shift products with positions before they are added to scores or masked, as relative attention does",
        )
    return move(node, facts)


def pads_nothing(node: Node, facts: Facts) -> Lowering:
    """The lowering of a Pad whose amounts are zero at every length."""
    table = only_table(replace(facts, inputs=facts.inputs[:1]))
    facts.claim(1, AllAre(Length.fixed(0)))
    return follow(node, facts, table, table.axes, lambda b, x, spans: [x])


@score_rule("Trilu")
def trilu(node: Node, facts: Facts) -> Lowering:
    """Sets the keys after, or before, a diagonal to zero."""
    try:
        table = only_table(replace(facts, inputs=facts.inputs[:1]))
    except StreamError:
        step = blanked(node, facts)
        if step is None:
            raise
        return step
    if table.from_right != (2, 1):
        facts.refuse("its triangle is not over queries and keys", "transpose queries and keys to the last two axes")
    diagonal = int(facts.array(1, "its diagonal") or 0) if facts[1] is not None else 0
    upper = bool(node.attrs.get("upper", 1))
    sizes = [tuple(t.length(n) for t in table.times) for n in facts.lengths]
    kept = TimeConstant(
        tuple(np.triu(np.ones(s, bool), diagonal) if upper else np.tril(np.ones(s, bool), diagonal) for s in sizes)
    )
    zero = TimeConstant((np.zeros((), table.dtype),) * len(sizes))
    chosen = replace(facts, inputs=(kept, table, zero), names=("triangle", facts.names[0], "zero"))
    frame = Frame(table.from_right, table.times)
    pieces = [known_piece(chosen, 0, frame), table.build, known_piece(chosen, 2, frame)]

    def build(b: Builder, spans: Spans) -> Tensor:
        with b.within(node):
            return b.one("Where", *(piece(b, spans) for piece in pieces), hint="triangle")

    masks = mask_facts_of(Node("Where"), chosen, frame)
    return Lowering((score_matrix_of(facts, frame, build, masks, table.settled),), emit_nothing(node))
