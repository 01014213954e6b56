"""Attention in one op: refused by name in this version."""

from __future__ import annotations

from graphc.graph import Node
from graphc.stream.rule import Facts, StreamStep, stream_rule
from graphc.stream.rules.linear import ATTENTION, ATTENTION_WAY_OUT

CONTRIB = [
    f"com.microsoft::{op}" for op in ("Attention", "MultiHeadAttention", "GroupQueryAttention", "PackedAttention")
]


@stream_rule("Attention", *CONTRIB)
def attention(node: Node, facts: Facts) -> StreamStep:
    """Its scores are a table of two times."""
    facts.refuse(ATTENTION, ATTENTION_WAY_OUT)
