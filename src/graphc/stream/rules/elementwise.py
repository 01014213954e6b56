"""Ops that work on each element separately, with broadcasting: frame by frame, whatever the time axis is."""

from __future__ import annotations

from graphc.ir.graph import Node
from graphc.stream.lowering.frame_by_frame import frame_by_frame
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule

UNARY = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BitwiseNot",
    "Cast",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "IsInf",
    "IsNaN",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Not",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
]
BROADCAST = [
    "Add",
    "And",
    "BitShift",
    "BitwiseAnd",
    "BitwiseOr",
    "BitwiseXor",
    "CastLike",
    "Clip",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "PRelu",
    "Pow",
    "Sub",
    "Sum",
    "Where",
    "Xor",
]
CONTRIB = [f"com.microsoft::{op}" for op in ("BiasGelu", "FastGelu", "Gelu", "QuickGelu")]
QUANTIZED = [f"com.microsoft::{op}" for op in ("QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu")]

stream_rule(*UNARY, *BROADCAST, *CONTRIB, *QUANTIZED)(frame_by_frame)


@stream_rule("Dropout")
def dropout(node: Node, facts: Facts) -> Lowering:
    """An identity outside training, with its mask output left out."""
    training = facts[2]
    if training is not None and facts.array(2, "training_mode") is not None and bool(facts.array(2)):
        facts.refuse("applies dropout (training_mode)", "export the model in evaluation mode")
    x = facts.stream(0)
    if len(node.outputs) > 1 and node.outputs[1].name and node.outputs[1].outputs:
        facts.refuse("its mask output is used", "export the model in evaluation mode")
    out = facts.out(x, x.axis)
    masks = [None] * (len(node.outputs) - 1)
    return Lowering((out, *masks), lambda b, inputs: [b.one("Identity", inputs[0]), *masks], local=True)
