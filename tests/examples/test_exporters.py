"""Networks of TensorFlow, JAX and PaddlePaddle, as their own exporters write them; ``make exporters`` tries more."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT
from exporters import verdict_on


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "exporters").glob("*.onnx")), ids=lambda p: p.stem)
def test_streams_equal_as_exported(path: Path) -> None:
    verdict = verdict_on(path)
    assert verdict.kind == "equal", verdict.detail
