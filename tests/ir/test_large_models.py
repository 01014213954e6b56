"""Weights that stay in their file: here the limits are lowered, so that a small model counts as large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from lifting import model_of, random, weights

import graphc
import graphc.ir.external_weights
import graphc.ir.runtime
import graphc.ir.sizes
import graphc.offline.reference
from graphc.ir.external_weights import is_kept, loaded
from graphc.ir.import_export import import_model
from graphc.ir.model import read_model
from graphc.ir.runtime import Session, handed_over
from graphc.ir.sizes import size_of
from graphc_runtime.errors import ModelError

SPEC = """
version: 1
model: models/m.onnx
output: out/m.onnx
stream: {chunk: 2, inputs: {x: {axis: 2}}}
passes: [lift_state, fold_constants, fuse, simplify, {quantize: {tolerance: {snr_db: 20}}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(graphc.ir.external_weights, "LARGE_MODEL", 1000)
    monkeypatch.setattr(graphc.ir.external_weights, "SMALLEST_KEPT", 200)
    monkeypatch.setattr(graphc.offline.reference, "LARGE_MODEL", 1000)
    (tmp_path / "models").mkdir()
    save(tmp_path / "models" / "m.onnx")
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def save(path: Path) -> onnx.ModelProto:
    body = "c = Conv <pads=[2,1]> (x, w) r = Relu (c) t = Transpose <perm=[0,2,1]> (r) m = MatMul (t, v) y = Add (m, b)"
    model = weights(model_of(body), w=random(16, 2, 4), v=random(16, 32), b=random(32))
    onnx.save_model(model, path, save_as_external_data=True, location="m.data", size_threshold=100)
    return onnx.load(path)


def test_large_weights_are_read_from_their_file(folder: Path) -> None:
    path = folder / "models" / "m.onnx"
    whole, light = onnx.load(path), read_model(path)
    assert [t.name for t in light.graph.initializer if is_kept(t)] == ["w", "v"]
    assert not any(t.raw_data for t in light.graph.initializer if is_kept(t))
    assert size_of(light) > size_of(whole) - 300
    values = {n: t.values for n, t in import_model(light).tensors().items() if n in ("w", "v")}
    for tensor in whole.graph.initializer[:2]:
        np.testing.assert_array_equal(values[tensor.name], onnx.numpy_helper.to_array(tensor))
    x = {"x": random(1, 2, 9)}
    np.testing.assert_array_equal(Session(light).run(x)["y"], Session(whole).run(x)["y"])
    assert loaded(light).graph.initializer[0].raw_data == whole.graph.initializer[0].raw_data


def test_what_protobuf_cannot_hold_is_handed_over_beside_the_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = onnx.load(folder / "models" / "m.onnx")
    x = {"x": random(1, 2, 9)}
    want = Session(whole).run(x)["y"]
    monkeypatch.setattr(graphc.ir.runtime, "PROTO_LIMIT", 1000)
    monkeypatch.setattr(graphc.ir.sizes, "PROTO_LIMIT", 1000)
    monkeypatch.setattr(graphc.ir.runtime, "SMALLEST_KEPT", 200)
    assert set(handed_over(whole)) == {"w", "v"}
    before = whole.SerializeToString()
    np.testing.assert_array_equal(Session(whole).run(x)["y"], want)
    assert whole.SerializeToString() == before


def test_every_pass_takes_a_large_model(folder: Path) -> None:
    report = graphc.compile(folder / "spec.yaml").data
    assert report["passes"][3]["max_abs"] <= 1e-5
    written = onnx.load(folder / "out" / "m.onnx", load_external_data=False)
    assert not any(t.external_data for t in written.graph.initializer)
    x = random(1, 2, 13)
    want = Session(onnx.load(folder / "models" / "m.onnx")).run({"x": x})["y"]
    got = graphc.StreamSession(folder / "out" / "m.onnx").run(x)["y"]
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


@pytest.mark.parametrize(
    "location", ["../secret.data", "{folder}/secret.data", "linked.data", "graphc-kept:0", "no.data"]
)
def test_weights_elsewhere_are_refused(folder: Path, location: str) -> None:
    (folder / "secret.data").write_bytes((folder / "models" / "m.data").read_bytes())
    (folder / "models" / "linked.data").symlink_to(folder / "secret.data")
    path = folder / "models" / "m.onnx"
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location.format(folder=folder)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match="external data cannot be read"):
        read_model(path)


@pytest.mark.parametrize(
    ("key", "value"), [("offset", "100000000"), ("offset", "-4"), ("length", "12"), ("offset", "x")]
)
def test_places_that_do_not_fit_the_file_are_refused(folder: Path, key: str, value: str) -> None:
    path = folder / "models" / "m.onnx"
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        if entry.key == key:
            entry.value = value
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ModelError):
        read_model(path)
