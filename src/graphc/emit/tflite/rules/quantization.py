"""QuantizeLinear and DequantizeLinear as ONNX defines them, computed in float."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphc.emit.tflite.emitter import Emitter
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.elementwise import cast_to, unary
from graphc.emit.tflite.value import Array, Value, known

INTEGERS = ("int8", "uint8", "int16", "uint16")


@rule("QuantizeLinear")
def quantize(e: Emitter, node: Node) -> Sequence[Value]:
    """Computes integers in float: round(x / scale) + zero, with halves to even, clipped to the range of the type."""
    x = node.value(0)
    scale, zero, kind = constants_of(node, x)
    if str(kind) not in INTEGERS:
        raise node.refused(
            f"it quantizes to {kind}, but this target supports only {', '.join(INTEGERS[:-1])} and {INTEGERS[-1]}"
        )
    limits = np.iinfo(kind)
    places = e.elementwise("ADD", [unary(e, "ROUND", e.elementwise("DIV", [x, known(scale)])), known(zero)])
    low = e.elementwise("MAXIMUM", [places, e.number(float(limits.min))])
    return [e.elementwise("MINIMUM", [low, e.number(float(limits.max))])]


@rule("DequantizeLinear")
def dequantize(e: Emitter, node: Node) -> Sequence[Value]:
    """Computes (x − zero) · scale."""
    x = node.value(0)
    scale, zero, _ = constants_of(node, x)
    wide = cast_to(e, x, np.float32)
    return [e.elementwise("MUL", [e.elementwise("SUB", [wide, known(zero)]), known(scale)])]


def constants_of(node: Node, x: Value) -> tuple[Array, Array, np.dtype[Any]]:
    """Scale and zero point, shaped for the axis that they belong to, and the type of the zero point."""
    scale, zero = node.array(1, "scale"), node.array(2, "zero point")
    assert scale is not None
    if node.attributes.get("block_size", 0):
        raise node.refused(
            "it has a scale for each block (block_size)", "use one scale per channel (in quantize: leave block out)"
        )
    zero = np.zeros(scale.shape, np.uint8) if zero is None else zero
    shape = [1] * x.rank
    if scale.size > 1:
        shape[node.attributes.get("axis", 1) % x.rank] = scale.size
    laid = [v.astype(np.float32).reshape(shape if v.size > 1 else ()) for v in (scale, zero)]
    return laid[0], laid[1], zero.dtype
