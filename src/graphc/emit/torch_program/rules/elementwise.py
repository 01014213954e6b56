"""Ops that work entry by entry, and activations."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import onnx
import torch
import torch.nn.functional as nn

from graphc.emit.torch_program.rule import Node, Tensor, rule

UNARY = {
    "Abs": torch.abs,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softsign": nn.softsign,
    "Sqrt": torch.sqrt,
    "Tanh": torch.tanh,
    "Mish": nn.mish,
    "HardSwish": nn.hardswish,
    "Softplus": nn.softplus,
}
BINARY = {
    "Add": torch.add,
    "Sub": torch.sub,
    "Mul": torch.mul,
    "And": torch.logical_and,
    "Or": torch.logical_or,
    "Xor": torch.logical_xor,
    "Equal": torch.eq,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
}
FOLDED = {"Max": torch.maximum, "Min": torch.minimum, "Sum": torch.add}


@rule(*UNARY)
def unary(node: Node, x: Sequence[Tensor]) -> Tensor:
    return UNARY[node.op](x[0])


@rule("IsInf")
def is_inf(node: Node, x: Sequence[Tensor]) -> Tensor:
    if not node.attributes.get("detect_negative", 1) or not node.attributes.get("detect_positive", 1):
        raise node.refused("it tests for infinities of one sign only, and torch for both")
    return torch.isinf(x[0])


@rule(*BINARY)
def binary(node: Node, x: Sequence[Tensor]) -> Tensor:
    return BINARY[node.op](x[0], x[1])


@rule(*FOLDED)
def folded(node: Node, x: Sequence[Tensor]) -> Tensor:
    return reduce(FOLDED[node.op], x)


@rule("Mean")
def mean(node: Node, x: Sequence[Tensor]) -> Tensor:
    return reduce(torch.add, x) / len(x)


@rule("Div")
def div(node: Node, x: Sequence[Tensor]) -> Tensor:
    """Divides. A quotient of integers is truncated towards zero."""
    return x[0] / x[1] if x[0].is_floating_point() else torch.div(x[0], x[1], rounding_mode="trunc")


@rule("Pow")
def power(node: Node, x: Sequence[Tensor]) -> Tensor:
    return torch.pow(x[0], x[1]).to(x[0].dtype)


@rule("Mod")
def mod(node: Node, x: Sequence[Tensor]) -> Tensor:
    return (torch.fmod if node.attributes.get("fmod", 0) else torch.remainder)(x[0], x[1])


@rule("Where")
def where(node: Node, x: Sequence[Tensor]) -> Tensor:
    return torch.where(x[0], x[1], x[2])


@rule("Identity", "Dropout")
def identity(node: Node, x: Sequence[Tensor]) -> Tensor:
    training = node.array(2, "training mode")
    if len(node.outputs) > 1:
        raise node.refused("it also returns its mask", "export the model for inference")
    if training is not None and training.any():
        raise node.refused("it is in training mode", "export the model for inference")
    return x[0]


@rule("Cast")
def cast(node: Node, x: Sequence[Tensor]) -> Tensor:
    kind = onnx.helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    if not hasattr(torch, str(kind)):
        raise node.refused(f"it casts to {kind}, which torch lacks")
    return x[0].to(getattr(torch, str(kind)))


@rule("Clip")
def clip(node: Node, x: Sequence[Tensor]) -> Tensor:
    low = node.attributes.get("min", x[1] if node.has(1) else None)
    high = node.attributes.get("max", x[2] if node.has(2) else None)
    made = x[0]
    for bound, meet in ((low, torch.maximum), (high, torch.minimum)):
        if bound is not None:
            made = meet(made, torch.as_tensor(bound, dtype=made.dtype))
    return made


@rule("Gelu")
def gelu(node: Node, x: Sequence[Tensor]) -> Tensor:
    return nn.gelu(x[0], approximate=node.attributes.get("approximate", b"none").decode())


@rule("Swish")
def swish(node: Node, x: Sequence[Tensor]) -> Tensor:
    return x[0] * torch.sigmoid(x[0] * node.attributes.get("alpha", 1.0))


@rule("LeakyRelu")
def leaky_relu(node: Node, x: Sequence[Tensor]) -> Tensor:
    return nn.leaky_relu(x[0], node.attributes.get("alpha", 0.01))


@rule("PRelu")
def prelu(node: Node, x: Sequence[Tensor]) -> Tensor:
    """Multiplies the negative entries by the slope, which is broadcast as in ONNX."""
    return torch.relu(x[0]) - torch.relu(-x[0]) * x[1]


@rule("Elu")
def elu(node: Node, x: Sequence[Tensor]) -> Tensor:
    return nn.elu(x[0], node.attributes.get("alpha", 1.0))


@rule("Selu")
def selu(node: Node, x: Sequence[Tensor]) -> Tensor:
    alpha, gamma = node.attributes.get("alpha", 1.67326319), node.attributes.get("gamma", 1.05070102)
    return gamma * nn.elu(x[0], alpha)


@rule("Celu")
def celu(node: Node, x: Sequence[Tensor]) -> Tensor:
    return nn.celu(x[0], node.attributes.get("alpha", 1.0))


@rule("HardSigmoid")
def hard_sigmoid(node: Node, x: Sequence[Tensor]) -> Tensor:
    slope, offset = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    return torch.clamp(x[0] * slope + offset, 0.0, 1.0)


@rule("ThresholdedRelu")
def thresholded_relu(node: Node, x: Sequence[Tensor]) -> Tensor:
    return torch.where(x[0] > node.attributes.get("alpha", 1.0), x[0], torch.zeros_like(x[0]))


@rule("Softmax", "LogSoftmax")
def softmax(node: Node, x: Sequence[Tensor]) -> Tensor:
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1) % x[0].ndim
    if node.opset < 13 and axis != x[0].ndim - 1:
        raise node.refused(
            "before opset 13, it is computed over all axes from 'axis' on, not over one axis",
            "export with opset 13 or later",
        )
    return (torch.softmax if node.op == "Softmax" else torch.log_softmax)(x[0], axis)
