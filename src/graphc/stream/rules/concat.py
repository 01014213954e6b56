"""Concatenation: on other axes, a join; on time, a constant before or after the stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.boundary.prefix_padding import Front
from graphc.stream.evaluation.length_fit import explained
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream, Untimed, UntimedOrigin
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_moving
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.rules.slice import listed
from graphc.stream.symbolic.queries.questions import Uniform
from graphc.stream.time.per_frame_operands import per_frame_operands
from graphc.stream.time.window import same_value


@stream_rule("Concat")
def concat(node: Node, facts: Facts) -> Lowering:
    rank = len(facts.output_shapes[0][0])
    along = normalised(int(node.attrs["axis"]), rank)
    (_, first), *_ = facts.streams()
    if along == first.axis:
        return along_time(node, facts, first)
    return per_frame_operands(
        facts,
        dict.fromkeys(range(len(facts)), first.axis),
        first.axis,
        lambda b, x: b.copy(node, x),
        must_match=True,
    )


def along_time(node: Node, facts: Facts, x: Stream) -> Lowering:
    """The lowering of a Concat over time, of a stream with constants before or after it.

    Constants before the stream are the initial value of a cache. Constants after the stream follow once the end is
    known. Refuses a second stream after the first, and frames after the stream that differ from each other.
    """
    if len(facts.streams()) == 2 and x.length == Length.fixed(1):
        (one, _), (other, _) = facts.streams()
        if other == one + 1:
            return with_first_frame(node, facts, one)
    if len(facts.streams()) > 1:
        facts.refuse(
            "concatenates two streams along time",
            "the first stream never ends, so the second never starts; concatenate them along another axis",
        )
    place = facts.streams()[0][0]
    if place and is_first(facts[place - 1]) and {shape[x.axis] for shape in facts.input_shapes[place - 1]} == {1}:
        return with_first_frame(node, facts, place - 1)
    for fact in facts.inputs:
        if isinstance(fact, Untimed):
            refuse_moving(facts, fact)
    if any(isinstance(f, Untimed) for f in facts.inputs):
        facts.refuse(
            "concatenates the stream along time with a tensor that does not come from it",
            "if that tensor is a cache, pair it under stream.states",
        )
    front = joined(facts, range(place), x.axis)
    before = 0 if front is None else front.shape[x.axis]
    varying = following_length(facts, range(place + 1, len(facts)), x, before)
    behind = varying[0] if varying else joined(facts, range(place + 1, len(facts)), x.axis)
    after = 0 if behind is None else behind.shape[x.axis]
    source = x
    if before and x.delay != 0:
        x = x.at(max(x.delay, 0))
    fill = None
    if behind is not None and after:
        fill = behind.take([0], axis=x.axis)
        if not np.array_equal(behind, np.repeat(fill, after, axis=x.axis)):
            facts.refuse("appends frames that differ from each other to the end of the stream", "append equal frames")
    mask_after = fill is not None and not same_value(x.tail, fill)
    if mask_after:
        x = x.at(max(x.delay, x.length.lag(facts.grid)))
    frame = front.take([0], axis=x.axis) if front is not None and before else None
    uniform = frame is not None and front is not None and np.array_equal(front, np.repeat(frame, before, axis=x.axis))
    length = varying[1] if varying else x.length.then(1, before + after, 1)
    late = before > 0 and not (uniform and x.delay == 0)
    out = facts.out(x, x.axis, delay=x.delay if late else x.delay - before, length=length)
    if out.delay < 0 and before:
        out = replace(out, head=frame)
    if fill is not None:
        out = replace(out, tail=np.broadcast_to(fill, out.one_frame()))

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        tensor = inputs[place]
        assert tensor is not None
        chunk = b.delayed(tensor, source, x.delay)
        if mask_after and fill is not None:
            chunk = b.masked(chunk, x, fill, False, True)
        return [in_front(b, chunk, x, front) if late and front is not None else chunk]

    return Lowering((out,), emit)


def with_first_frame(node: Node, facts: Facts, place: int) -> Lowering:
    """The lowering of a first frame followed by the stream, with constants before and after the two.

    Args:
        place: the index of the input that is the first frame.
    """
    pair = picked(facts, [place, place + 1])
    if len(facts) == 2:
        return first_frame_in_front(pair)
    axis, shapes = pair.stream(1).axis, zip(*pair.input_shapes, strict=True)
    whole = tuple(tuple(a + b if i == axis else a for i, (a, b) in enumerate(zip(*two, strict=True))) for two in shapes)
    inner = first_frame_in_front(replace(pair, output_shapes=(whole,)))
    others = [i for i in range(len(facts)) if i != place + 1]
    rest = picked(facts, others)
    inputs, sizes = list(rest.inputs), list(rest.input_shapes)
    inputs[place], sizes[place] = inner.facts[0], whole
    outer = along_time(node, replace(rest, inputs=tuple(inputs), input_shapes=tuple(sizes)), stream_of(inner))

    def emit(b: Builder, given: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        kept = [given[i] for i in others]
        kept[place] = inner.emit(b, given[place : place + 2])[0]
        return outer.emit(b, kept)

    return Lowering(outer.facts, emit)


def is_first(fact: Fact | None) -> bool:
    """Whether a value without time was made from the first frame of the stream."""
    return isinstance(fact, Untimed) and fact.origin is UntimedOrigin.FIRST


def stream_of(step: Lowering) -> Stream:
    found = step.facts[0]
    assert isinstance(found, Stream)
    return found


def picked(facts: Facts, indices: Sequence[int]) -> Facts:
    """The facts of a node with only some of its inputs."""
    return replace(
        facts,
        inputs=tuple(facts.inputs[i] for i in indices),
        input_shapes=tuple(facts.input_shapes[i] for i in indices),
        names=tuple(facts.names[i] for i in indices),
    )


def joined(facts: Facts, indices: range, axis: int) -> Array | None:
    parts = [facts.array(i, f"its input {i}") for i in indices]
    arrays = [p for p in parts if p is not None]
    return np.concatenate(arrays, axis=axis) if arrays else None


def following_length(facts: Facts, indices: range, x: Stream, before: int) -> tuple[Array, Length] | None:
    """Equal frames after the stream, whose number depends on the stream's length.

    Returns the frames at the length that has the most of them, and the output's length; None if the number is always
    the same. Refuses a number that no known formula of the length gives, and frames that differ.
    """
    parts = [facts[i] for i in indices]
    known = [p for p in parts if isinstance(p, TimeConstant)]
    if len(known) < len(parts) or all(k.steady is not None for k in known):
        return None
    wholes = [np.concatenate([k.values[i] for k in known], axis=x.axis) for i in range(len(facts.lengths))]
    counts = [w.shape[x.axis] for w in wholes]
    longest = max(wholes, key=lambda w: w.shape[x.axis])
    frame = longest.take([0], axis=x.axis)
    if any(not np.array_equal(w, np.repeat(frame, w.shape[x.axis], axis=x.axis)) for w in wholes):
        facts.refuse("appends frames that differ from each other to the end of the stream", "append equal frames")
    sizes = [x.length(n) + before + count for n, count in zip(facts.lengths, counts, strict=True)]
    for index in indices:
        facts.claim(index, Uniform(x.axis))
    length = facts.proved_length(x.axis, x.rate) or explained(facts, x, sizes)
    if length is None:
        facts.refuse_length(
            f"appends {listed(counts)} frames to the end of the stream, which no known formula of its length gives",
            "append a fixed number of frames",
        )
    return longest, length


def in_front(b: Builder, chunk: Tensor, x: Stream, given: Array) -> Tensor:
    """The chunk delayed by the number of ``given`` frames, with these frames before frame 0 of the stream."""
    before = given.shape[x.axis]
    past = b.state(np.ascontiguousarray(given).astype(x.dtype), "delay_line")
    front = Front(b, chunk, x, past, before)
    if x.delay == 0:
        return front.kept(front.both)
    place = b.clipped(b.one("Add", front.index, b.constant([before]), hint="place"), 0, before - 1)
    frames = b.one("Gather", b.constant(given.astype(x.dtype), "front"), place, axis=x.axis, hint="in_front")
    return front.filled(frames)


def first_frame_in_front(facts: Facts) -> Lowering:
    """The lowering that puts a first frame before a stream, as in pre-emphasis; the clock chooses between the two.

    The first frame, input 0, is a stream of one frame, or a tensor without time that calls carry.
    """
    first, rest = facts[0], facts.stream(1)
    if isinstance(first, Stream) and first.rate != rest.rate:
        facts.refuse("puts the first frame of a stream of another rate in front", "bring both to one rate first")
    if not rest.is_choosable:
        facts.refuse(f"puts a first frame in front of a stream of type {rest.dtype}", "cast it to float or int32")
    delay = max(rest.delay - 1, first.delay if isinstance(first, Stream) else 0, 0)
    out = facts.out(rest.at(delay), rest.axis, delay=delay, length=rest.length.then(1, 1, 1))

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        one, other = inputs
        assert one is not None
        assert other is not None
        steps = np.arange(b.frames(out)).reshape([-1] + [1] * (out.from_right - 1))
        index = b.one("Add", b.first_index(out), b.constant(steps, "frame_steps"), hint="frame_index")
        starts = b.one("Less", index, b.constant([1]), hint="is_first")
        frame = b.delayed(one, first, delay) if isinstance(first, Stream) else one
        return [b.one("Where", starts, frame, b.delayed(other, rest, delay + 1), hint="chosen")]

    return Lowering((out,), emit)
