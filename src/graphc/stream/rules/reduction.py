"""Reductions and softmax along axes other than time."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_time_axis
from graphc.stream.lowering.rule import stream_rule

REDUCTIONS = [
    f"Reduce{op}" for op in ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
]


@stream_rule(*REDUCTIONS)
def reduce(node: Node, facts: Facts) -> Lowering:
    """Without ``axes``, the node reduces over all axes, or over none if ``noop_with_empty_axes`` is set."""
    x = facts.only_stream()
    axes = facts.argument("axes", 1)
    if not axes:
        axes = [] if node.attrs.get("noop_with_empty_axes", 0) else list(range(x.rank))
    axes = [normalised(int(a), x.rank) for a in axes]
    refuse_time_axis(facts, x, axes, "reduces")
    axis = x.axis if node.attrs.get("keepdims", 1) else x.axis - sum(a < x.axis for a in axes)
    return Lowering((facts.out(x, axis),), copied(node, facts), local=True)


@stream_rule("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(node: Node, facts: Facts) -> Lowering:
    """Pools over every axis after the channels."""
    x = facts.only_stream()
    refuse_time_axis(facts, x, range(2, x.rank), "pools")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)


@stream_rule("ArgMax", "ArgMin")
def arg_reduce(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    along = normalised(int(node.attrs.get("axis", 0)), x.rank)
    refuse_time_axis(facts, x, [along], "searches for the largest or smallest entry")
    axis = x.axis if node.attrs.get("keepdims", 1) else x.axis - (along < x.axis)
    return Lowering((facts.out(x, axis),), copied(node, facts), local=True)


@stream_rule("TopK")
def top_k(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    refuse_time_axis(facts, x, [normalised(int(node.attrs.get("axis", -1)), x.rank)], "sorts")
    outputs = tuple(facts.out(x, x.axis, i) if t.name else None for i, t in enumerate(node.outputs))
    return Lowering(outputs, copied(node, facts), local=True)


@stream_rule("Softmax", "LogSoftmax", "Hardmax")
def softmax(node: Node, facts: Facts) -> Lowering:
    """Before opset 13, the node normalises over all axes from ``axis`` (default 1) on."""
    x = facts.only_stream()
    if facts.opset >= 13:
        axes = [normalised(int(node.attrs.get("axis", -1)), x.rank)]
    else:
        axes = list(range(normalised(int(node.attrs.get("axis", 1)), x.rank), x.rank))
    refuse_time_axis(facts, x, axes, "normalises")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)
