"""Score matrices: how they are combined, and how calls build them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.scores import Law, MaskFacts, ScoreMatrix, SoftmaxSite
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.frame_by_frame import second_time
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_foreign_frames, refuse_moving
from graphc.stream.scores.constant_scores import Build, Piece, known_piece, own_times, stream_at
from graphc.stream.scores.dynamic_masks import Spans
from graphc.stream.scores.mask_propagation import ZERO_STAYS, mask_facts_of
from graphc.stream.scores.table_invariants import TableLaw, falling_at, strict
from graphc.stream.symbolic.proof import Proof
from graphc_runtime.contract.manifest import StateKind

SUMS = ("Add", "Sub", "Sum")
GROWN = 1.01


def frame_of(facts: Facts) -> Frame:
    """The two time axes that the operands of an elementwise node share.

    Refuses operands whose times lie on different axes, or differ in rate or length.
    """
    rights = {r for f in facts.inputs if isinstance(f, ScoreMatrix) for r in f.from_right}
    rights |= {s.from_right for _, s in facts.streams()}
    streams = [s for _, s in facts.streams()]
    if len(rights) == 1 and (other := second_time(facts)) is not None:
        rights.add(other)
        streams.append(stream_at(streams[0].at(max(0, streams[0].delay)), other))
    if len(rights) != 2:
        facts.refuse(
            "combines a score matrix with a tensor that has time on other axes",
            "transpose it so that its time is on the axes of the queries and keys",
        )
    first, second = sorted(rights, reverse=True)
    times: list[Stream] = []
    for side, right in enumerate((first, second)):
        found = [f.times[side] for f in facts.inputs if isinstance(f, ScoreMatrix)]
        found += [s for s in streams if s.from_right == right]
        times.append(joined(facts, found))
    return Frame((first, second), (times[0], times[1]))


def joined(facts: Facts, streams: Sequence[Stream]) -> Stream:
    """One stream for several streams of the same rate and length, at the largest delay."""
    first = streams[0]
    for other in streams[1:]:
        if other.rate != first.rate or any(other.length(n) != first.length(n) for n in facts.lengths):
            facts.refuse(
                "combines queries, or keys, that differ in rate or length", "bring them to one rate and length"
            )
    return first.at(max(0, *(s.delay for s in streams)))


def score_matrix_of(
    facts: Facts,
    frame: Frame,
    build: Build,
    masks: MaskFacts,
    settled: bool = False,
    index: int = 0,
    sites: tuple[SoftmaxSite, ...] | None = None,
) -> ScoreMatrix:
    """The fact of an output over two times. Refuses an output whose offline shapes do not fit the two times."""
    shapes = facts.output_shapes[index]
    rank = len(shapes[0])
    axes = rank - frame.rights[0], rank - frame.rights[1]
    for frames, shape in zip(facts.lengths, shapes, strict=True):
        if any(shape[a] != t.length(frames) for a, t in zip(axes, frame.times, strict=True)):
            facts.refuse(
                f"its output has the shape {list(shape)} for {frames} frames, without an axis for all queries and one "
                "for all keys",
                "keep queries and keys on an axis each",
            )
    shape = tuple(-1 if a in axes else size for a, size in enumerate(shapes[0]))
    if any(tuple(-1 if a in axes else size for a, size in enumerate(s)) != shape for s in shapes[1:]):
        facts.refuse(
            "an axis of its output other than queries and keys depends on the length of the stream",
            "export that axis with a fixed size",
        )
    if sites is None:
        sites = tuple(dict.fromkeys(site for f in facts.inputs if isinstance(f, ScoreMatrix) for site in f.sites))
    normalised = frozenset(side for f in facts.inputs if isinstance(f, ScoreMatrix) for side in f.normalised)
    held = masks.shared(facts.memo)
    laws = laws_of(facts, frame)
    return ScoreMatrix(axes, frame.times, shape, facts.dtypes[index], build, held, settled, sites, normalised, laws)


def laws_of(facts: Facts, frame: Frame) -> tuple[Law, ...]:
    """The laws (``ScoreMatrix.laws``) of the tables from which an output over two times is made."""
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


def law_of(facts: Facts, proof: Proof, index: int, frame: Frame) -> Law:
    """The law of a constant score matrix."""
    proof.claimed.add(facts.names[index])
    times = (frame.times[0].length, frame.times[1].length)
    return TableLaw(proof, facts.names[index], frame.rights, times, falling_at(facts.node.op, index))


def built(node: Node, pieces: Sequence[Piece], attrs: dict[str, object] | None = None, index: int = 0) -> Build:
    """A function that builds one call's node from the pieces of its inputs; calls with equal spans share the result."""

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
    """A function that builds one call's part of an operand, for an elementwise node over two times."""
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
            refuse_foreign_frames(facts, index)
        return lambda b, spans: b.tensors[name]
    return lambda b, spans: None


def pairwise(node: Node, facts: Facts) -> Lowering:
    """The lowering of an elementwise op over two times: each entry depends on the operands' entries at its position."""
    frame = frame_of(facts)
    if node.op in SUMS:
        refuse_growing(facts)
    pieces = [piece_of(facts, i, frame) for i in range(len(facts))]
    settled = any(isinstance(f, ScoreMatrix) and f.settled for f in facts.inputs) and node.op in ("Mul", *ZERO_STAYS)
    settled = settled or (
        node.op == "Where" and isinstance(facts[2], ScoreMatrix) and facts[2].settled and is_zero(facts[1])
    )
    masks = mask_facts_of(node, facts, frame)
    outputs = tuple(
        score_matrix_of(facts, frame, built(node, pieces, index=i), masks, settled, i) if shapes else None
        for i, shapes in enumerate(facts.output_shapes)
    )
    return Lowering(outputs, emit_nothing(node))


def refuse_growing(facts: Facts) -> None:
    """Refuses to add a number that grows with the position of the key or the query: no finite mask outweighs it."""
    for index, tensor in enumerate(facts.node.inputs):
        known = facts.proof.values.get(tensor.name) if facts.proof is not None else None
        if not isinstance(facts.inputs[index], Stream) or known is None:
            continue
        sizes = np.abs(max(known.values, key=np.size).astype(np.float64)).ravel()
        half = len(sizes) // 2
        if half and np.max(sizes[half:]) > GROWN * np.max(sizes[:half]):
            facts.refuse(
                "adds numbers to the scores that grow with the position of the query or the key",
                "bound them, or make them depend on the distance between query and key",
            )


def is_zero(fact: Fact | None) -> bool:
    return isinstance(fact, TimeConstant) and all(not v.any() for v in fact.values)


def emit_nothing(node: Node) -> Callable[[Builder, Sequence[Tensor | None]], list[Tensor | None]]:
    """An ``emit`` that builds nothing, since a score matrix is built where it is used."""
    return lambda b, inputs: [None] * len(node.outputs)
