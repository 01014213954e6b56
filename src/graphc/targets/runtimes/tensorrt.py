"""TensorRT 10, checked by onnx-tensorrt's table of operators: https://github.com/onnx/onnx-tensorrt."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from graphc.targets.by_rules import Finding, Seen, TargetByRules

MOST_AXES = 8


class TensorRt(TargetByRules):
    name: ClassVar[str] = "tensorrt"
    summary: ClassVar[str] = "NVIDIA's TensorRT 10: GPUs and Jetson; checked by its documents, not run"
    package: ClassVar[str] = "TensorRT"
    license: ClassVar[str] = "proprietary; the parser is Apache-2.0"
    table: ClassVar[str] = "tensorrt"

    def rules(self, node: Seen) -> Iterator[Finding]:
        op = node.proto.op_type
        if max((r for r in node.ranks if r is not None), default=0) > MOST_AXES:
            yield Finding(node.label, f"TensorRT's tensors have {MOST_AXES} axes at most")
        if op == "LayerNormalization" and any(node.proto.output[1:]):
            yield Finding(node.label, "only its first output is supported")
        if op in ("LSTM", "GRU", "RNN") and (node.attribute("layout", 0) or node.attribute("input_forget", 0)):
            yield Finding(node.label, "layout and input_forget must be 0")
        if op in ("MaxPool", "AveragePool", "LpPool") and any(d != 1 for d in node.attribute("dilations", [])):
            yield Finding(node.label, "pools with dilation are not supported")
        if op == "ScatterND" and node.attribute("reduction", b"none") != b"none":
            yield Finding(node.label, "its reduction must be none")


TARGET = TensorRt()
