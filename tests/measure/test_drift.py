"""Long streams: the test of a trend, what a drift says, resets, and budgets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import graphc as command
from conftest import ROOT
from transforming import model_of, random

import graphc
from graphc import GraphcError, ValidationError
from graphc.api import Model, Pass, PassConfig, PassContext, PassResult, ToleranceSpec
from graphc.measure.drift_result import sparkline
from graphc.measure.trend import trend_of

TAGGER = ROOT / "examples" / "models" / "lstm_tagger.torchscript.onnx"


def test_a_trend_is_told_from_noise() -> None:
    rng = np.random.default_rng(0)
    noise = np.exp(rng.standard_normal(300) * 0.3)
    assert trend_of(list(noise), 100.0).verdict == "bounded"
    growing = trend_of(list(noise * np.linspace(1, 4, 300)), 100.0)
    assert growing.verdict == "growing"
    assert 3 < growing.rise_db < 7
    assert growing.p < 0.01
    assert trend_of(list(noise * np.exp(np.linspace(0, 9, 300))), 100.0).verdict == "diverging"
    assert trend_of([1.0] * 50 + [float("nan")] * 50, 100.0).verdict == "diverging"
    assert trend_of(list(noise * np.linspace(4, 1, 300)), 100.0).verdict == "bounded", "it falls"
    warm = np.concatenate([np.full(25, 1e-6), noise])
    assert trend_of(list(warm), 100.0).verdict == "bounded", "warm-up is left out"
    assert trend_of([0.0] * 100, 1.0).verdict == "bounded"
    false = sum(
        trend_of(list(np.exp(np.random.default_rng(s).standard_normal(300))), 1e9).verdict != "bounded"
        for s in range(200)
    )
    assert false <= 5, "of 200 random ones, p < 0.01 lets two by"


def test_levels_as_a_line() -> None:
    assert sparkline([0.0, 5.0, 10.0]) == "▁▄█"
    assert len(sparkline(list(range(500)))) == 60


def spec_of(folder: Path, model: Path, stream: str, passes: str, more: str = "") -> Path:
    path = folder / "spec.yaml"
    path.write_text(f"version: 1\nmodel: {model}\noutput: out.onnx\nstream: {stream}\npasses: {passes}\n{more}\n")
    return path


def test_a_bounded_drift_is_in_the_report_and_the_page(tmp_path: Path) -> None:
    spec = spec_of(
        tmp_path,
        TAGGER,
        "{chunk: 5, frame_ms: 10}",
        "[lift_state, quantize]",
        "validate: {drift: {minutes: 0.5}}\nbudget: {drift: bounded, snr_db: 40}",
    )
    report = graphc.compile(spec)
    drift = report.data["drift"]
    assert drift["verdict"] == "bounded"
    assert drift["minutes"] == pytest.approx(0.5)
    assert len(drift["outputs"]["log_probs"]["error_db"]) == 30
    assert drift["outputs"]["log_probs"]["snr_db"] > 40
    assert "level of the error over time" in (tmp_path / "out.report.html").read_text()
    done = command("validate", str(spec), "--minutes", "0.3")
    assert "0.3 minutes of random frames: the error is bounded" in done.stdout
    assert done.returncode == 0


def leaky(folder: Path) -> Path:
    """A recurrence that forgets nothing: its rounding adds up for ever. [1, T, 4] to [1, T, 4]."""
    body = """
        xt = Transpose <perm=[1,0,2]> (x)
        r, last = RNN <hidden_size=4, activations=["Affine"], activation_alpha=[1.0], activation_beta=[0.0]> (xt, w, rw)
        s = Squeeze (r, at) y = Transpose <perm=[1,0,2]> (s)
    """
    model = model_of(body, "float[1,T,4] x", w=random(1, 4, 4), rw=np.eye(4, dtype=np.float32)[None], at=np.array([1]))
    path = folder / "leaky.onnx"
    onnx.save(model, path)
    return path


def test_an_error_that_grows_names_its_state_and_tries_resets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(
        tmp_path,
        leaky(tmp_path),
        "{chunk: 4, frame_ms: 10, inputs: {x: {axis: 1}}}",
        "[lift_state, shift]",
        "validate: {drift: {minutes: 2}}",
    )
    with_pass(monkeypatch, Shift)
    report = graphc.compile(spec).data
    drift = report["drift"]
    assert drift["verdict"] in ("growing", "diverging")
    assert drift["first_state"].endswith("rnn_hidden_in")
    assert set(drift["resets"]) == {"10 s", "30 s", "silence"}
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert manifest["reset_s"] == drift["reset_s"]
    budgeted = spec.read_text() + "\nbudget: {drift: bounded}\n"
    spec.write_text(budgeted)
    with pytest.raises(ValidationError, match=r"the budget is missed: drift: [\d.e+]+ of 0 .*reset interval"):
        graphc.compile(spec)


class Shift(Pass[PassConfig]):
    """Makes the input weights of a recurrence a little larger: an error that adds up."""

    name = "shift"
    tolerance = ToleranceSpec(snr_db=10.0)

    def run(self, model: Model, config: PassConfig, context: PassContext) -> PassResult:
        node = next(n for n in model.graph.nodes if n.op == "RNN")
        node.inputs[2].values = node.inputs[2].values * np.float32(1.0005)
        return PassResult(model)


def with_pass(monkeypatch: pytest.MonkeyPatch, cls: type[Pass[Any]]) -> None:
    """The built-in passes and one more."""
    from graphc.build import compiler
    from graphc.passes.registry import Registered, Registry, registry_of

    def loaded(*wanted: Any) -> Registry:
        registry = registry_of(*wanted)
        registry.passes[cls.name] = Registered(cls, "the tests")
        return registry

    monkeypatch.setattr(compiler, "registry_of", loaded)


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ("{size_mb: 0.001}", r"size_mb: 0\.\d+ of 0\.001 .*quantize: \{mode: weight_only\} would bring it to about"),
        ("{size_mb: 0.2}", r"size_mb: .*convert_float: \{to: float16\} would bring it to about 0\.1\d+ MB"),
        ("{latency_ms: {p50: 1.0e-6, p99: 1.0e-6}}", r"latency_ms\.p50: .*; latency_ms\.p99: .*add fuse"),
        ("{rtf: 1.0e-9}", r"rtf: .*add fuse, with target: onnxruntime"),
    ],
)
def test_a_missed_budget_says_by_how_much_and_what_is_nearest(tmp_path: Path, budget: str, message: str) -> None:
    spec = spec_of(tmp_path, TAGGER, "{chunk: 5, frame_ms: 10}", "[lift_state]", f"budget: {budget}")
    with pytest.raises(ValidationError, match=message):
        graphc.compile(spec)
    assert not (tmp_path / "out.onnx").exists()


def test_the_ratio_of_the_last_pass_counts(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, TAGGER, "{chunk: 5}", "[lift_state, quantize]", "budget: {snr_db: 150}")
    with pytest.raises(ValidationError, match=r"snr_db: [\d.]+ of 150 .*budget: \{snr_db: 150\}\} leaves the most"):
        graphc.compile(spec)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("validate: {drift: {minutes: 1}}", r"validate\.drift needs stream\.frame_ms"),
        ("budget: {drift: bounded}", r"budget\.drift needs validate\.drift"),
        ("validate: {drift: {minute: 1}}", r"validate\.drift\.minute: unknown key; did you mean 'minutes'"),
        ("budget: {latency_ms: {p5: 1}}", r"unknown key; did you mean 'p50'"),
    ],
)
def test_drift_and_budgets_are_checked_with_the_spec(tmp_path: Path, more: str, message: str) -> None:
    spec = spec_of(tmp_path, TAGGER, "{chunk: 5}", "[lift_state]", more)
    with pytest.raises(GraphcError, match=message):
        graphc.compile(spec)


def test_what_passes_of_a_folder_made_is_validated(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "keep_all.py").write_text(
        "from graphc.api import Pass, PassConfig, PassResult, register_pass\n"
        "@register_pass\nclass KeepAll(Pass[PassConfig]):\n    name = 'keep_all'\n"
        "    def run(self, model, config, context):\n        return PassResult(model)\n"
    )
    stream = "{chunk: 5, frame_ms: 10}"
    spec = spec_of(tmp_path, TAGGER, stream, "[lift_state, keep_all]", "pass_paths: [mine]")
    allowed = ("--allow-pass-path", str(tmp_path / "mine"))
    assert command("compile", *allowed, str(spec)).returncode == 0
    done = command("validate", str(spec))
    assert done.returncode == 0, done.stderr
    assert "log_probs: equal" in done.stdout
    done = command("validate", "--minutes", "0.1", str(spec))
    assert done.returncode == 2
    assert "allow it with --allow-pass-path" in done.stderr
    done = command("validate", "--minutes", "0.1", *allowed, str(spec))
    assert done.returncode == 0, done.stderr


def test_recordings_are_played_over_and_over(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.standard_normal((1, 33, 40)).astype(np.float32))
    spec = spec_of(tmp_path, TAGGER, "{chunk: 5, frame_ms: 10}", "[lift_state, quantize]")
    graphc.compile(spec)
    done = command("validate", str(spec), "--minutes", "0.2", "--recordings", str(tmp_path / "a.npy"), "--json")
    found = json.loads(done.stdout)
    assert found["source"] == "1 recording, over and over"
    assert found["holds"]
    np.save(tmp_path / "short.npy", rng.standard_normal((1, 3, 40)).astype(np.float32))
    done = command("validate", str(spec), "--minutes", "0.2", "--recordings", str(tmp_path / "short.npy"))
    assert done.returncode == 2
    assert "a recording is shorter than a chunk of 5 frames" in done.stderr
