"""Lowers the product of a score matrix and values, which is the output of attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc.errors import TooShortError
from graphc.ir.graph import Node, Tensor, Variable, label
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Span, Stream, Untimed
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.constant_operands import cut_to_chunk
from graphc.stream.lowering.lowering import AttentionSpan, Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.scores.band import UNLIMITED, Band, Placed, placed, reached
from graphc.stream.scores.constant_scores import rectangle_of, stream_at
from graphc.stream.scores.dynamic_masks import Spans, beyond_window, rectangle
from graphc.stream.scores.einsum_terms import Terms
from graphc.stream.scores.score_matrix import joined


def attended(node: Node, facts: Facts, terms: Terms, index: int, table: ScoreMatrix, key: int) -> Lowering:
    """The lowering of a score matrix times values, summed over the key axis: the output of attention for every query.

    Args:
        terms: the product in Einsum notation.
        index: the input index of the score matrix.
        table: the score matrix.
        key: which of the score matrix's two time axes is summed over, 0 or 1.
    """
    other = 1 - index
    letters = [terms.operands[index][a] for a in table.axes]
    values = facts[other]
    if isinstance(values, ScoreMatrix | Untimed):
        facts.refuse(
            "multiplies attention weights by values that do not come from the stream",
            "compute the values from a stream input",
        )
    key_time, query_time = table.times[key], table.times[1 - key]
    if isinstance(values, Stream):
        if terms.operands[other][values.axis] != letters[key]:
            facts.refuse(
                "sums attention weights over a time axis on which the values have no frames",
                "sum over the time axis that the weights share with the values, or use a ReduceSum",
            )
        key_time = joined(facts, [key_time, values])
    where, context = place_queries(facts, table, key, query_time, key_time)
    rehearse(facts, table, key, where)
    if isinstance(values, Stream):
        given = value_window(facts, other, values, where)
    elif isinstance(values, TimeConstant):
        given = known_values(facts, terms, other, values, letters, key, where)
    else:
        facts.refuse(
            "sums attention weights over time without multiplying them by values",
            "multiply them by values, or use a ReduceSum",
        )
    out = facts.out(query_time.at(where.delay), terms.output.index(letters[1 - key]), delay=where.delay)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        pair: list[Tensor | None] = [None, None]
        pair[index] = weights_of(b, table, key, where)
        pair[other] = given(b)
        return b.copy(node, pair)

    return Lowering((out,), emit, attention=context)


def place_queries(
    facts: Facts, table: ScoreMatrix, key: int, query_time: Stream, key_time: Stream
) -> tuple[Placed, AttentionSpan]:
    """Decides which queries and keys a call reads, and which keys each query sees, from the zeros of the score matrix.

    Refuses a score matrix whose zeros do not limit the keys, or that has unmasked entries from other queries.
    """
    if table.normalised - {key}:
        facts.refuse(
            "sums scores over one time axis, but a softmax normalised them over the other",
            "a softmax over the queries needs the whole stream; apply it over the keys",
        )
    masks = table.masks if key == 1 else table.masks.swapped()
    sizes = [(query_time.length(n), key_time.length(n)) for n in facts.lengths]
    if query_time.rate != key_time.rate:
        facts.refuse(
            f"its queries have {query_time.rate} frames for each input frame, and its keys {key_time.rate}",
            "attention between different rates cannot be streamed; bring queries and keys to one rate",
        )
    if any(
        (np.broadcast_to(w, s) & np.broadcast_to(~z, s)).any()
        for w, z, s in zip(masks.displaced, masks.unseen, sizes, strict=True)
    ):
        facts.refuse(
            "attends to scores that a relative shift moved in from the rows of other queries",
            "mask these entries before the softmax",
        )
    band, max_frames = reached(facts, masks.unseen, sizes, query_time)
    context = AttentionSpan(max(band.left), max(band.right), band.period, table.sites, max_frames)
    claim_laws(facts, table, band, query_time, max_frames)
    return placed(facts, band, query_time, key_time, leftovers_may_be_infinite(facts)), context


def claim_laws(facts: Facts, table: ScoreMatrix, band: Band, query: Stream, limit: int | None) -> None:
    """Claims that the tables from which the band was read keep their form at every length.

    Args:
        limit: the longest stream for which the band holds, if the user has set one.

    Errors:
        TooShortError: the lengths evaluated do not show the whole band, and there is no ``limit``.
    """
    if facts.settings.survey or facts.proof is None or not facts.proof.is_possible:
        return
    period = facts.frames(query)
    rows = max(query.length(n) for n in facts.lengths)
    masks = rows - 2 - period
    if limit is None and masks < max(*band.left, *band.right, 1):
        raise TooShortError(
            f"the {rows} frames evaluated do not show how far it attends"
            + (f" in calls of {period} frames" if 2 * period > rows else ""),
            max(facts.lengths),
            label(facts.node),
            f"use a smaller chunk; or {UNLIMITED}" if 2 * period > rows else UNLIMITED,
        )
    for law in table.laws:
        law(period, masks)


def leftovers_may_be_infinite(facts: Facts) -> bool:
    """Whether frames that do not exist may be infinite or NaN in a call, so that zero times such a frame is NaN."""
    held = [n for n, f in zip(facts.names, facts.inputs, strict=True) if isinstance(f, Stream | ScoreMatrix | IndexMap)]
    return any(name not in facts.finite for name in held)


def spans_of(where: Placed, key: int) -> Spans:
    return (where.queries, where.keys) if key == 1 else (where.keys, where.queries)


def weights_of(b: Builder, table: ScoreMatrix, key: int, where: Placed) -> Tensor:
    """Builds the attention weights of one call, with zeros for keys that do not exist or that a query does not see."""
    spans, zero = spans_of(where, key), np.zeros((), table.dtype)
    if not table.settled:
        return with_existing(b, table, key, spans, zero)
    found: Tensor = table.build(b, spans)
    beyond = beyond_window(b, table, key, spans)
    return found if beyond is None else b.one("Where", beyond, b.constant(zero, "filler"), found, hint="within_window")


def missing_keys(b: Builder, table: ScoreMatrix, key: int, span: Span) -> Tensor | None:
    """A mask of the keys of a span that do not exist, aligned with the score matrix; None if all of them exist."""
    if span.offset <= 0 and not span.ends:
        return None
    time = stream_at(table.times[key], table.from_right[key]).at(span.offset)
    return b.missing(time, span.offset > 0, span.ends, span.extra)


def with_existing(b: Builder, table: ScoreMatrix, key: int, spans: Spans, filler: Array) -> Tensor:
    """Builds the score matrix of one call, with ``filler`` for keys that do not exist or that a query does not see."""
    x: Tensor = table.build(b, spans)
    missing = missing_keys(b, table, key, spans[key])
    beyond = beyond_window(b, table, key, spans)
    if missing is not None and beyond is not None:
        missing = b.one("Or", missing, beyond, hint="unseen")
    unseen = beyond if missing is None else missing
    return x if unseen is None else b.one("Where", unseen, b.constant(filler, "filler"), x, hint="existing")


def rehearse(facts: Facts, table: ScoreMatrix, key: int, where: Placed) -> None:
    """Builds the score matrix once as a trial, so that it is refused now if it cannot be cut to a call's spans."""
    table.build(Rehearsal(facts.chunk, set(), facts.settings.grid), spans_of(where, key))


class Rehearsal(Builder):
    """A builder for a trial, in which the tensors of streams are stand-ins without data."""

    def __init__(self, chunk: int, taken: set[str], grid: int | None):
        super().__init__(chunk, taken, grid)
        self.tensors = StandIns()
        self.memo["multiples"] = Variable("multiples")


class StandIns(dict[str, Tensor]):
    def __missing__(self, name: str) -> Tensor:
        return Variable(name)


def value_window(facts: Facts, index: int, values: Stream, where: Placed) -> Callable[[Builder], Tensor]:
    """The function that builds the values for the keys of one call.

    Leftovers that may be infinite become 0, since 0 times infinity is NaN.
    """
    name = facts.names[index]
    finite = name in facts.finite

    def build(b: Builder) -> Tensor:
        stream = values.at(where.key_delay if where.keys.ends else max(values.delay, 0))
        x = b.delayed(b.tensors[name], values, stream.delay)
        if not finite:
            x = b.masked(x, stream, 0.0, stream.delay > 0, where.keys.ends)
        return b.window(x, stream, where.keys, "attention_value")

    return build


def known_values(
    facts: Facts, terms: Terms, other: int, known: TimeConstant, letters: Sequence[str], key: int, where: Placed
) -> Callable[[Builder], Tensor]:
    """The function that builds the values for the keys of one call, if the values are constants.

    The constants have a time axis for keys only, or are a table over queries and keys.

    Args:
        letters: the Einsum letters of the score matrix's two time axes.
    """
    own = terms.operands[other]
    if letters[key] not in own:
        facts.refuse(
            "sums a score matrix over the keys, but its other input, a constant, has no key axis",
            "use a ReduceSum and a Mul",
        )
    axis = own.index(letters[key])
    if letters[1 - key] in own:
        return rectangle_values(facts, other, own, letters, key, where)
    time = stream_at(facts_table(facts).times[key], len(own) - axis)
    cut_to_chunk(facts, other, time)

    def build(b: Builder) -> Tensor:
        value, varies = cut_to_chunk(facts, other, time.at(where.keys.offset), where.keys.extra)
        frames = facts.frames(time) + where.keys.extra
        return b.constant(value if varies else np.repeat(value, frames, axis=axis), label(facts.node))

    return build


def rectangle_values(
    facts: Facts, other: int, own: Sequence[str], letters: Sequence[str], key: int, where: Placed
) -> Callable[[Builder], Tensor]:
    """The function that builds the values of one call, if they are a constant table over queries and keys.

    Models with relative positions have such values.
    """
    order = sorted((0, 1), key=lambda side: own.index(letters[side]))
    rights = (len(own) - own.index(letters[order[0]]), len(own) - own.index(letters[order[1]]))
    times = facts_table(facts).times
    spans = spans_of(where, key)
    frame, along = Frame(rights, (times[order[0]], times[order[1]])), (spans[order[0]], spans[order[1]])
    value = rectangle_of(facts, other, frame, along)
    return lambda b: rectangle(b, value, frame, along, f"{facts.node.inputs[other].name}/chunk")


def facts_table(facts: Facts) -> ScoreMatrix:
    return next(f for f in facts.inputs if isinstance(f, ScoreMatrix))
