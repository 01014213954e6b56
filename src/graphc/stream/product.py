"""Products that make or use a table of two times: every MatMul or Einsum as letters, one for each axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphc.errors import TooShortError
from graphc.graph import Node, Tensor, Variable, label
from graphc.stream.band import UNLIMITED, Band, Placed, placed, reached
from graphc.stream.facts import Array, Known, Moved, Pairs, Reach, Source, Span, Static, Stream
from graphc.stream.frame import Frame
from graphc.stream.moved import identity_maps, settled_inputs
from graphc.stream.pairs import built, joined, known_piece, law_of, nothing, pairs_of, rectangle_of, stream_at
from graphc.stream.ports import Builder
from graphc.stream.reach import one_reach
from graphc.stream.rule import Context, Facts, StreamStep, cut_to_chunk, refuse_moving
from graphc.stream.stretched import Spans, beyond_window, rectangle

SUMMED = "sums over all time"
WAY_OUT = "a stream never sees all of it; set stream.window to stream over the last N frames"


@dataclass(frozen=True)
class Terms:
    """A product: the letters of each operand's axes and of the output's."""

    operands: tuple[tuple[str, ...], ...]
    output: tuple[str, ...]
    rewrite: Callable[[Node, int, str], dict[str, object] | None]

    def summed(self) -> set[str]:
        return {letter for operand in self.operands for letter in operand} - set(self.output)


def has_two_times(facts: Facts, terms: Terms) -> bool:
    """Whether a product reads or makes a table of two times, or of time and places."""
    if any(isinstance(f, Pairs | Moved) for f in facts.inputs):
        return True
    letters = {terms.operands[i][s.axis] for i, s in facts.streams() if i < len(terms.operands)}
    if len(letters & set(terms.output)) > 1:
        return True
    return len(letters) == 1 and grown_letter(facts, terms, letters) is not None


def grown_letter(facts: Facts, terms: Terms, times: set[str]) -> str | None:
    """A letter of the output, other than time, whose size follows the length because a constant's does."""
    for axis, letter in enumerate(terms.output):
        if letter not in times and len({s[axis] for s in facts.output_shapes[0]}) > 1:
            return letter
    return None


def product(node: Node, facts: Facts, terms: Terms) -> StreamStep:
    """A product over two times."""
    facts = settled_inputs(facts)
    pairs = [(i, f) for i, f in enumerate(facts.inputs) if isinstance(f, Pairs)]
    for fact in facts.inputs:
        if isinstance(fact, Static):
            refuse_moving(facts, fact)
    if len(pairs) > 1:
        facts.refuse("multiplies two tables of two times", "attention of attention cannot be streamed")
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
        facts.refuse("sums over both times of its table", WAY_OUT)
    if not gone:
        return mixed(node, facts, terms, index, table)
    return attended(node, facts, terms, index, table, gone[0])


def constant_table(facts: Facts, terms: Terms) -> tuple[int, Pairs] | None:
    """The constant that sums a stream over time, as a filter or a smoothing matrix does, as a table of two times."""
    ((index, x),) = facts.streams()
    other = 1 - index
    known, own = facts[other], terms.operands[other]
    time = terms.operands[index][x.axis]
    wide = grown_letter(facts, terms, {time})
    if not isinstance(known, Known) or time in terms.output or time not in own or wide is None or wide not in own:
        return None
    axes = own.index(time), own.index(wide)
    if any(v.shape[a] != x.length(n) for v, n in zip(known.values, facts.lengths, strict=True) for a in axes):
        return None
    first, second = sorted(axes)
    times = x.at(max(0, x.delay))
    frame = Frame((len(own) - first, len(own) - second), (times, times))
    reach = one_reach(facts, known, frame, len(facts.lengths))
    shape = tuple(-1 if a in axes else size for a, size in enumerate(known.values[0].shape))
    laws = (law_of(facts, facts.proof, other, frame),) if facts.proof is not None else ()
    build = known_piece(facts, other, frame)
    return other, Pairs((first, second), frame.times, shape, known.values[0].dtype, build, reach, laws=laws)


def with_input(facts: Facts, index: int, table: Pairs) -> Facts:
    return replace(facts, inputs=tuple(table if i == index else f for i, f in enumerate(facts.inputs)))


def scores(node: Node, facts: Facts, terms: Terms) -> StreamStep:
    """Two streams over their channels: a table of their two times."""
    (i, a), (j, b) = facts.streams()
    one, other = terms.operands[i][a.axis], terms.operands[j][b.axis]
    if one not in terms.output or other not in terms.output or one in terms.operands[j] or other in terms.operands[i]:
        facts.refuse(SUMMED, WAY_OUT)
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
    return StreamStep((pairs_of(facts, frame, build, Reach.free(len(facts.lengths))),), nothing(node))


def places(node: Node, facts: Facts, terms: Terms) -> StreamStep:
    """A stream times a table whose columns stand for places: entries to be moved to a table of two times."""
    ((index, x),) = facts.streams()
    other = 1 - index
    known = facts[other]
    time = terms.operands[index][x.axis]
    wide = grown_letter(facts, terms, {time})
    if not isinstance(known, Known) or wide is None or wide not in terms.operands[other]:
        facts.refuse("makes a table of two times of which one does not come from the stream")
    if time not in terms.output:
        facts.refuse(SUMMED, WAY_OUT)
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

    source = Source(
        x.at(max(0, x.delay)),
        terms.output.index(time),
        terms.output.index(wide),
        facts.output_shapes[0],
        columns,
        table,
        made=node.outputs[0].name,
        places=(other, column_axis, letters.index(time) if own_time else None),
    )
    moved = Moved(source, identity_maps(facts.output_shapes[0]), facts.dtypes[0])
    return StreamStep((moved,), nothing(node))


def mixed(node: Node, facts: Facts, terms: Terms, index: int, table: Pairs) -> StreamStep:
    """A product over another axis than the two times, as talking heads have it."""
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
        if isinstance(fact, Pairs):
            return lambda b, spans: fact.build(b, as_in_table(spans))
        if isinstance(fact, Stream):
            letter = terms.operands[number][fact.axis]
            if letter not in sides:
                facts.refuse("multiplies a table of two times by a stream of a third")
            side = sides[letter]
            return lambda b, spans: b.window(b.tensors[name], fact, as_in_table(spans)[side], "attention_context")
        if isinstance(fact, Known):
            if any(letter in terms.operands[number] for letter in letters):
                facts.refuse("multiplies a table of two times by a constant that has one of them", "write it as a Mul")
            value = facts.array(number)
            return lambda b, spans: b.constant(np.asarray(value), facts.node.inputs[number].name)
        return lambda b, spans: b.tensors[name]

    frame = Frame((rank - min(places_out), rank - max(places_out)), times)
    reach = table.reach if order == [0, 1] else table.reach.swapped()
    none = Reach.free(len(facts.lengths))
    free = replace(reach, level=none.level, one=none.one)
    build = built(node, [piece(k) for k in range(2)])
    normalised = frozenset(order.index(side) for side in table.normalised)
    pairs = replace(pairs_of(facts, frame, build, free, table.settled), normalised=normalised)
    return StreamStep((pairs,), nothing(node))


def attended(node: Node, facts: Facts, terms: Terms, index: int, table: Pairs, key: int) -> StreamStep:
    """A table times values over one of its times: what attention gives to every query."""
    other = 1 - index
    letters = [terms.operands[index][a] for a in table.axes]
    values = facts[other]
    if isinstance(values, Pairs | Static):
        facts.refuse("sums a table of two times over one of them with what does not come from the stream")
    key_time, query_time = table.times[key], table.times[1 - key]
    if isinstance(values, Stream):
        if terms.operands[other][values.axis] != letters[key]:
            facts.refuse(SUMMED, WAY_OUT)
        key_time = joined(facts, [key_time, values])
    where, context = settle(facts, table, key, query_time, key_time)
    rehearse(facts, table, key, where)
    if isinstance(values, Stream):
        given = value_window(facts, other, values, where)
    elif isinstance(values, Known):
        given = known_values(facts, terms, other, values, letters, key, where)
    else:
        facts.refuse("sums a table of two times over one of them with nothing")
    out = facts.out(query_time.at(where.delay), terms.output.index(letters[1 - key]), delay=where.delay)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        pair: list[Tensor | None] = [None, None]
        pair[index] = weights_of(b, table, key, where)
        pair[other] = given(b)
        return b.copy(node, pair)

    return StreamStep((out,), emit, attention=context)


def settle(facts: Facts, table: Pairs, key: int, query_time: Stream, key_time: Stream) -> tuple[Placed, Context]:
    """Where queries and keys are read, from what the table's zeros leave of the keys; and what that is.

    Refuses a table whose zeros leave all of them, and one that still holds entries of other places.
    """
    if table.normalised - {key}:
        facts.refuse(
            "sums over one time what was normalised over the other",
            "a softmax over all queries needs the whole stream; normalise over the keys",
        )
    reach = table.reach if key == 1 else table.reach.swapped()
    sizes = [(query_time.length(n), key_time.length(n)) for n in facts.lengths]
    if query_time.rate != key_time.rate:
        facts.refuse(
            f"attends from {query_time.rate} to {key_time.rate} frames an input frame",
            "attention between streams of different rates is not lifted",
        )
    if any(
        (np.broadcast_to(w, s) & np.broadcast_to(~z, s)).any()
        for w, z, s in zip(reach.wild, reach.unseen, sizes, strict=True)
    ):
        facts.refuse("reads scores that were moved there from other queries", "mask what the shift leaves undefined")
    band, max_frames = reached(facts, reach.unseen, sizes, query_time)
    context = Context(max(band.left), max(band.right), band.period, table.sites, max_frames)
    claim_laws(facts, table, band, query_time, max_frames)
    return placed(facts, band, query_time, key_time, leftovers_may_be_infinite(facts)), context


def claim_laws(facts: Facts, table: Pairs, band: Band, query: Stream, limit: int | None) -> None:
    """What made the band has to be so at every length; as far as a limit, where the user sets one.

    Errors:
        TooShortError: the lengths evaluated do not show all of the band.
    """
    if facts.settings.survey or facts.proof is None or not facts.proof.is_possible:
        return
    period = facts.frames(query)
    rows = max(query.length(n) for n in facts.lengths)
    reach = rows - 2 - period
    if limit is None and reach < max(*band.left, *band.right, 1):
        raise TooShortError(
            f"attends to more frames than {rows} rows show", max(facts.lengths), label(facts.node), UNLIMITED
        )
    for law in table.laws:
        law(period, reach)


def leftovers_may_be_infinite(facts: Facts) -> bool:
    """Whether what a call has in the place of frames that do not exist may be no number: zero times it is none."""
    held = [n for n, f in zip(facts.names, facts.inputs, strict=True) if isinstance(f, Stream | Pairs | Moved)]
    return any(name not in facts.finite for name in held)


def spans_of(where: Placed, key: int) -> Spans:
    return (where.queries, where.keys) if key == 1 else (where.keys, where.queries)


def weights_of(b: Builder, table: Pairs, key: int, where: Placed) -> Tensor:
    """The table for one call, with zeros for keys that do not exist or lie beyond a query's window."""
    spans, zero = spans_of(where, key), np.zeros((), table.dtype)
    if not table.settled:
        return with_existing(b, table, key, spans, zero)
    found: Tensor = table.build(b, spans)
    beyond = beyond_window(b, table, key, spans)
    return found if beyond is None else b.one("Where", beyond, b.constant(zero, "filler"), found, hint="within_window")


def missing_keys(b: Builder, table: Pairs, key: int, span: Span) -> Tensor | None:
    """Which keys of a span do not exist, aligned with the table; None where all do."""
    if span.offset <= 0 and not span.ends:
        return None
    time = stream_at(table.times[key], table.from_right[key]).at(span.offset)
    return b.missing(time, span.offset > 0, span.ends, span.extra)


def with_existing(b: Builder, table: Pairs, key: int, spans: Spans, filler: Array) -> Tensor:
    """The table for one call, with a filler for keys that do not exist."""
    x: Tensor = table.build(b, spans)
    missing = missing_keys(b, table, key, spans[key])
    beyond = beyond_window(b, table, key, spans)
    if missing is not None and beyond is not None:
        missing = b.one("Or", missing, beyond, hint="unseen")
    unseen = beyond if missing is None else missing
    return x if unseen is None else b.one("Where", unseen, b.constant(filler, "filler"), x, hint="existing")


def rehearse(facts: Facts, table: Pairs, key: int, where: Placed) -> None:
    """Builds the table once for nothing: what cannot be cut to these spans is refused now."""
    table.build(Rehearsal(facts.chunk, set(), facts.settings.grid), spans_of(where, key))


class Rehearsal(Builder):
    """A builder whose stream tensors are stand-ins."""

    def __init__(self, chunk: int, taken: set[str], grid: int | None):
        super().__init__(chunk, taken, grid)
        self.tensors = StandIns()
        self.memo["multiples"] = Variable("multiples")


class StandIns(dict[str, Tensor]):
    def __missing__(self, name: str) -> Tensor:
        return Variable(name)


def value_window(facts: Facts, index: int, values: Stream, where: Placed) -> Callable[[Builder], Tensor]:
    """The values of the keys of one call; leftovers that may be infinite are zeros: zero times infinity is none."""
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
    facts: Facts, terms: Terms, other: int, known: Known, letters: Sequence[str], key: int, where: Placed
) -> Callable[[Builder], Tensor]:
    """Values that are constants: the same for every key, or a table of distances."""
    own = terms.operands[other]
    if letters[key] not in own:
        facts.refuse(
            "sums a table of two times over keys with a constant that has none", "write the sum as a ReduceSum"
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
    """A table of positions that the values have relative to each query."""
    order = sorted((0, 1), key=lambda side: own.index(letters[side]))
    rights = (len(own) - own.index(letters[order[0]]), len(own) - own.index(letters[order[1]]))
    times = facts_table(facts).times
    spans = spans_of(where, key)
    frame, along = Frame(rights, (times[order[0]], times[order[1]])), (spans[order[0]], spans[order[1]])
    value = rectangle_of(facts, other, frame, along)
    return lambda b: rectangle(b, value, frame, along, f"{facts.node.inputs[other].name}/chunk")


def facts_table(facts: Facts) -> Pairs:
    return next(f for f in facts.inputs if isinstance(f, Pairs))
