"""``lift_state: {pack: true}``: states of one kind and shape in one port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from conftest import ROOT

import graphc
from graphc.ir.ort_session import Session

MODELS = ROOT / "examples" / "models"


def compiled(folder: Path, model: str, stream: str, pack: bool = True, target: str = "onnx") -> dict[str, Any]:
    """The report of a compilation into ``out.onnx``."""
    (folder / "spec.yaml").write_text(
        f"""
version: 1
model: {MODELS / model}
output: out.onnx
target: {target}
stream: {{{stream}}}
passes: [lift_state: {{pack: {str(pack).lower()}}}, fold_constants, fuse, simplify]
"""
    )
    return graphc.compile(folder / "spec.yaml").data


@pytest.mark.parametrize(
    ("model", "stream", "target", "packed"),
    [
        pytest.param(
            *("rnnt_encoder.dynamo.onnx", "chunk: 16, inputs: {features: {axis: 1}}", "onnx", None),
            marks=pytest.mark.nightly,
        ),
        pytest.param(*("conformer.dynamo.onnx", "chunk: 16", "onnxruntime", None), marks=pytest.mark.nightly),
        pytest.param(
            *("conformer_lookahead.torchscript.onnx", "chunk: dynamic", "onnx", None), marks=pytest.mark.nightly
        ),
        ("lstm_tagger.torchscript.onnx", "chunk: 5", "onnx", {"packed_rnn_hidden_in": 2, "packed_rnn_cell_in": 2}),
    ],
)
def test_states_that_are_alike_share_a_port(
    tmp_path: Path, model: str, stream: str, target: str, packed: dict[str, int] | None
) -> None:
    alone = compiled(tmp_path, model, stream, pack=False, target=target)
    report = compiled(tmp_path, model, stream, target=target)
    assert [p["name"] for p in report["passes"]][-1] == "pack_states"
    assert len(report["states"]) < len(alone["states"])
    assert report["stream"]["state_bytes"] == alone["stream"]["state_bytes"]
    session = graphc.StreamSession(tmp_path / "out.onnx")
    packs = {s.input: s.pack for s in session.manifest.states if s.pack is not None}
    if packed is not None:
        assert {name: len(p.parts) for name, p in packs.items()} == packed
    names = [s.input for s in session.manifest.states if s.pack is None]
    names += [part.input for pack in packs.values() for part in pack.parts]
    assert sorted(names) == sorted(s["name"] for s in alone["states"])
    for state in session.manifest.states:
        if state.pack is not None:
            assert sum(p.size for p in state.pack.parts) == state.shape[state.pack.axis]
    proven = {s["name"]: s["proven"] for s in alone["states"]}
    for state in report["states"]:
        parts = [p.input for p in packs[state["name"]].parts] if state["name"] in packs else [state["name"]]
        assert state["proven"] == all(proven[p] for p in parts)


def test_streams_with_clocks_of_their_own_keep_their_places(tmp_path: Path) -> None:
    tagger = onnx.load(MODELS / "lstm_tagger.torchscript.onnx")
    tagger.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(tagger, tmp_path / "tagger.onnx")
    compiled(tmp_path, str(tmp_path / "tagger.onnx"), "chunk: 5, batch: 3, clocks: own")
    session = graphc.BatchSession(tmp_path / "out.onnx")
    assert any(s.pack is not None and s.pack.axis != s.batch_axis for s in session.manifest.states)
    x = np.random.default_rng(0).standard_normal((2, 1, 23, 40)).astype(np.float32)
    parts: dict[int, list[np.ndarray]] = {}
    first = session.open()
    session.push(first, features=x[0, :, :10])
    for place, new in session.step().items():
        parts.setdefault(place, []).append(new["log_probs"])
    second = session.open()
    session.push(first, features=x[0, :, 10:])
    session.push(second, features=x[1])
    session.finish(first)
    session.finish(second)
    while new_of := session.step():
        for place, new in new_of.items():
            parts.setdefault(place, []).append(new["log_probs"])
    offline = Session(onnx.load(MODELS / "lstm_tagger.torchscript.onnx"))
    for place, heard in ((first, x[0]), (second, x[1])):
        want = offline.run({"features": heard})["log_probs"]
        np.testing.assert_allclose(np.concatenate(parts[place], axis=1), want, atol=1e-5)


def test_a_listed_pass_is_not_asked_for_twice(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"""
version: 1
model: {MODELS / "lstm_tagger.torchscript.onnx"}
output: out.onnx
stream: {{chunk: 5}}
passes: [lift_state: {{pack: true}}, pack_states, simplify]
"""
    )
    report = graphc.compile(spec).data
    assert [p["name"] for p in report["passes"]] == ["lift_state", "pack_states", "simplify"]
