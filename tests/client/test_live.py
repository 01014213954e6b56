"""A stream between an audio callback and a worker."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import graphc
from graphc_runtime import InputError, Live, ModelError, StreamSession

MODELS = ROOT / "examples" / "models"


def compiled(folder: Path, name: str, chunk: int | str) -> Path:
    (folder / "spec.yaml").write_text(
        f"version: 1\nmodel: {MODELS / name}.onnx\noutput: out.onnx\nstream: {{chunk: {chunk}, frame_ms: 10}}\n"
        "passes: [lift_state, fold_constants, simplify, fuse]\n"
    )
    graphc.compile(folder / "spec.yaml")
    return folder / "out.onnx"


@pytest.mark.parametrize("chunk", [16, "dynamic"])
def test_all_that_is_fed_is_heard(tmp_path: Path, chunk: int | str) -> None:
    model = compiled(tmp_path, "tcn.torchscript", chunk)
    x = np.random.default_rng(0).standard_normal((1, 32, 4000)).astype(np.float32)
    heard: list[np.ndarray] = []
    live = Live(StreamSession(model), lambda new: heard.append(new["y"]), most=64, behind="wait")
    for block in np.split(x, 100, axis=2):
        live.feed(block)
    live.finish()
    assert live.dropped == live.behind == 0
    assert np.allclose(np.concatenate(heard, axis=2), StreamSession(model).run(x)["y"], atol=1e-6)


def slow(new: object) -> None:
    time.sleep(0.05)


def test_a_slow_device_leaves_out_the_oldest_and_counts_them(tmp_path: Path) -> None:
    live = Live(StreamSession(compiled(tmp_path, "lstm_tagger.torchscript", 16)), slow, most=32)
    for _ in range(30):
        live.feed(np.zeros((1, 20, 40), np.float32))
        time.sleep(0.005)
    live.finish()
    assert live.dropped > 100


def test_a_slow_device_stops_where_it_is_told_to(tmp_path: Path) -> None:
    session = StreamSession(compiled(tmp_path, "lstm_tagger.torchscript", 16))
    live = Live(session, slow, most=32, behind="stop")
    for _ in range(10):
        live.feed(np.zeros((1, 20, 40), np.float32))
        time.sleep(0.005)
    with pytest.raises(ModelError, match=r"does not keep up: \d+ frames waited, \d\.\d+ s"):
        live.finish()


def test_a_fault_of_the_frames_is_told_at_the_end(tmp_path: Path) -> None:
    live = Live(StreamSession(compiled(tmp_path, "lstm_tagger.torchscript", 16)), slow, most=32)
    live.feed(np.zeros((1, 20, 41), np.float32))
    with pytest.raises(InputError, match="has the shape"):
        live.finish()
