"""Ops that move axes and keep every element."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule


@stream_rule("Transpose")
def transpose(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    order = [int(a) for a in node.attrs.get("perm", range(x.rank)[::-1])]
    return Lowering((facts.out(x, order.index(x.axis)),), copied(node, facts), local=True)


@stream_rule("Unsqueeze")
def unsqueeze(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    added = facts.argument("axes", 1)
    rank = x.rank + len(added)
    new = {normalised(int(a), rank) for a in added}
    kept = [a for a in range(rank) if a not in new]
    return Lowering((facts.out(x, kept[x.axis]),), copied(node, facts), local=True)


@stream_rule("Squeeze")
def squeeze(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    given = facts.argument("axes", 1)
    if given is None:
        given = [axis for axis, size in enumerate(x.shape) if size == 1]
    axes = {normalised(int(a), x.rank) for a in given}
    if x.axis in axes:
        facts.refuse("squeezes the time axis, which works for a single frame only", "squeeze the other axes by number")
    axis = x.axis - sum(a < x.axis for a in axes)
    if node.attrs.get("axes") is None and facts[1] is None:

        def emit(b, inputs):  # type: ignore[no-untyped-def]
            frames = b.frames(x)
            shape = [frames if a == x.axis else s for a, s in enumerate(x.shape) if a not in axes]
            return [b.one("Reshape", inputs[0], b.constant(shape), hint="squeezed")]

        return Lowering((facts.out(x, axis),), emit, local=True)
    return Lowering((facts.out(x, axis),), copied(node, facts), local=True)
