"""Quantized ops: with constant scales they work frame by frame."""

from __future__ import annotations

from graphc.ir.graph import Node, normalised
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.refusals import NOT_OF_THE_STREAM, WINDOW_HINT
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.scores.einsum_terms import SUMMED


@stream_rule("QuantizeLinear", "DequantizeLinear")
def quantize_linear(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    if isinstance(facts[1], Stream) or isinstance(facts[2], Stream):
        facts.refuse("its scale or zero point comes from the stream", "quantize with a fixed scale and zero point")
    scale = facts.input_shapes[1][0]
    along = normalised(int(node.attrs.get("axis", 1)), x.rank)
    if len(scale) > 0 and max(scale) > 1 and (along == x.axis or len(scale) > 1):
        what = "each frame" if along == x.axis else "each block"
        facts.refuse(f"has a scale for {what}", "use one scale, or one per channel")
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)


@stream_rule("DynamicQuantizeLinear", "com.microsoft::DynamicQuantizeMatMul")
def dynamic_quantize_linear(node: Node, facts: Facts) -> Lowering:
    """Refuses the node, since its scale is computed over all frames of one call."""
    facts.refuse(
        "computes its scale over all frames of a call, so a chunk gets another scale than the whole utterance",
        "compile the float model with the quantize pass after lift_state, or export with fixed scales",
    )


@stream_rule("QLinearMatMul")
def qlinear_matmul(node: Node, facts: Facts) -> Lowering:
    """Rows are frames; scales and weights are constants."""
    x = facts.only_stream()
    if x.axis == x.rank - 1 or x.rank < 2:
        facts.refuse(SUMMED, WINDOW_HINT)
    weight = facts.input_shapes[3][0]
    if len(weight) > 2 and x.axis < x.rank - 2 and weight[-x.from_right :][:1] != (1,):
        facts.refuse("one operand has a matrix for each frame but does not come from the stream", NOT_OF_THE_STREAM)
    rank = len(facts.output_shapes[0][0])
    return Lowering((facts.out(x, rank - x.from_right),), copied(node, facts), local=True)


@stream_rule("com.microsoft::MatMulNBits")
def matmul_nbits(node: Node, facts: Facts) -> Lowering:
    """Rows are frames; the weight, in blocks of few bits, is a constant."""
    x = facts.only_stream()
    if x.axis == x.rank - 1:
        facts.refuse(SUMMED, WINDOW_HINT)
    return Lowering((facts.out(x, x.axis),), copied(node, facts), local=True)
