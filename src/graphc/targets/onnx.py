"""Any runtime that takes ONNX."""

from __future__ import annotations

from graphc.targets.target import Target

TARGET = Target("onnx", "any runtime that takes ONNX")
