"""Tokens to one-hot vectors: frame by frame."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.rule import Facts, StreamStep, copied, stream_rule


@stream_rule("OneHot")
def one_hot(node: Node, facts: Facts) -> StreamStep:
    """An axis more, at ``axis`` (default the last)."""
    x = facts.only_stream()
    place = normalised(int(node.attrs.get("axis", -1)), x.rank + 1)
    return StreamStep((facts.out(x, x.axis + (place <= x.axis)),), copied(node, facts), local=True)
