"""Networks of Keras, TensorFlow, JAX and PaddlePaddle, as their own exporters write them."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from conftest import ROOT
from promise import verdict_of

MODELS = sorted((ROOT / "examples" / "exporters").glob("*.onnx"))


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
@pytest.mark.parametrize(("times", "fused_for"), [(1, None), (3, "onnxruntime"), (0, None)])
def test_streams_equal_as_exported(path: Path, times: int, fused_for: str | None) -> None:
    verdict = verdict_of(onnx.load(path), times, range(1, 30), fused_for=fused_for)
    assert verdict.kind == "equal", verdict.detail
