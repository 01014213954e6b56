"""The op set of onnxruntime with its own ops.

The ops are those of onnxruntime's ContribOperators.md that the passes write. The gains were measured on its CPU
provider (benchmarks/fusion.py, docs/fusion.md).
"""

from __future__ import annotations

from graphc.op_sets.op_set import Gains, OpSet

CONTRIB = (
    "DequantizeLinear",
    "DynamicQuantizeLSTM",
    "FastGelu",
    "FusedMatMul",
    "Gelu",
    "MatMulNBits",
    "MultiHeadAttention",
    "QGemm",
    "QuantizeLinear",
    "QuickGelu",
)

OP_SET = OpSet(
    "onnxruntime",
    "onnxruntime with its own ops",
    frozenset(f"com.microsoft::{op}" for op in CONTRIB),
    Gains(biased_product=3.0, conv_over_two_axes=True, gathered_conv=True, transposed_product=True),
)
