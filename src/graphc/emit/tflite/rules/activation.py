"""Activations that LiteRT has, or that can be built from its ops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.elementwise import unary
from graphc.emit.tflite.value import Value, last


@rule("Gelu")
def gelu(e: Emitter, node: Node) -> Sequence[Value]:
    rough = node.attributes.get("approximate", b"none") == b"tanh"
    return [unary(e, "GELU", node.value(0), approximate=rough)]


@rule("Swish")
def swish(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    alpha = node.attributes.get("alpha", 1.0)
    inside = x if alpha == 1.0 else e.elementwise("MUL", [x, e.number(alpha)])
    return [e.elementwise("MUL", [x, unary(e, "LOGISTIC", inside)])]


@rule("LeakyRelu")
def leaky_relu(e: Emitter, node: Node) -> Sequence[Value]:
    return [unary(e, "LEAKY_RELU", node.value(0), alpha=node.attributes.get("alpha", 0.01))]


@rule("PRelu")
def prelu(e: Emitter, node: Node) -> Sequence[Value]:
    """Multiplies the negative entries by the slope, which is broadcast as in ONNX."""
    x, slope = node.value(0), node.value(1)
    below = e.elementwise("MUL", [e.elementwise("MINIMUM", [x, e.number(0.0)]), slope])
    return [e.elementwise("ADD", [unary(e, "RELU", x), below])]


@rule("Elu")
def elu(e: Emitter, node: Node) -> Sequence[Value]:
    x, alpha = node.value(0), node.attributes.get("alpha", 1.0)
    if alpha == 1.0:
        return [unary(e, "ELU", x)]
    below = unary(e, "ELU", e.elementwise("MINIMUM", [x, e.number(0.0)]))
    return [e.elementwise("ADD", [unary(e, "RELU", x), e.elementwise("MUL", [below, e.number(alpha)])])]


@rule("Selu")
def selu(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    alpha, gamma = node.attributes.get("alpha", 1.67326319), node.attributes.get("gamma", 1.05070102)
    below = unary(e, "ELU", e.elementwise("MINIMUM", [x, e.number(0.0)]))
    whole = e.elementwise("ADD", [unary(e, "RELU", x), e.elementwise("MUL", [below, e.number(alpha)])])
    return [e.elementwise("MUL", [whole, e.number(gamma)])]


@rule("HardSigmoid")
def hard_sigmoid(e: Emitter, node: Node) -> Sequence[Value]:
    slope, offset = node.attributes.get("alpha", 0.2), node.attributes.get("beta", 0.5)
    line = e.elementwise("ADD", [e.elementwise("MUL", [node.value(0), e.number(slope)]), e.number(offset)])
    return [e.elementwise("MINIMUM", [e.elementwise("MAXIMUM", [line, e.number(0.0)]), e.number(1.0)])]


@rule("Softplus")
def softplus(e: Emitter, node: Node) -> Sequence[Value]:
    """Computes max(x, 0) + log(1 + exp(-\\|x\\|)), in which no exponential overflows."""
    return [softplus_of(e, node.value(0))]


def softplus_of(e: Emitter, x: Value) -> Value:
    decay = unary(e, "EXP", unary(e, "NEG", unary(e, "ABS", x)))
    return e.elementwise("ADD", [unary(e, "RELU", x), unary(e, "LOG", e.elementwise("ADD", [decay, e.number(1.0)]))])


@rule("Mish")
def mish(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    return [e.elementwise("MUL", [x, unary(e, "TANH", softplus_of(e, x))])]


@rule("Softsign")
def softsign(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    return [e.elementwise("DIV", [x, e.elementwise("ADD", [unary(e, "ABS", x), e.number(1.0)])])]


@rule("Softmax", "LogSoftmax")
def softmax(e: Emitter, node: Node) -> Sequence[Value]:
    """Moves the axis of the softmax to the end, because LiteRT computes a softmax over the last axis."""
    x = node.value(0)
    axis = node.attributes.get("axis", -1 if node.opset >= 13 else 1) % x.rank
    if node.opset < 13 and axis != x.rank - 1:
        raise node.refused(
            "before opset 13, it is computed over all axes from 'axis' on, not over one axis",
            "export with opset 13 or later",
        )
    order = last(x.order, axis)
    op, options = ("SOFTMAX", {"beta": 1.0}) if node.op == "Softmax" else ("LOG_SOFTMAX", {})
    made = e.op(op, [e.stored(x, order)], [x.shape[a] for a in order], x.dtype, **options)
    return [e.value(made, x.shape, x.dtype, order)]


@rule("ThresholdedRelu")
def thresholded_relu(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    above = e.elementwise("GREATER", [x, e.number(node.attributes.get("alpha", 1.0))], np.bool_)
    return [e.elementwise("SELECT_V2", [above, x, e.number(0.0)])]
