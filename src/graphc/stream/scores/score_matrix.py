"""Score matrices: how they are joined, what masks leave of them, and constants cut to what a call works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from graphc.contract.signature import StateKind
from graphc.errors import AbsoluteTableError, TooShortError
from graphc.ir.graph import Node, Tensor, label
from graphc.ir.masked_scale import scale_beside_masks
from graphc.stream.facts.facts import (
    Array,
    Fact,
    Law,
    MaskFacts,
    ScoreMatrix,
    SoftmaxSite,
    Stream,
    TimeConstant,
    Untimed,
)
from graphc.stream.facts.time_axes import Frame
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.call_writer import frames_in_chunk
from graphc.stream.lowering.constant_operands import cut_to_chunk
from graphc.stream.lowering.frame_by_frame import second_time
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import NOT_OF_THE_STREAM, refuse_moving
from graphc.stream.scores.dynamic_masks import Spans, rectangle
from graphc.stream.scores.mask_analysis import ZERO_STAYS, mask_facts_of
from graphc.stream.scores.table_laws import TableLaw, falling_at, strict
from graphc.stream.symbolic.proof import Proof

CLOSE, NOISE = 1e-5, 1e-6


def lowest_of(dtype: np.dtype[Any]) -> Array:
    """The lowest finite number: what a softmax makes zero beside any score."""
    return np.asarray(np.finfo(dtype).min, dtype=dtype)


def noise_of(table: Array) -> float:
    """How far rounding moves entries of a table that are small beside the others, masks left out."""
    scale = scale_beside_masks(table) if table.dtype.kind in "fc" else 0.0
    return CLOSE * min(scale, 1.0) + NOISE * scale


def close(a: Array, b: Array, noise: float) -> bool:
    """Whether two parts of a table are the same but for rounding, as one table computed at two lengths is.

    Args:
        noise: of the table (``noise_of``).
    """
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    x, y = a.astype(wide), b.astype(wide)
    with np.errstate(invalid="ignore"):
        near = np.abs(x - y) <= CLOSE * np.maximum(np.abs(x), np.abs(y)) + noise
    near &= np.isfinite(x) & np.isfinite(y)
    return bool((near | (x == y) | np.isnan(x) & np.isnan(y)).all())


def frame_of(facts: Facts) -> Frame:
    """The two times of an elementwise node.

    Refuses operands whose times lie on other axes, or have another rate or length.
    """
    rights = {r for f in facts.inputs if isinstance(f, ScoreMatrix) for r in f.from_right}
    rights |= {s.from_right for _, s in facts.streams()}
    streams = [s for _, s in facts.streams()]
    if len(rights) == 1 and (other := second_time(facts)) is not None:
        rights.add(other)
        streams.append(stream_at(streams[0].at(max(0, streams[0].delay)), other))
    if len(rights) != 2:
        facts.refuse("joins score matrices whose times lie on different axes", "transpose them to one order of axes")
    first, second = sorted(rights, reverse=True)
    times: list[Stream] = []
    for side, right in enumerate((first, second)):
        found = [f.times[side] for f in facts.inputs if isinstance(f, ScoreMatrix)]
        found += [s for s in streams if s.from_right == right]
        times.append(joined(facts, found))
    return Frame((first, second), (times[0], times[1]))


def joined(facts: Facts, streams: Sequence[Stream]) -> Stream:
    """One time out of several of the same rate and length, at the latest delay."""
    first = streams[0]
    for other in streams[1:]:
        if other.rate != first.rate or any(other.length(n) != first.length(n) for n in facts.lengths):
            facts.refuse(
                "joins score matrices of different rates or lengths", "bring queries, and keys, to one rate and length"
            )
    return first.at(max(0, *(s.delay for s in streams)))


def pairs_of(
    facts: Facts,
    frame: Frame,
    build: Build,
    masks: MaskFacts,
    settled: bool = False,
    index: int = 0,
    sites: tuple[SoftmaxSite, ...] | None = None,
) -> ScoreMatrix:
    """The fact of an output over two times; checked against the offline shapes."""
    shapes = facts.output_shapes[index]
    rank = len(shapes[0])
    axes = rank - frame.rights[0], rank - frame.rights[1]
    for frames, shape in zip(facts.lengths, shapes, strict=True):
        if any(shape[a] != t.length(frames) for a, t in zip(axes, frame.times, strict=True)):
            facts.refuse(
                f"its output has the shape {list(shape)} for {frames} frames, which queries and keys do not explain",
                "keep queries and keys on an axis each",
            )
    shape = tuple(-1 if a in axes else size for a, size in enumerate(shapes[0]))
    if any(tuple(-1 if a in axes else size for a, size in enumerate(s)) != shape for s in shapes[1:]):
        facts.refuse(
            "an axis other than queries and keys changes with the length of the stream",
            "export that axis with a fixed size",
        )
    if sites is None:
        sites = tuple(dict.fromkeys(site for f in facts.inputs if isinstance(f, ScoreMatrix) for site in f.sites))
    normalised = frozenset(side for f in facts.inputs if isinstance(f, ScoreMatrix) for side in f.normalised)
    held = masks.shared(facts.memo)
    laws = laws_of(facts, frame)
    return ScoreMatrix(axes, frame.times, shape, facts.dtypes[index], build, held, settled, sites, normalised, laws)


def laws_of(facts: Facts, frame: Frame) -> tuple[Law, ...]:
    """What has to be true of the tables that an output over two times is made of."""
    found: dict[Law, None] = {}
    for index, fact in enumerate(facts.inputs):
        if isinstance(fact, ScoreMatrix):
            turned = facts.node.op == "Sub" and index > 0
            found |= dict.fromkeys(strict(law) if turned else law for law in fact.laws)
    for index, fact in enumerate(facts.inputs):
        if (
            isinstance(fact, TimeConstant)
            and fact.name
            and facts.proof is not None
            and len(own_times(fact, frame)) == 2
        ):
            found.setdefault(law_of(facts, facts.proof, index, frame))
    return tuple(found)


def own_times(known: TimeConstant, frame: Frame) -> list[int]:
    """The sides of a frame on which a constant has an entry for every frame."""
    rank = known.values[0].ndim
    return [s for s, r in enumerate(frame.rights) if rank >= r and any(v.shape[rank - r] != 1 for v in known.values)]


def law_of(facts: Facts, proof: Proof, index: int, frame: Frame) -> Law:
    """What has to be true of a constant score matrix."""
    proof.claimed.add(facts.names[index])
    times = (frame.times[0].length, frame.times[1].length)
    return TableLaw(proof, facts.names[index], frame.rights, times, falling_at(facts.node.op, index))


Build = Callable[[Builder, Spans], Tensor]
Piece = Callable[[Builder, Spans], Tensor | None]


def built(node: Node, pieces: Sequence[Piece], attrs: dict[str, object] | None = None, index: int = 0) -> Build:
    """Builds a node out of its pieces, once for the same spans."""

    def build(b: Builder, spans: Spans) -> Tensor:
        key = ("pairs", node.outputs[index].name, spans)
        if key not in b.memo:
            inputs = [piece(b, spans) for piece in pieces]
            with b.within(node):
                results = b.copy(node, inputs, attrs)
            for number, result in enumerate(results):
                b.memo["pairs", node.outputs[number].name, spans] = result
        found: Tensor = b.memo[key]
        return found

    return build


def piece_of(facts: Facts, index: int, frame: Frame, kind: StateKind = "attention_context") -> Piece:
    """What a call has of one operand of an elementwise node over two times."""
    fact = facts.inputs[index]
    name = facts.names[index]
    if isinstance(fact, ScoreMatrix):
        return fact.build
    if isinstance(fact, Stream):
        side = frame.side(fact.from_right)
        assert side is not None
        return lambda b, spans: b.window(b.tensors[name], fact, spans[side], kind)
    if isinstance(fact, TimeConstant):
        return known_piece(facts, index, frame)
    if isinstance(fact, Untimed):
        refuse_moving(facts, fact)
        if any(len(fact.shape) >= r and fact.shape[-r] != 1 for r in frame.rights):
            facts.refuse(
                f"its input {index} has a value for each frame but does not come from the stream", NOT_OF_THE_STREAM
            )
        return lambda b, spans: b.tensors[name]
    return lambda b, spans: None


def known_piece(facts: Facts, index: int, frame: Frame) -> Piece:
    """A constant as one call meets it: as it is, cut along one time, or the rectangle that shifts with the chunk."""
    known = facts[index]
    assert isinstance(known, TimeConstant)
    own = own_times(known, frame)
    name = f"{facts.names[index]}/chunk"
    if not own:
        value = facts.array(index, f"its input {index}")
        return lambda b, spans: b.constant(np.asarray(value), name)
    if len(own) == 1:
        time = frame.times[own[0]]
        aligned = stream_at(time, frame.rights[own[0]])
        cut_to_chunk(facts, index, aligned)

        def one_sided(b: Builder, spans: Spans) -> Tensor:
            span = spans[own[0]]
            value, _ = cut_to_chunk(facts, index, aligned.at(span.offset), span.extra)
            return b.constant(value, name)

        return one_sided

    def both_sided(b: Builder, spans: Spans) -> Tensor:
        key = ("rectangle", known.digest, facts.grid, frame.rights, spans)
        if key not in facts.memo:
            facts.memo[key] = rectangle_of(facts, index, frame, spans)
        return rectangle(b, facts.memo[key], frame, spans, name)

    return both_sided


def stream_at(time: Stream, from_right: int) -> Stream:
    """A stream of the same time whose axis stands so many places from the right."""
    return replace(time, axis=0, shape=(-1,) + (1,) * (from_right - 1))


def rectangle_of(facts: Facts, index: int, frame: Frame, spans: Spans) -> Array:
    """The part of a table over two times that the smallest call meets, where it is the same for all.

    Refuses a table that does not shift with the chunk along its diagonal.

    Errors:
        ChunkMisfitError: it does with a larger chunk.
        TooShortError: the lengths evaluated do not show the whole rectangle.
    """
    known = facts[index]
    assert isinstance(known, TimeConstant)
    c = frames_in_chunk(facts.grid, frame.times[0])
    sizes = [c + s.extra for s in spans]
    offsets = [s.offset for s in spans]
    axes = [known.values[0].ndim - r for r in frame.rights]
    tables = [np.moveaxis(v, axes, (0, 1)) for v in known.values]
    found = np.zeros((sizes[0], sizes[1], *tables[0].shape[2:]), tables[0].dtype)
    seen = np.zeros((sizes[0], sizes[1]), bool)
    for table in sorted(tables, key=np.size, reverse=True):
        noise = noise_of(table)
        for start in range(0, max(table.shape[0] + offsets[0], table.shape[1] + offsets[1]), c):
            rows, columns = (part(start - o, n, size) for o, n, size in zip(offsets, sizes, table.shape, strict=False))
            if rows is None or columns is None:
                continue
            (ri, rt), (ci, ct) = rows, columns
            have, new = found[ri, ci], table[rt, ct]
            known_already = seen[ri, ci]
            if known_already.any() and not close(
                np.where(over_other_axes(known_already, have), have, 0),
                np.where(over_other_axes(known_already, have), new, 0),
                noise,
            ):
                misfit(facts, index, frame, tables, c)
            found[ri, ci] = np.where(over_other_axes(known_already, have), have, new)
            seen[ri, ci] = True
    if not seen.all() and len(facts.lengths) > 1:
        raise TooShortError(
            "its score matrix is wider than the model could be run",
            max(t.shape[1] for t in tables),
            label(facts.node),
        )
    return np.moveaxis(found, (0, 1), axes)


def over_other_axes(mask: Array, like: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (like.ndim - 2))


def part(start: int, count: int, size: int) -> tuple[slice, slice] | None:
    """Where frames [start, start + count) lie inside a table of ``size``: in the part, and in the table."""
    low, high = max(start, 0), min(start + count, size)
    return (slice(low - start, high - start), slice(low, high)) if low < high else None


def repeats(table: Array, period: int, noise: float) -> bool:
    """Whether a score matrix, on its first axes, is the same so many frames along its diagonal."""
    return close(table[period:, period:], table[:-period, :-period], noise)


def misfit(facts: Facts, index: int, frame: Frame, tables: Sequence[Array], c: int) -> NoReturn:
    """Says which chunk would fit a table, or refuses where none does."""
    longest = max(tables, key=np.size)
    noise = noise_of(longest)
    for period in range(1, min(longest.shape[:2]) // 2):
        if c % period and repeats(longest, period, noise):
            facts.misfit(period, frame.times[0], f"a mask or table of period {period} meets a chunk of {c} frames")
    raise AbsoluteTableError(
        facts.names[index],
        frame.times,
        f"its input {index} is a score matrix that does not shift along with the stream",
        node=label(facts.node),
        hint="use a mask or positions that depend on the distance alone, or repeat with a fixed period",
    )


def pairwise(node: Node, facts: Facts) -> Lowering:
    """An elementwise op over two times: every entry out of the entries at its own place."""
    frame = frame_of(facts)
    pieces = [piece_of(facts, i, frame) for i in range(len(facts))]
    settled = any(isinstance(f, ScoreMatrix) and f.settled for f in facts.inputs) and node.op in ("Mul", *ZERO_STAYS)
    settled = settled or (
        node.op == "Where" and isinstance(facts[2], ScoreMatrix) and facts[2].settled and is_zero(facts[1])
    )
    masks = mask_facts_of(node, facts, frame)
    outputs = tuple(
        pairs_of(facts, frame, built(node, pieces, index=i), masks, settled, i) if shapes else None
        for i, shapes in enumerate(facts.output_shapes)
    )
    return Lowering(outputs, emit_nothing(node))


def is_zero(fact: Fact | None) -> bool:
    return isinstance(fact, TimeConstant) and all(not v.any() for v in fact.values)


def emit_nothing(node: Node) -> Callable[[Builder, Sequence[Tensor | None]], list[Tensor | None]]:
    """A step that builds nothing itself: a score matrix is built where it is used."""
    return lambda b, inputs: [None] * len(node.outputs)
