"""Expand and Tile: only axes other than time may grow in a stream; a static tensor may be repeated for every frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.stream import Stream, Untimed
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_moving
from graphc.stream.lowering.rule import stream_rule


@stream_rule("Expand")
def expand(node: Node, facts: Facts) -> Lowering:
    source = facts[0]
    if isinstance(source, Untimed):
        refuse_moving(facts, source)
        out = repeated_every_frame(facts, source)
        streams: list[Stream] = []
    else:
        x = facts.only_stream()
        rank = len(facts.output_shapes[0][0])
        out = facts.out(x, rank - x.from_right)
        streams = [x]
    frames = facts.frames(out)
    shape = [frames if a == out.axis else s for a, s in enumerate(out.shape)]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return b.copy(node, [inputs[0], b.constant(shape)])

    return Lowering((out,), emit, local=bool(streams))


def repeated_every_frame(facts: Facts, source: Untimed) -> Stream:
    """The fact of a static tensor that is repeated for every frame: all frames are the same, so the delay is 0."""
    shapes = facts.output_shapes[0]
    varying = [a for a in range(len(shapes[0])) if len({s[a] for s in shapes}) > 1]
    if len(varying) != 1:
        facts.refuse(
            "repeats a tensor along two axes that depend on the length", "repeat it along time in a separate op"
        )
    (axis,) = varying
    fits: list[Length] = [
        length
        for length in facts.known_lengths
        if all(s[axis] == length(n) for n, s in zip(facts.lengths, shapes, strict=True))
    ]
    if not fits:
        facts.refuse("repeats a tensor to a length that no stream has", "repeat it once for each frame of a stream")
    shape = tuple(-1 if a == axis else s for a, s in enumerate(shapes[0]))
    return Stream(axis, fits[0].rate, 0, fits[0], shape, source.dtype)


@stream_rule("Tile")
def tile(node: Node, facts: Facts) -> Lowering:
    source, fact = facts[0], facts[1]
    if not isinstance(fact, TimeConstant):
        facts.refuse("its repeats depend on data", "export them as constants")
    if isinstance(source, Untimed):
        return tiled_over_time(node, facts, source, np.asarray(fact.values[0]))
    x = facts.only_stream()
    repeats = fact.steady
    if repeats is None:
        facts.refuse("its repeats depend on the length of the whole stream", "export them as constants")
    if int(repeats[x.axis]) != 1:
        facts.refuse("repeats the whole stream along time", "to repeat each frame, export it as a nearest Resize")
    return Lowering(
        (facts.out(x, x.axis),),
        lambda b, inputs: b.copy(node, [inputs[0], b.constant(np.asarray(repeats))]),
        local=True,
    )


def tiled_over_time(node: Node, facts: Facts, source: Untimed, repeats: Array) -> Lowering:
    """The lowering that repeats one frame of a static tensor for every frame of the stream."""
    refuse_moving(facts, source)
    out = repeated_every_frame(facts, source)
    if source.shape[out.axis] != 1:
        facts.refuse("repeats a tensor of several frames along time", "repeat a tensor of one frame")
    chunk = [facts.frames(out) if a == out.axis else int(r) for a, r in enumerate(repeats)]
    return Lowering((out,), lambda b, inputs: b.copy(node, [inputs[0], b.constant(chunk)]))
