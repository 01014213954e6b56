"""Quantized ops that ONNX does not have, or has only from a later opset on."""

from __future__ import annotations

from graphc.api import op_set_with

CONTRIB_LINEAR = ("com.microsoft::QuantizeLinear", "com.microsoft::DequantizeLinear")
NBITS = "com.microsoft::MatMulNBits"


def other_target(*ops: str) -> str:
    """The start of a hint that names a target with all of these ops; empty if no target has them."""
    found = op_set_with(*ops)
    return "" if found is None else f"set target: {found.name}, or "
