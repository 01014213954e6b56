"""Outputs without time: one value for each call, whatever the number of calls in a push."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from lifting import model_of, random, weights

import graphc


def compiled(folder: Path, model: onnx.ModelProto, stream: str, passes: str = "lift_state") -> graphc.StreamSession:
    onnx.save(model, folder / "model.onnx")
    spec = folder / "spec.yaml"
    spec.write_text(f"version: 1\nmodel: model.onnx\noutput: out.onnx\nstream: {stream}\npasses: [{passes}]\n")
    graphc.compile(spec)
    return graphc.StreamSession(folder / "out.onnx")


@pytest.mark.parametrize("pieces", [[21], [3] * 7, [1, 7, 13], [2, 2, 17]])
def test_no_value_of_a_window_is_lost(tmp_path: Path, pieces: list[int]) -> None:
    model = weights(
        model_of("m = ReduceMean <axes = [1], keepdims = 0> (x) y = MatMul (m, w)", "float[1,T,4] x"), w=random(4, 2)
    )
    session = compiled(tmp_path, model, "{chunk: 3, window: 6, inputs: {x: {axis: 1}}}")
    x = random(1, 21, 4)
    given = [session.push(part)["y"] for part in np.split(x, np.cumsum(pieces)[:-1], axis=1)]
    assert all(value.shape[1:] == (2,) for value in given)
    padded = np.concatenate([np.zeros((1, 6, 4), np.float32), x], axis=1)
    want = [padded[:, end : end + 6].mean(axis=1) @ random(4, 2) for end in range(3, 22, 3)]
    assert np.allclose(np.concatenate(given), np.concatenate(want), atol=1e-6)
    assert np.allclose(session.run(x)["y"], want[-1], atol=1e-6)


def test_a_window_over_ids_of_a_small_table(tmp_path: Path) -> None:
    model = weights(
        model_of("e = Gather (table, x) y = ReduceMax <axes = [1], keepdims = 0> (e)", "int64[1,T] x"),
        table=random(5, 3),
    )
    session = compiled(tmp_path, model, "{chunk: 2, window: 4, inputs: {x: {axis: 1}}}")
    assert session.push(np.array([[4, 0, 1, 2]]))["y"].shape == (2, 3)


def test_a_count_of_frames_beside_given_states_is_not_asked_for(tmp_path: Path) -> None:
    body = "s = Cast <to = 1> (n) a = Add (x, h) y = Mul (a, s) last = Slice (a, end, far, one) g = Identity (last)"
    model = weights(
        model_of(body, "float[1,T,2] x, int64[1] n, float[1,1,2] h", "float[A,B,C] y, float[1,1,2] g"),
        end=np.array([-1]),
        far=np.array([2**62]),
        one=np.array([1]),
    )
    session = compiled(
        tmp_path,
        model,
        "{chunk: 4, inputs: {x: {axis: 1}, n: {counts: x}}, states: [{input: h, output: g}]}",
        "fold_constants",
    )
    assert [i.name for i in session.manifest.inputs] == ["x"]
    assert session.manifest.dropped == {"n": "counts frames"}
    x = random(1, 8, 2)
    first, second = x[:, :4], x[:, 4:] + x[:, 3:4]
    assert np.allclose(session.push(x)["y"], np.concatenate([first, second], axis=1) * 4, atol=1e-5)
