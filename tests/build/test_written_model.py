"""A model that is written opens as a client opens it: in a plain session of onnxruntime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from transforming import model_of

import graphc

COUNTED = """
    n = Shape (x) c = Gather <axis=0> (n, at) e = Sub (c, none) r = Range (none, e, one)
    f = Cast <to=1> (r) u = Unsqueeze (f, front) y = Add (x, u)
"""
NUMBERS = {"at": np.array([1]), "none": np.array(0), "one": np.array(1), "front": np.array([0])}


def test_fixed_sizes_that_onnxruntime_does_not_load_stay_open(tmp_path: Path) -> None:
    """With a fixed size onnxruntime computes the Range while it loads, and then takes no end of one element."""
    onnx.save(model_of(COUNTED, "float[1,T] x", **NUMBERS), tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(
        "version: 1\nmodel: model.onnx\noutput: out.onnx\nstream: {chunk: 4, window: 16}\npasses: [lift_state]\n"
    )
    graphc.compile(tmp_path / "spec.yaml")
    session = onnxruntime.InferenceSession(tmp_path / "out.onnx")
    feeds = {"x": np.zeros((1, 4), np.float32), "x_window_in": np.zeros((1, 12), np.float32)}
    assert session.run(["y"], feeds)[0][0, -1] == 15
