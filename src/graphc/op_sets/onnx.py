"""The op set of any runtime that runs ONNX."""

from __future__ import annotations

from graphc.op_sets.op_set import OpSet

OP_SET = OpSet("onnx", "any runtime that takes ONNX")
