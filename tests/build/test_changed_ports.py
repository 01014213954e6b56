"""Ports that come and go are told; passes warn; a pass of graphc's own that fails is a defect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc
from lifting import model_of, random, weights

from graphc.errors import DefectError, PassError
from graphc.op_sets.registry import op_set_named
from graphc.passes.op_census import foreign_ops
from graphc.passes.plan import PlannedPass
from graphc.passes.registry import load_registry
from graphc.passes.run_passes import failure
from graphc.spec.schema import ToleranceSpec

SPEC = "version: 1\nmodel: m.onnx\noutput: o.onnx\nstream: {{chunk: 2, inputs: {inputs}}}\npasses: [{passes}]\n"


def tagger() -> onnx.ModelProto:
    """An LSTM whose last states are outputs, one of them squeezed, beside counts of frames on both sides."""
    body = (
        "t = Transpose <perm=[2,0,1]> (x) y4, h, c = LSTM <hidden_size = 4> (t, w, r, b) s = Squeeze (y4, one) "
        "y = Transpose <perm=[1,2,0]> (s) hs = Squeeze (h, zero) n = Add (lengths, one)"
    )
    outputs = "float[1,4,T] y, float[1,4] hs, float[1,1,4] c, int64[1] n"
    model = model_of(body, "float[1,3,T] x, int64[1] lengths", outputs)
    arrays = {"w": random(1, 16, 3), "r": random(1, 16, 4), "b": random(1, 32)}
    return weights(model, one=np.array([1]), zero=np.array([0]), **arrays)


@pytest.mark.parametrize("pack", [False, True])
def test_outputs_that_became_states_and_counts_that_are_gone(tmp_path: Path, pack: bool) -> None:
    onnx.save(tagger(), tmp_path / "m.onnx")
    passes = f"{{lift_state: {{pack: {str(pack).lower()}}}}}, fuse"
    inputs = "{x: {axis: 2}, lengths: {counts: x}}"
    (tmp_path / "spec.yaml").write_text(SPEC.format(inputs=inputs, passes=passes))
    done = graphc("compile", "-v", tmp_path / "spec.yaml")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "o.manifest.json").read_text())
    ports = {state["kind"]: state["output"] for state in manifest["states"]}
    assert manifest["renamed"] == {"hs": ports["rnn_hidden"], "c": ports["rnn_cell"]}
    assert manifest["dropped"] == {"lengths": "counts frames", "n": "counts frames"}
    assert "'n' is gone: counts frames" in done.stdout
    report = json.loads((tmp_path / "o.report.json").read_text())
    assert set(report["stream"]["renamed"]) == {"hs", "c"}
    assert "Ports that changed" in (tmp_path / "o.report.html").read_text()


def test_a_quantize_that_quantizes_nothing_warns(tmp_path: Path) -> None:
    onnx.save(weights(model_of("y = Conv (x, w)"), w=random(64, 2, 3)), tmp_path / "m.onnx")
    quantize = "quantize: {mode: dynamic, tolerance: {snr_db: 20}}"
    (tmp_path / "spec.yaml").write_text(SPEC.format(inputs="{x: {axis: 2}}", passes=f"lift_state, {quantize}"))
    done = graphc("compile", tmp_path / "spec.yaml")
    assert done.returncode == 0, done.stderr
    assert "graphc: warning: spec.yaml: quantize: nothing was quantized: w of" in done.stderr
    assert "integer Conv is several times slower" in done.stderr
    assert graphc("compile", tmp_path / "spec.yaml").stderr == ""


def test_an_integer_lstm_is_for_onnxruntime_alone(tmp_path: Path) -> None:
    onnx.save(tagger(), tmp_path / "m.onnx")
    quantize = "quantize: {mode: dynamic, tolerance: {snr_db: 5}}"
    text = SPEC.format(inputs="{x: {axis: 2}, lengths: {counts: x}}", passes=f"lift_state, {quantize}")
    for target, domains in (("onnx", {""}), ("onnxruntime", {"", "com.microsoft"})):
        (tmp_path / "spec.yaml").write_text(f"{text}target: {target}\n")
        assert graphc("compile", tmp_path / "spec.yaml").returncode == 0
        assert {node.domain for node in onnx.load(tmp_path / "o.onnx").graph.node} == domains


def test_ops_of_other_domains_are_told_apart() -> None:
    body = "g = com.microsoft.Gelu (x) y = com.microsoft.Inverse (g)"
    model = model_of(body)
    known = frozenset({"com.microsoft::Inverse"})
    assert foreign_ops(model, op_set_named("onnx"), known) == ["com.microsoft::Gelu"]
    assert foreign_ops(model, op_set_named("onnxruntime"), known) == []


def test_whose_fault_a_failed_pass_is() -> None:
    registry = load_registry()
    fuse = registry["fuse"]
    own = PlannedPass(fuse(), fuse.Config(), ToleranceSpec())
    err = failure(own, "failed: KeyError: 'x'")
    assert (type(err), err.exit_code) == (DefectError, 4)
    assert "--bisect FOLDER" in str(err)
    foreign = PlannedPass(
        type("Foreign", (fuse,), {"__module__": "their_passes.fuse"})(), fuse.Config(), ToleranceSpec()
    )
    err = failure(foreign, "failed: KeyError: 'x'")
    assert (type(err), err.exit_code) == (PassError, 2)


@pytest.mark.parametrize(
    ("body", "stream", "passes"),
    [
        (
            "c = Conv (x, w) y = ReduceMean <keepdims = 0, axes = [2]> (c)",
            "window: 20, inputs: {x: {axis: 2}}",
            "lift_state",
        ),
        ("y = Conv <pads = [1, 1]> (x, w)", "inputs: {x: {axis: 2}}, states: []", "lift_state"),
    ],
)
def test_every_port_has_its_sizes(tmp_path: Path, body: str, stream: str, passes: str) -> None:
    onnx.save(weights(model_of(body), w=random(4, 2, 3)), tmp_path / "m.onnx")
    text = f"version: 1\nmodel: m.onnx\noutput: o.onnx\nstream: {{chunk: 4, {stream}}}\npasses: [{passes}]\n"
    (tmp_path / "spec.yaml").write_text(text)
    assert graphc("compile", tmp_path / "spec.yaml").returncode == 0
    graph = onnx.load(tmp_path / "o.onnx").graph
    for port in [*graph.input, *graph.output]:
        assert all(dim.dim_value > 0 for dim in port.type.tensor_type.shape.dim), port.name


@pytest.mark.parametrize(("window", "warned"), [(20, False), (10, True)])
def test_a_window_of_another_size_than_the_exported_clips_is_warned_of(
    tmp_path: Path, window: int, warned: bool
) -> None:
    model = model_of("c = Conv (x, w) y = ReduceMean <keepdims = 0, axes = [2]> (c)", "float[1,2,20] x")
    onnx.save(weights(model, w=random(4, 2, 3)), tmp_path / "m.onnx")
    stream = f"{{chunk: 4, window: {window}, inputs: {{x: {{axis: 2}}}}}}"
    text = f"version: 1\nmodel: m.onnx\noutput: o.onnx\nstream: {stream}\npasses: [lift_state]\n"
    (tmp_path / "spec.yaml").write_text(text)
    done = graphc("compile", tmp_path / "spec.yaml")
    assert done.returncode == 0
    told = "the model was exported for clips of 20 frames, but stream.window is 10"
    assert (told in done.stderr) == warned
