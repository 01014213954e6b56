"""Padding: on time, it shifts the frame index; frames padded at the start lie before the first carried frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.boundary.prefix_padding import Front
from graphc.stream.boundary.reflect_padding import mirrored
from graphc.stream.evaluation.length_fit import explained
from graphc.stream.facts.stream import Edge, Head, Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.rules.slice import Cut, cut, listed
from graphc.stream.symbolic.queries.questions import EntryIs
from graphc.stream.time.window import same_value


@stream_rule("Pad")
def pad(node: Node, facts: Facts) -> Lowering:
    """Negative amounts crop; the frames that are left are then padded."""
    amounts = pad_amounts(node, facts, facts.only_stream())
    return cropped(node, facts, amounts) if min(amounts.before, amounts.after) < 0 else padded(node, facts, amounts)


def cropped(node: Node, facts: Facts, amounts: Amounts) -> Lowering:
    """The lowering that crops frames at one end and pads the other, which is how a shift by some frames is exported."""
    x = facts.stream()
    before, after = max(amounts.before, 0), max(amounts.after, 0)
    if not (before or after or any(amounts.others)):
        return cut(node, facts, Cut(-amounts.before, 1, amounts.length))
    kept = amounts.length.then(1, -before, 1) if amounts.after < 0 else x.length.then(1, amounts.before, 1)
    return in_turn(
        facts,
        facts.shapes_with(x, kept),
        lambda cropping: cut(node, cropping, Cut(max(-amounts.before, 0), 1, kept)),
        lambda padding: padded(node, padding, replace(amounts, before=before, after=after)),
    )


def in_turn(
    facts: Facts,
    between: tuple[tuple[int, ...], ...],
    first: Callable[[Facts], Lowering],
    second: Callable[[Facts], Lowering],
) -> Lowering:
    """The lowering of one node in two steps.

    Args:
        between: the shape after the first step, for each length evaluated.
    """
    one = first(replace(facts, output_shapes=(between,)))
    stepped = replace(facts, inputs=(*one.facts, *facts.inputs[1:]), input_shapes=(between, *facts.input_shapes[1:]))
    other = second(stepped)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return other.emit(b, [*one.emit(b, inputs), *inputs[1:]])

    return Lowering(other.facts, emit)


def padded(node: Node, facts: Facts, amounts: Amounts) -> Lowering:
    """The lowering that pads: frames at the start reduce the delay; frames at the end follow once the end is known."""
    x = facts.stream()
    mode = str(node.attrs.get("mode", "constant"))
    before, after, others, length = amounts.before, amounts.after, amounts.others, amounts.length
    fill = pad_value(node, facts, x)
    if (before or after) and mode == "wrap":
        facts.refuse("pads time in mode wrap, which reads the other end of the stream", "pad by zeros or by reflection")
    repeats = mode == "edge" and (after > 0 or (before > 0 and not x.is_choosable))
    if (mode == "reflect" and (before or after)) or repeats:
        if any(others):
            return in_turn(
                facts,
                facts.shapes_with(x, x.length, facts.output_shapes[0]),
                lambda aside: padded(node, aside, replace(amounts, before=0, after=0, length=x.length)),
                lambda along: padded(node, along, replace(amounts, others=[0] * len(others))),
            )
        return mirrored(facts, x, "reflect" if mode == "reflect" else "edge", before, after, length)
    source = x
    if any(others):
        head, tail = (frame_aside(frame, others, fill, mode) for frame in (x.head, x.tail))
        x = replace(x, head=head, tail=tail if isinstance(tail, np.ndarray) else None)
        inner = replace(
            x,
            shape=tuple(
                s if s < 0 else s + b + a for s, b, a in zip(x.shape, others[: x.rank], others[x.rank :], strict=True)
            ),
        )
    else:
        inner = x
    edge = mode == "edge" and before > 0
    if before > 0 and x.delay < 0 and (edge or not same_value(x.head, fill)):
        inner = inner.at(0)
    mask_after = after > 0 and not same_value(x.tail, fill)
    if mask_after:
        inner = inner.at(max(inner.delay, x.length.lag(facts.grid)))
    late_edge = edge and inner.delay > 0
    mask_before = before > 0 and inner.delay > 0 and not edge
    delay = inner.delay if late_edge else inner.delay - before
    out = facts.out(inner, x.axis, delay=delay, length=length)
    if delay < 0:
        front: Head = x.head
        if edge:
            front = Edge.FIRST_FRAME
        elif before > 0:
            front = np.full(out.one_frame(), fill, dtype=x.dtype)
        out = replace(out, head=front)
    if after > 0 or not mask_after:
        tail = np.full(out.one_frame(), fill, dtype=x.dtype) if after > 0 else x.tail
        out = replace(out, tail=tail)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], source, inner.delay)
        if any(others):
            chunk = padded_aside(b, node, facts, chunk, others, fill, mode)
        chunk = b.masked(chunk, inner, fill, mask_before, mask_after)
        return [edge_in_front(b, chunk, inner, before) if late_edge else chunk]

    return Lowering((out,), emit)


@dataclass(frozen=True)
class Amounts:
    """The amounts of a Pad; negative amounts crop.

    Args:
        before: frames added at the start of the stream.
        after: the most frames added at the end, over the lengths evaluated.
        length: the output's length.
        others: the amounts on all axes in ONNX's order, with 0 for time.
    """

    before: int
    after: int
    length: Length
    others: list[int]


def pad_amounts(node: Node, facts: Facts, x: Stream) -> Amounts:
    """The amounts of a Pad.

    The amount at the end may depend on the length, such as padding up to a full stride. Refuses amounts at the start,
    or on other axes, that depend on the length.
    """
    axes = facts.array(3, "'axes'")
    places = [normalised(int(a), x.rank) for a in axes.ravel()] if axes is not None else list(range(x.rank))
    fact = facts[1]
    if "pads" in node.attrs:
        seen = [[int(p) for p in node.attrs["pads"]]] * len(facts.lengths)
    elif isinstance(fact, TimeConstant):
        seen = [[int(p) for p in value] for value in fact.values]
    else:
        facts.refuse("its padding depends on data", "export it as a constant")
    fulls = [spread_out(amounts, places, x.rank) for amounts in seen]
    behind = x.axis + x.rank
    afters = [full[behind] for full in fulls]
    if min(afters) < 0 < max(afters):
        facts.refuse_length("pads after the end at some lengths and crops at others", "export a fixed padding")
    fixed = {tuple(a for i, a in enumerate(full) if i != behind) for full in fulls}
    if len(fixed) > 1:
        facts.refuse_length(
            "pads before the start, or on another axis, by the length of the whole stream", "export a fixed padding"
        )
    sizes = [x.length(n) + full[x.axis] + full[behind] for n, full in zip(facts.lengths, fulls, strict=True)]
    if x.axis in places and "pads" not in node.attrs:
        facts.claim(1, EntryIs(places.index(x.axis), Length.fixed(fulls[0][x.axis])))
    length = facts.proved_length(x.axis, x.rate) or explained(facts, x, sizes)
    if length is None:
        if len(set(sizes)) == 1:
            facts.refuse_length(
                f"pads or crops every stream to {sizes[0]} frames",
                "export the model without it, or with a padding that is computed from the length",
            )
        facts.refuse_length(
            f"pads after the end by {listed(afters)} frames, which no known formula of the length gives",
            "export a fixed padding",
        )
    others = list(fulls[0])
    others[x.axis] = others[behind] = 0
    return Amounts(fulls[0][x.axis], max(afters) if min(afters) >= 0 else min(afters), length, others)


def spread_out(amounts: list[int], places: list[int], rank: int) -> list[int]:
    full = [0] * 2 * rank
    for index, axis in enumerate(places):
        full[axis], full[axis + rank] = amounts[index], amounts[index + len(places)]
    return full


def pad_value(node: Node, facts: Facts, x: Stream) -> Array:
    if "value" in node.attrs:
        return np.asarray(node.attrs["value"], dtype=x.dtype)
    value = facts.array(2, "its padding value")
    return np.zeros((), x.dtype) if value is None or value.size == 0 else value.reshape(()).astype(x.dtype)


def padded_aside(
    b: Builder, node: Node, facts: Facts, chunk: Tensor, others: list[int], fill: Array, mode: str
) -> Tensor:
    """The chunk padded on the axes that are not time."""
    if "pads" in node.attrs:
        return b.one("Pad", chunk, hint="padded", mode=mode, pads=others, value=float(fill))
    inputs = [chunk, b.constant(others), *([b.constant(fill, "filler")] if mode == "constant" else [])]
    return b.one("Pad", *inputs, hint="padded", mode=mode)


def frame_aside(frame: Head, others: list[int], fill: Array, mode: str) -> Head:
    """The head or the tail of a stream, padded and cropped on the axes that are not time."""
    if not isinstance(frame, np.ndarray):
        return frame
    sides = list(zip(others[: frame.ndim], others[frame.ndim :], strict=True))
    kept = frame[tuple(slice(max(-b, 0), s - max(-a, 0)) for s, (b, a) in zip(frame.shape, sides, strict=True))]
    amounts = [(max(b, 0), max(a, 0)) for b, a in sides]
    if mode == "constant":
        return np.pad(kept, amounts, constant_values=fill)
    return np.pad(kept, amounts, mode=cast(Literal["edge", "reflect", "wrap"], mode))


def edge_in_front(b: Builder, chunk: Tensor, x: Stream, before: int) -> Tensor:
    """The chunk of a stream that starts with ``before`` copies of frame 0.

    The stream is delayed by ``before`` frames. When frame 0 arrives, all frames before it can then be set to frame 0.
    """
    past = b.state(np.zeros([before if a == x.axis else s for a, s in enumerate(x.shape)], x.dtype), "delay_line")
    front = Front(b, chunk, x, past, before)
    first = b.one("Gather", front.both, front.place_of_first, axis=x.axis, hint="first_frame")
    return front.filled(first)
