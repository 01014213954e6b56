"""Weights that stay in their file: here the limits are lowered, so that a small model counts as large."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from lifting import model_of, random, weights

import graphc
import graphc.ir.weights.external_weights
import graphc.ir.weights.made_weights
import graphc.offline.reference
from graphc.errors import OutputError
from graphc.ir.graph import Constant
from graphc.ir.import_export import export_model, import_model
from graphc.ir.model import read_model
from graphc.ir.ort_session import Session
from graphc.ir.sizes import size_of
from graphc.ir.weights.made_weights import with_made_weights
from graphc.ir.weights.weight_files import (
    KeptArray,
    is_kept,
    keep,
    loaded,
    scratch_of_its_own,
    weights_as_inputs,
    with_weights_put_back,
)
from graphc.system.scratch_files import PREFIX, new_scratch, remove_left_behind
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
    monkeypatch.setattr(graphc.ir.weights.external_weights, "LARGE_MODEL", 1000)
    for module in (graphc.ir.weights.external_weights, graphc.ir.weights.made_weights):
        monkeypatch.setattr(module, "SMALLEST_KEPT", 200)
    monkeypatch.setattr(graphc.ir.weights.made_weights, "SMALLEST", 200)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "temporary").mkdir()
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


def test_weights_inside_the_model_are_put_aside(folder: Path) -> None:
    whole = onnx.load(folder / "models" / "m.onnx")
    onnx.save_model(whole, folder / "models" / "m.onnx")
    with scratch_of_its_own():
        light = read_model(folder / "models" / "m.onnx")
        assert {t.name for t in light.graph.initializer if is_kept(t)} == {"w", "v"}
        assert len(left_in(folder)) == 1
        assert loaded(light).graph.initializer[0].raw_data == whole.graph.initializer[0].raw_data
    assert not left_in(folder)


def test_a_weight_in_a_file_is_read_only_and_not_written_again(folder: Path) -> None:
    with scratch_of_its_own():
        graph = import_model(read_model(folder / "models" / "m.onnx"))
        weight = graph.tensors()["v"]
        assert isinstance(weight, Constant)
        assert isinstance(weight.values, KeptArray)
        with pytest.raises(ValueError, match="read-only"):
            weight.values[0, 0] = 1
        again = keep(weight.values)
        assert not left_in(folder)
        np.testing.assert_array_equal(again.load(), weight.values)
        twice = keep(weight.values * 2)
        assert len(left_in(folder)) == 1
        np.testing.assert_array_equal(twice.load(), weight.values * 2)


def test_what_a_pass_makes_of_weights_is_put_aside_at_export(folder: Path) -> None:
    model = read_model(folder / "models" / "m.onnx")
    graph = import_model(model)
    weight = graph.tensors()["v"]
    assert isinstance(weight, Constant)
    weight.values = np.asarray(weight.values) * 2
    with scratch_of_its_own():
        made = export_model(graph, model)
        assert {t.name for t in made.graph.initializer if is_kept(t)} == {"w", "v"}
        x = {"x": random(1, 2, 9)}
        np.testing.assert_array_equal(Session(made).run(x)["y"], Session(loaded(made)).run(x)["y"])


def test_weights_made_of_weights_are_worked_out_once(folder: Path) -> None:
    body = "t = Transpose <perm=[1,0]> (v) d = Add (t, t) m = MatMul (x, d) k = Reshape (d, s) y = Add (m, b)"
    model = weights(model_of(body), v=random(32, 9), b=random(32), s=np.array([-1]))
    path = folder / "models" / "made.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="made.data", size_threshold=100)
    whole = onnx.load(path)
    known: dict[bytes, np.ndarray] = {}
    with scratch_of_its_own():
        light = read_model(path)
        made = with_made_weights(light, known)
        assert [n.op_type for n in made.graph.node if n.op_type in ("Transpose", "Add")] == ["Add"]
        assert "v" not in {t.name for t in made.graph.initializer}
        x = {"x": random(1, 2, 9)}
        np.testing.assert_array_equal(Session(made).run(x)["y"], Session(whole).run(x)["y"])
        before = {key: id(value) for key, value in known.items()}
        with_made_weights(light, known)
        assert {key: id(value) for key, value in known.items()} == before


def test_tools_are_given_weights_as_inputs(folder: Path) -> None:
    model = read_model(folder / "models" / "m.onnx")
    fed, kept = weights_as_inputs(model)
    assert [p.name for p in fed.graph.input] == ["x", "w", "v"]
    assert [t.name for t in fed.graph.initializer] == ["b"]
    x = {"x": random(1, 2, 9)}
    np.testing.assert_array_equal(
        Session(with_weights_put_back(fed, kept)).run(x)["y"], Session(loaded(model)).run(x)["y"]
    )


def left_in(folder: Path) -> list[Path]:
    return list((folder / "temporary").glob(f"{PREFIX}*"))


def test_a_full_disk_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "none"))
    with scratch_of_its_own(), pytest.raises(OutputError, match="weights cannot be put on disk"):
        keep(np.zeros(400))


def test_what_dead_processes_left_is_removed(folder: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for number in (ended.pid, os.getpid(), 1):
        (folder / "temporary" / f"{PREFIX}{number}-x").write_bytes(b"weights")
    mine = new_scratch()
    assert {p.name for p in left_in(folder)} == {f"{PREFIX}{os.getpid()}-x", f"{PREFIX}1-x", mine.name}
    remove_left_behind()
    assert mine.exists()


@pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_of_a_command(folder: Path, how: signal.Signals | None) -> None:
    code = (
        "import os, sys, signal, numpy as np\n"
        "import graphc.cli.main as command\n"
        "from graphc.ir.weights.weight_files import keep\n"
        "def run(limit):\n"
        "    keep(np.zeros(400))\n"
        f"    {'os.kill(os.getpid(), signal.' + how.name + ')' if how else 'pass'}\n"
        "    raise SystemExit(0)\n"
        "command.run = run\n"
        "from graphc.cli.child_process import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert (done.returncode == 0) == (how is None), done.stderr
    assert not left_in(folder)


def test_every_pass_takes_a_large_model(folder: Path) -> None:
    report = graphc.compile(folder / "spec.yaml").data
    assert report["passes"][3]["max_abs"] <= 1e-5
    written = onnx.load(folder / "out" / "m.onnx", load_external_data=False)
    assert not any(t.external_data for t in written.graph.initializer)
    x = random(1, 2, 13)
    want = Session(onnx.load(folder / "models" / "m.onnx")).run({"x": x})["y"]
    got = graphc.StreamSession(folder / "out" / "m.onnx").run(x)["y"]
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()


@pytest.mark.nightly
def test_changed_weights_in_another_file_are_noticed(folder: Path) -> None:
    assert not graphc.compile(folder / "spec.yaml").up_to_date
    assert graphc.compile(folder / "spec.yaml").up_to_date
    data = folder / "models" / "m.data"
    data.write_bytes(np.full(data.stat().st_size // 4, 0.25, np.float32).tobytes())
    assert not graphc.compile(folder / "spec.yaml").up_to_date


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
