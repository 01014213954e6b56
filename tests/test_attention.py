"""What attention is refused for, and what its options do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from test_rules import model_of, random, refusal, weights

import graphc
from graphc.errors import SpecError, StreamError

SCORES = "k = Transpose <perm=[0,2,1]> (x) s = MatMul (x, k)"
PLACES = """
    h = Shape (x) t = Gather (h, one) r = Range (zero, t, one) q = Unsqueeze (r, last) p = Unsqueeze (r, first) d = Sub (p, q)
"""
ARRAYS = {"one": np.array(1), "zero": np.array(0), "first": np.array([0]), "last": np.array([1])}


def attention(mask: str = "", scores: str = "s", **arrays: np.ndarray) -> onnx.ModelProto:
    body = f"{SCORES} {PLACES if mask else ''} {mask} w = Softmax ({scores}) y = MatMul (w, x)"
    model = model_of(body, "float[1,T,4] x", "float[1,A,B] y")
    model.graph.node[-1].name = "mix"
    return weights(model, **(ARRAYS if mask else {}), **arrays)


def test_attention_without_a_mask_is_refused_with_the_way_out() -> None:
    error = refusal(attention())
    assert error.node == "mix (MatMul)"
    assert "attends to all frames" in error.reason
    assert "attention: {left: N, right: N}" in (error.hint or "")


def test_a_causal_mask_alone_is_refused() -> None:
    model = attention("off = Greater (d, zero) m = Where (off, low, s)", "m", low=np.float32(-1e9))
    error = refusal(model)
    assert "all past frames" in error.reason
    assert error.hint


def test_a_table_as_output_is_refused() -> None:
    error = refusal(model_of(SCORES.replace("s =", "y ="), "float[1,T,4] x"))
    assert "table of two times" in error.reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{attention: {left: 5, max_frames: 40}}", "give left and right, or max_frames"),
        ("{attention: {lefft: 5}}", "unknown option"),
        ("{attention: {left: -1}}", "greater than or equal to 0"),
    ],
)
def test_wrong_limits_are_named_in_the_spec(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        graphc.compile(spec_of(tmp_path, attention(), options))
    assert said in str(caught.value)


def test_a_pattern_that_fits_nothing_lists_the_attention(tmp_path: Path) -> None:
    with pytest.raises(StreamError) as caught:
        graphc.compile(spec_of(tmp_path, attention(), '{attention: {"other*": {left: 3}}}'))
    assert "other*" in caught.value.reason
    assert "mix" in (caught.value.hint or "")


def test_a_band_is_put_on_the_reference_and_its_cost_is_reported(tmp_path: Path) -> None:
    report = graphc.compile(spec_of(tmp_path, attention(), "{attention: {left: 6, right: 1}}")).data
    lift = report["passes"][0]
    assert lift["max_abs"] < 1e-5
    assert lift["reference_change"][0]["max_abs"] > 1e-3


def test_an_unlimited_past_is_kept_whole_up_to_max_frames(tmp_path: Path) -> None:
    model = attention("off = Greater (d, zero) m = Where (off, low, s)", "m", low=np.float32(-1e9))
    graphc.compile(spec_of(tmp_path, model, "{attention: {max_frames: 60}}"))
    session = graphc.StreamSession(tmp_path / "out.onnx")
    assert session.manifest.max_frames == 60
    x = random(1, 60, 4)
    scores = np.where(np.tri(60, dtype=bool), x[0] @ x[0].T, -np.inf)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    want = shares / shares.sum(1, keepdims=True) @ x[0]
    assert np.abs(session.run(x)["y"][0] - want).max() < 1e-5
    with pytest.raises(graphc.GraphcError):
        session.run(random(1, 61, 4))


def spec_of(folder: Path, model: onnx.ModelProto, options: str) -> Path:
    onnx.save(model, folder / "model.onnx")
    path = folder / "spec.yaml"
    path.write_text(
        "version: 1\nmodel: model.onnx\noutput: out.onnx\nstream: {chunk: 2, inputs: {x: {axis: 1}}}\n"
        f"passes:\n  - lift_state: {options}\n"
    )
    return path
