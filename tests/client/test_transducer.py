"""An RNN-T of three models: attention encoder, predictor, joiner; greedy words of a stream are those of the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import ROOT

import graphc
from graphc.ir.runtime import Session
from graphc_runtime.session import StreamSession

MODELS = ROOT / "examples" / "models"
BLANK = 0
MOST_WORDS_A_FRAME = 4


def greedy(frames: np.ndarray, step: Any, join: Any) -> list[int]:
    """Words for encoder frames; ``step`` takes a word and gives a predictor frame, ``join`` gives the next logits."""
    words: list[int] = []
    predicted = step(BLANK)
    for frame in np.split(frames, frames.shape[1], axis=1):
        for _ in range(MOST_WORDS_A_FRAME):
            word = int(join(frame, predicted).argmax())
            if word == BLANK:
                break
            words.append(word)
            predicted = step(word)
    return words


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_greedy_words_of_a_stream_are_those_of_the_whole(exporter: str, tmp_path: Path) -> None:
    sessions = {}
    for part in ("encoder", "predictor", "joiner"):
        name = f"rnnt_{part}.{exporter}"
        text = (ROOT / "specs" / f"{name}.yaml").read_text().replace("../examples/models", str(MODELS))
        (tmp_path / f"{name}.yaml").write_text(text.replace("../out", "out").replace("  - quantize", "  # - quantize"))
        graphc.compile(tmp_path / f"{name}.yaml")
        sessions[part] = StreamSession(tmp_path / "out" / f"{name}.stream.onnx")
    offline = {p: Session(onnx.load(MODELS / f"rnnt_{p}.{exporter}.onnx")) for p in ("encoder", "joiner")}
    offline["predictor"] = Session(onnx.load(MODELS / "rnnt_predictor.torchscript.onnx"))
    x = np.random.default_rng(4).standard_normal((1, 173, 20)).astype(np.float32) * 3
    state = {"h": np.zeros((1, 1, 32), np.float32), "c": np.zeros((1, 1, 32), np.float32)}

    def step_offline(word: int) -> np.ndarray:
        found = offline["predictor"].run({"tokens": np.array([[word]]), **state})
        state.update(h=found["h_next"], c=found["c_next"])
        return np.asarray(found["predicted"])

    def join_offline(frame: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return np.asarray(offline["joiner"].run({"encoder": frame, "predictor": predicted})["logits"])

    def step(word: int) -> np.ndarray:
        return sessions["predictor"].push(tokens=np.array([[word]]))["predicted"]

    def join(frame: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return sessions["joiner"].push(encoder=frame, predictor=predicted)["logits"]

    whole = greedy(offline["encoder"].run({"features": x})["encoder"], step_offline, join_offline)
    sessions["encoder"].reset()
    parts = [sessions["encoder"].push(part)["encoder"] for part in np.split(x, [40, 41, 120], axis=1)]
    streamed = greedy(np.concatenate([*parts, sessions["encoder"].flush()["encoder"]], axis=1), step, join)
    assert len(whole) > 10
    assert streamed == whole
