"""Models whose states are ports already: compared call by call, and the report says what that does not show."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc
from lifting import model_of, random, weights

SPEC = """version: 1
model: m.onnx
output: o.onnx
stream: {{chunk: 2, inputs: {{x: {{axis: 2}}}}, states: [{{input: h, output: g}}]}}
passes: [{passes}]
"""
BODY = "c = Concat <axis=2> (h, x) y = Conv (c, w) g = Slice (c, start, end, axis)"


@pytest.mark.parametrize("passes", ["fold_constants", "fuse, simplify"])
def test_the_report_says_that_whole_utterances_were_not_compared(tmp_path: Path, passes: str) -> None:
    model = model_of(BODY, "float[1,2,2] x, float[1,2,2] h", "float[1,A,B] y, float[1,2,2] g")
    model = weights(model, w=random(2, 2, 3), start=np.array([2]), end=np.array([4]), axis=np.array([2]))
    onnx.save(model, tmp_path / "m.onnx")
    (tmp_path / "spec.yaml").write_text(SPEC.format(passes=passes))
    done = graphc("compile", tmp_path / "spec.yaml")
    assert done.returncode == 0, done.stderr
    first, *rest = json.loads((tmp_path / "o.report.json").read_text())["passes"]
    assert any("does not show that the calls of a stream together equal a whole utterance" in n for n in first["notes"])
    assert not any("whole utterance" in note for record in rest for note in record["notes"])
