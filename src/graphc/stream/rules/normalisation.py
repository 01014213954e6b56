"""Normalisations whose statistics do not run over time."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.lowering.frame_by_frame import copied, same_length
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import refuse_time_axis
from graphc.stream.lowering.rule import stream_rule

NORMALISES = "takes its statistics"


@stream_rule("BatchNormalization")
def batch_normalization(node: Node, facts: Facts) -> Lowering:
    """A scale and a shift per channel, outside training."""
    if node.attrs.get("training_mode", 0) or len([t for t in node.outputs if t.name]) > 1:
        facts.refuse("takes its statistics from the batch (training mode)", "export the model in evaluation mode")
    x = facts.only_stream()
    if x.axis == 1:
        facts.refuse("has a scale for each frame: its channel axis is time", "transpose the channels to axis 1")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)


@stream_rule("LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization")
def layer_normalization(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    refuse_time_axis(facts, x, range(normalised(int(node.attrs.get("axis", -1)), x.rank), x.rank), NORMALISES)
    outputs = tuple(facts.out(x, x.axis, i) if t.name else None for i, t in enumerate(node.outputs))
    return Lowering(outputs, copied(node, facts), local=True)


@stream_rule("com.microsoft::SkipLayerNormalization", "com.microsoft::SkipSimplifiedLayerNormalization")
def skip_layer_normalization(node: Node, facts: Facts) -> Lowering:
    x = same_length(facts)
    if any(s.from_right != x.from_right for _, s in facts.streams()):
        facts.refuse("its inputs have time on different axes", "transpose them so that time is on the same axis")
    refuse_time_axis(facts, x, [x.rank - 1], NORMALISES)
    outputs = tuple(facts.out(x, x.axis, i) if t.name else None for i, t in enumerate(node.outputs))
    return Lowering(outputs, copied(node, facts), local=True)


@stream_rule("InstanceNormalization", "GroupNormalization")
def instance_normalization(node: Node, facts: Facts) -> Lowering:
    """The statistics run over every axis after the channels; in GroupNormalization, over groups of channels too."""
    x = facts.only_stream()
    first = 2 if node.op == "InstanceNormalization" else 1
    refuse_time_axis(facts, x, range(first, x.rank), NORMALISES)
    if x.axis == 1:
        facts.refuse("has a scale for each frame: its channel axis is time", "transpose the channels to axis 1")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)


@stream_rule("LpNormalization")
def lp_normalization(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    refuse_time_axis(facts, x, [normalised(int(node.attrs.get("axis", -1)), x.rank)], NORMALISES)
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)


@stream_rule("LRN")
def local_response_normalization(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    refuse_time_axis(facts, x, [1], NORMALISES)
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)


@stream_rule("MeanVarianceNormalization")
def mean_variance_normalization(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    axes = [normalised(int(a), x.rank) for a in node.attrs.get("axes", [0, 2, 3])]
    refuse_time_axis(facts, x, axes, NORMALISES)
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)
