"""Tokens to one-hot vectors: frame by frame."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule


@stream_rule("OneHot")
def one_hot(node: Node, facts: Facts) -> Lowering:
    """Adds an axis at ``axis`` (default: the last)."""
    x = facts.only_stream()
    place = normalised(int(node.attrs.get("axis", -1)), x.rank + 1)
    return Lowering((facts.out(x, x.axis + (place <= x.axis)),), copied(node, facts), local=True)
