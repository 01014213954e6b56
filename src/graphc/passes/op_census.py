"""Finds which ops a model uses."""

from __future__ import annotations

import onnx

from graphc.ir.subgraphs import nodes_of
from graphc.op_sets.op_set import OpSet

ONNX_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")


def foreign_ops(proto: onnx.ModelProto, target: OpSet, known: frozenset[str]) -> list[str]:
    """The ops of a model, without ONNX's own, those of the target, functions of the model, and those in ``known``."""
    own = {f"{f.domain}::{f.name}" for f in proto.functions}
    return sorted(op for op in domain_ops(proto) if op not in known and op not in own and not target.has(op))


def domain_ops(proto: onnx.ModelProto) -> set[str]:
    """The ops of a model outside ONNX's own domains, as ``domain::Op``, including those in subgraphs and functions."""
    nodes = nodes_of([*proto.graph.node, *(n for f in proto.functions for n in f.node)])
    return {f"{n.domain}::{n.op_type}" for n in nodes if n.domain not in ONNX_DOMAINS}


def op_counts(proto: onnx.ModelProto) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in proto.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items()))
