"""Ops on score matrices: softmax over keys, and what only moves or picks the other axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from graphc.contract.length import Length
from graphc.errors import StreamError
from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.attention.attend import place_queries, rehearse, spans_of, weights_of, with_existing
from graphc.stream.facts.facts import Array, IndexMap, Law, MaskFacts, ScoreMatrix, SoftmaxSite, TimeConstant
from graphc.stream.facts.time_axes import Frame
from graphc.stream.index_maps.index_maps import move, scaled_source
from graphc.stream.index_maps.masked_index_maps import blanked
from graphc.stream.index_maps.relative_attention import settled_inputs
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import two_time_rule
from graphc.stream.rules.elementwise import BROADCAST, CONTRIB, UNARY
from graphc.stream.rules.reduction import REDUCTIONS
from graphc.stream.scores.band import UNLIMITED
from graphc.stream.scores.dynamic_masks import Spans
from graphc.stream.scores.mask_analysis import OFF, conjunction, disjunction, each, mask_facts_of
from graphc.stream.scores.score_matrix import built, emit_nothing, known_piece, lowest_of, pairs_of, pairwise
from graphc.stream.symbolic.queries.questions import AllAre

ZERO_STAYS_REDUCED = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare")


@two_time_rule(*UNARY, *BROADCAST, *CONTRIB)
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


def only_table(facts: Facts) -> ScoreMatrix:
    facts = settled_inputs(facts)
    tables = [f for f in facts.inputs if isinstance(f, ScoreMatrix)]
    if len(tables) != 1 or facts.streams():
        facts.refuse("joins a score matrix with another tensor of time", "give both the time axes of queries and keys")
    return tables[0]


def frame_at(facts: Facts, table: ScoreMatrix, axes: tuple[int, int], index: int = 0) -> tuple[Frame, bool]:
    """The times of an output whose axes for the table's first and second time are given, and whether they swapped."""
    rank = len(facts.output_shapes[index][0])
    if axes[0] < axes[1]:
        return Frame((rank - axes[0], rank - axes[1]), table.times), False
    return Frame((rank - axes[1], rank - axes[0]), (table.times[1], table.times[0])), True


def follow(
    node: Node,
    facts: Facts,
    table: ScoreMatrix,
    axes: tuple[int, int],
    make: Callable[[Builder, Tensor, Spans], Sequence[Tensor | None]],
) -> Lowering:
    """A step that keeps entries together with their places: the times stand on other axes, the rest may change."""

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
        pairs = pairs_of(facts, frame, build, masks, table.settled, index)
        return replace(pairs, normalised=frozenset(1 - s if swapped else s for s in table.normalised))

    outputs = tuple(output(i) if t.name and facts.output_shapes[i] else None for i, t in enumerate(node.outputs))
    return Lowering(outputs, emit_nothing(node))


@two_time_rule("Dropout")
def dropout(node: Node, facts: Facts) -> Lowering:
    """An identity outside training."""
    if facts[2] is not None and bool(facts.array(2, "training_mode")):
        facts.refuse("drops at random (training_mode)", "export the model in evaluation mode")
    table = only_table(replace(facts, inputs=facts.inputs[:1]))
    if len(node.outputs) > 1 and node.outputs[1].name and node.outputs[1].outputs:
        facts.refuse("its mask is read", "export the model in evaluation mode")
    frame = Frame(table.from_right, table.times)
    return Lowering((pairs_of(facts, frame, table.build, table.masks, table.settled), None), emit_nothing(node))


@two_time_rule("Softmax")
def softmax(node: Node, facts: Facts) -> Lowering:
    """Over one time: entries far below the largest of their row become zeros, frames that do not exist too."""
    table = only_table(facts)
    first = normalised(int(node.attrs.get("axis", -1 if facts.opset >= 13 else 1)), table.rank)
    axes = [first] if facts.opset >= 13 else list(range(first, table.rank))
    along = [a for a in axes if a in table.axes]
    if len(along) > 1 or (along and len(axes) > 1 and any(table.shape[a] != 1 for a in axes if a not in along)):
        facts.refuse("normalises over both times at once", UNLIMITED)
    if not along:
        free = MaskFacts.free(len(facts.lengths))
        frame = Frame(table.from_right, table.times)
        build = built(node, [table.build])
        return Lowering(
            (pairs_of(facts, frame, build, replace(table.masks, upper=free.upper, zero=free.zero)),), emit_nothing(node)
        )
    key = table.axes.index(along[0])
    lowest = lowest_of(table.dtype)

    def scores(b: Builder, spans: Spans) -> Tensor:
        return with_existing(b, table, key, spans, lowest)

    if any((upper == -np.inf).all(axis=key).any() for upper in table.masks.upper):
        facts.refuse(
            "normalises a query that sees no key at all, which gives no number",
            "let every query see its own frame, or mask by a finite number",
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
    pairs = pairs_of(facts, frame, build, masks, settled=True, sites=(site,))
    laws = pairs.laws if holds_in_short_rows(table, key) else (*pairs.laws, doubtful(node, facts))
    return Lowering((replace(pairs, normalised=pairs.normalised | {key}, laws=laws),), emit_nothing(node))


def holds_in_short_rows(table: ScoreMatrix, key: int) -> bool:
    """Whether what is off beside the highest of its row is so beside the row's own place too.

    Rows near the ends of a stream, and of short streams, have fewer entries, but every row has its own place.
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
    """Notes that the band of an attention is seen at the lengths evaluated alone."""

    def claim(period: int, masks: int) -> None:
        if facts.proof is not None:
            facts.proof.doubt(node.outputs[0].name, "a query may see more where its own place is masked")

    return claim


def vanishing(masks: MaskFacts, axis: int) -> tuple[Array, ...]:
    """Entries so far below the highest of their row, whatever the head, that their exponential is zero."""
    found: list[Array] = []
    for upper, lower in zip(masks.upper, masks.lower, strict=True):
        highest = lower.max(axis=axis, keepdims=True)
        with np.errstate(invalid="ignore"):
            below = np.where(np.isfinite(highest), upper - highest, 0)
        found.append((below <= OFF) | (upper == -np.inf))
    return tuple(found)


@two_time_rule(*REDUCTIONS)
def reduce(node: Node, facts: Facts) -> Lowering:
    """Over other axes as it is; over one time the sum, mean or maximum of what a query sees."""
    table = only_table(facts)
    axes = facts.argument("axes", 1)
    axes = [normalised(int(a), table.rank) for a in axes or []]
    along = [a for a in axes if a in table.axes]
    keep = bool(node.attrs.get("keepdims", 1))
    if not axes or len(along) > 1 or (along and len(axes) > 1):
        facts.refuse("reduces over both times at once", UNLIMITED)
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
        facts.refuse(f"takes {node.op} over all keys", "only sums and maxima over keys are lifted")
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


def arguments(b: Builder, facts: Facts) -> list[Tensor | None]:
    """The inputs after the first, which are constants."""
    return [None if f is None else b.constant(np.asarray(facts.array(i + 1))) for i, f in enumerate(facts.inputs[1:])]


@two_time_rule("Transpose")
def transpose(node: Node, facts: Facts) -> Lowering:
    if isinstance(facts[0], IndexMap):
        return move(node, facts)
    table = only_table(facts)
    order = [int(a) for a in node.attrs.get("perm", range(table.rank)[::-1])]
    axes = (order.index(table.axes[0]), order.index(table.axes[1]))
    return follow(node, facts, table, axes, lambda b, x, spans: b.copy(node, [x]))


@two_time_rule("Reshape", "Flatten", "Squeeze", "Unsqueeze")
def reshape(node: Node, facts: Facts) -> Lowering:
    """Both times keep their frames; what stands before, between and after them may be split or merged."""
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
        facts.refuse("folds one of the two times of an attention table into another axis", "keep both axes whole")
    axes = varying[0]
    shape = list(facts.output_shapes[0][0])

    def make(b: Builder, x: Tensor, spans: Spans) -> list[Tensor]:
        sizes = list(shape)
        for axis, span, time in zip(axes, spans, table.times, strict=True):
            sizes[axis] = b.frames(time) + span.extra
        return [b.one("Reshape", x, b.constant(sizes), hint="reshaped")]

    return follow(node, facts, table, axes, make)


def keeps(old: Sequence[int], new: Sequence[int], before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether two axes keep their sizes and all that stands in front of, between and behind them its number."""
    parts = [
        (math.prod(s[: a[0]]), s[a[0]], math.prod(s[a[0] + 1 : a[1]]), s[a[1]], math.prod(s[a[1] + 1 :]))
        for s, a in ((old, before), (new, after))
    ]
    return parts[0] == parts[1]


@two_time_rule("Slice", "Split", "Gather", "Expand", "Tile", "Concat")
def pick(node: Node, facts: Facts) -> Lowering:
    """On other axes as it is; on the two times only where nothing is cut."""
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
        facts.refuse("reverses a score matrix", "a stream never sees its end first; export without the reversal")
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
    """Heads side by side."""
    tables = [f for f in facts.inputs if isinstance(f, ScoreMatrix)]
    first = tables[0]
    along = normalised(int(node.attrs["axis"]), first.rank)
    if len(tables) != len(facts) or any(t.axes != first.axes for t in tables) or along in first.axes:
        facts.refuse("joins score matrices along time", "a stream has only the frames of its window")
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
    return Lowering((pairs_of(facts, frame, build, masks, all(t.settled for t in tables)),), emit_nothing(node))


@two_time_rule("Pad", "GatherElements", "GatherND")
def move_only(node: Node, facts: Facts) -> Lowering:
    if not any(isinstance(f, IndexMap) for f in facts.inputs):
        if node.op == "Pad" and facts.output_shapes[0] == facts.input_shapes[0]:
            return pads_nothing(node, facts)
        facts.refuse("moves scores between queries or keys once they are a score matrix", "move them before")
    return move(node, facts)


def pads_nothing(node: Node, facts: Facts) -> Lowering:
    """A Pad whose amounts come to nothing at every length."""
    table = only_table(replace(facts, inputs=facts.inputs[:1]))
    facts.claim(1, AllAre(Length.fixed(0)))
    return follow(node, facts, table, table.axes, lambda b, x, spans: [x])


@two_time_rule("Trilu")
def trilu(node: Node, facts: Facts) -> Lowering:
    """A triangle of zeros: keys after, or before, a diagonal."""
    try:
        table = only_table(replace(facts, inputs=facts.inputs[:1]))
    except StreamError:
        step = blanked(node, facts)
        if step is None:
            raise
        return step
    if table.from_right != (2, 1):
        facts.refuse("cuts a triangle out of other axes than the two times", "transpose them to the end")
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
    return Lowering((pairs_of(facts, frame, build, masks, table.settled),), emit_nothing(node))
