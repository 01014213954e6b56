"""Qualcomm's QNN, checked by the table of onnxruntime's provider: https://github.com/onnxruntime/onnxruntime-qnn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from graphc.targets.by_rules import Finding, Seen, TargetByRules


class Qnn(TargetByRules):
    name: ClassVar[str] = "qnn"
    summary: ClassVar[str] = "Qualcomm's QNN: Snapdragon phones and PCs; checked by its documents, not run"
    package: ClassVar[str] = "onnxruntime-qnn"
    license: ClassVar[str] = "MIT; the SDK is proprietary"
    table: ClassVar[str] = "qnn"

    def rules(self, node: Seen) -> Iterator[Finding]:
        op = node.proto.op_type
        if op == "LpNormalization" and node.attribute("p", 2) != 2:
            yield Finding(node.label, "p must be 2")


TARGET = Qnn()
