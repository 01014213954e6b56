"""``graphc sweep``: variants of a spec, tried once each, whatever stops the sweep."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import pytest
from commands import graphc
from conftest import ROOT
from one_error import one_line

from graphc.measure.figures import FIGURES
from graphc.spec.spec_file import load_spec
from graphc.sweeps.pareto_front import best_of, front_of
from graphc.sweeps.sweep_page import axis
from graphc.sweeps.sweep_schema import Metric, SweepSpec
from graphc.sweeps.trial import Result
from graphc.sweeps.variant import changed

pytest.importorskip("optuna", reason="a sweep needs Optuna: pip install 'graphc[sweep]'")

SPEC = """version: 1
model: MODEL
output: out/tagger.onnx
stream: {chunk: 5, frame_ms: 10, inputs: {features: {axis: 1}}}
passes: [lift_state, fuse]
"""
SWEEP = """version: 1
spec: tagger.yaml
output: out/sweep
vary:
  stream.chunk: [5, 10]
  passes.quantize: [null, {mode: weight_only}]
minimise: [size_mb]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = ROOT / "examples" / "models" / "lstm_tagger.torchscript.onnx"
    (tmp_path / "tagger.yaml").write_text(SPEC.replace("MODEL", os.path.relpath(model, tmp_path)))
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    return tmp_path


def swept(folder: Path, *more: str) -> dict[str, Any]:
    done = graphc("sweep", "--json", folder / "sweep.yaml", *more)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def times_of(folder: Path) -> dict[str, int]:
    return {p.parent.name: p.stat().st_mtime_ns for p in (folder / "out/sweep/trials").glob("*/result.json")}


def test_a_grid_is_tried_once_and_its_best_is_a_spec(folder: Path) -> None:
    found = swept(folder, "--jobs", "2")
    assert found["trials"] == 4
    assert found["best"]["changes"] == {"stream.chunk": 5, "passes.quantize": {"mode": "weight_only"}}
    assert {tuple(r["changes"]["passes.quantize"] or ()) for r in found["front"]} == {(), ("mode",)}
    before = times_of(folder)
    assert len(before) == 4
    assert swept(folder) == found, "nothing is tried twice"
    assert times_of(folder) == before
    page = (folder / "out/sweep/sweep.html").read_text()
    assert page.count("<svg") == 1
    assert page.count(">report</a>") == 4
    best = load_spec(folder / "out" / "sweep" / "best.yaml")
    assert best.model_path.samefile(load_spec(folder / "tagger.yaml").model_path)
    assert graphc("compile", folder / "out/sweep/best.yaml").returncode == 0


@pytest.mark.nightly
def test_what_is_lost_or_changed_is_tried_again(folder: Path) -> None:
    found = swept(folder)
    before = times_of(folder)
    key = found["best"]["key"]
    (folder / f"out/sweep/trials/{key}/result.json").write_text("{")
    assert {r["key"] for r in swept(folder)["front"]} == {r["key"] for r in found["front"]}
    after = times_of(folder)
    assert {k for k in after if after[k] != before.get(k)} == {key}
    (folder / "tagger.yaml").write_text(
        (folder / "tagger.yaml").read_text().replace("[lift_state, fuse]", "[lift_state]")
    )
    swept(folder)
    assert len(times_of(folder)) == 8


@pytest.mark.nightly
def test_a_killed_sweep_goes_on(folder: Path) -> None:
    command = [sys.executable, "-m", "graphc", "sweep", str(folder / "sweep.yaml")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    trials = folder / "out/sweep/trials"
    while not list(trials.glob("*/result.json")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = times_of(folder)
    assert 1 <= len(before) < 4
    assert swept(folder)["trials"] == 4
    after = times_of(folder)
    assert {k: after[k] for k in before} == before, "nothing is done twice"


@pytest.mark.nightly
def test_no_process_stays_behind_a_stopped_sweep(folder: Path) -> None:
    command = [sys.executable, "-m", "graphc", "sweep", str(folder / "sweep.yaml")]
    environment = {**os.environ, "MARK": str(folder)}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    trials = folder / "out/sweep/trials"
    while not list(trials.glob("*/spec.yaml")) or len(marked(folder)) < 3:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    end = time.monotonic() + 10
    while marked(folder):
        assert time.monotonic() < end
        time.sleep(0.05)


def marked(folder: Path) -> list[str]:
    """The processes that a test started, and those that these did."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"MARK={folder}\0".encode() in (process / "environ").read_bytes():
                found.append(process.name)
    return found


def test_a_variant_that_cannot_be_is_a_result(folder: Path) -> None:
    text = SWEEP.replace("[5, 10]", "[5]").replace(
        "{mode: weight_only}", "{weights: int4}, {mode: dynamic, ops: [Foo]}"
    )
    (folder / "sweep.yaml").write_text(text)
    found = swept(folder)
    assert found["trials"] == 3
    record = json.loads((folder / "out/sweep/sweep.json").read_text())
    assert sorted(r["state"] for r in record["results"]) == ["done", "refused", "refused"]
    assert "int4 goes with mode: weight_only" in next(r["reason"] for r in record["results"] if "int4" in r["reason"])


@pytest.mark.nightly
def test_the_budget_decides(folder: Path) -> None:
    spec = folder / "tagger.yaml"
    (folder / "sweep.yaml").write_text(SWEEP.replace("[5, 10]", "[5]"))
    spec.write_text(spec.read_text() + "budget: {size_mb: 0.1}\n")
    found = swept(folder)
    assert {r["changes"]["passes.quantize"]["mode"] for r in found["front"]} == {"weight_only"}
    spec.write_text(spec.read_text().replace("0.1", "0.001"))
    done = graphc("sweep", folder / "sweep.yaml")
    assert done.returncode == 1
    assert "none of the 2 variants compiled within the budget" in one_line(done)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tagger.yaml", "none.yaml", "the spec cannot be read"),
        (
            "stream.chunk",
            "stream.chunks",
            "vary.stream.chunks: the spec does not accept it: stream.chunks: unknown key; did you mean 'chunk'?",
        ),
        ("[5, 10]", "[]", "the list is empty"),
        ("[5, 10]", "{low: 2, high: 8}", "is a range, not a grid"),
        ("[5, 10]", "{low: 8, high: 2}", "low must be smaller than high"),
        ("passes.quantize", "passes.quantize.mode", "the spec has no 'quantize' among its passes"),
        ("[size_mb]", "[size]", "'size' is not known; known: latency_ms"),
        ("minimise: [size_mb]", "search: {sampler: tpe}", "the samplers random, tpe and nsga2 need trials"),
        ("minimise: [size_mb]", "minimize: [size_mb]", "unknown key; did you mean 'minimise'"),
        ("minimise: [size_mb]", "storage: nothing", "Optuna cannot use it"),
    ],
)
def test_mistakes_are_said_with_their_line(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "sweep.yaml").write_text(SWEEP.replace(old, new))
    done = graphc("sweep", folder / "sweep.yaml")
    assert done.returncode == 2
    assert message in one_line(done)


def test_optuna_is_asked_for(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "hidden" / "optuna").mkdir(parents=True)
    (folder / "hidden" / "optuna" / "__init__.py").write_text("raise ImportError")
    code = f"import sys; sys.path.insert(0, {str(folder / 'hidden')!r}); from graphc.cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "sweep", str(folder / "sweep.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "a sweep needs Optuna, which is not installed; pip install 'graphc[sweep]'" in done.stderr


def test_places_in_a_spec(folder: Path) -> None:
    base = load_spec(folder / "tagger.yaml")
    made = changed(base, {"passes.quantize.mode": "static", "passes.quantize": {"mode": "dynamic"}, "stream.chunk": 8})
    assert made["passes"] == ["lift_state", "fuse", {"quantize": {"mode": "static"}}]
    assert made["stream"]["chunk"] == 8
    assert changed(base, {"passes.fuse": None})["passes"] == ["lift_state"]
    assert changed(base, {"passes.fuse.leave_out": ["gelu"]})["passes"][1] == {"fuse": {"leave_out": ["gelu"]}}
    assert changed(base, {"target": "onnxruntime"})["target"] == "onnxruntime"
    assert changed(base, {"targets.openvino": {}})["targets"] == ["openvino"]
    assert base.source.data["stream"]["chunk"] == 5, "the base stays as it is"


def test_every_figure_may_be_wanted() -> None:
    assert set(get_args(Metric)) == set(FIGURES)


def result(key: str, missed: list[str] | None = None, **metrics: float) -> Result:
    return Result(key, {}, "done", "", metrics, missed or [])


def test_the_front() -> None:
    sweep = SweepSpec.model_validate(
        {"version": 1, "spec": "s", "output": "o", "vary": {"a": [1]}, "minimise": ["size_mb"], "maximise": ["snr_db"]}
    )
    small, exact = result("small", size_mb=1, snr_db=20), result("exact", size_mb=4, snr_db=90)
    beaten, over = result("beaten", size_mb=4, snr_db=20), result("over", ["size"], size_mb=0.1, snr_db=99)
    blind, same = result("blind", size_mb=9), result("same", size_mb=1, snr_db=20)
    failed = Result("failed", {}, "failed", "crashed")
    front = front_of([exact, beaten, over, small, blind, same, failed], sweep)
    assert [r.key for r in front] == ["small", "same", "exact"]
    assert best_of(front, sweep) == small
    assert best_of([], sweep) is None


@pytest.mark.parametrize("values", [[], [3.0], [0.0, 0.0], [-1.0, 1e-3], [1.0, 1e6], [0.1, 0.1 + 1e-12]])
def test_axes_hold_their_values(values: list[float]) -> None:
    ticks = axis(values)
    assert 2 <= len(ticks) <= 8
    assert all(ticks[0] <= v <= ticks[-1] for v in values)
    assert ticks[0] >= 0 or min(values) <= 0, "what is positive has no axis below zero"


@pytest.mark.nightly
def test_a_dask_cluster(folder: Path, dask_address: str) -> None:
    found = swept(folder, "--dask", dask_address)
    assert found["trials"] == 4


@pytest.mark.nightly
def test_no_dask_cluster(folder: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is an extra: pip install 'graphc[dask]'")
    done = graphc("sweep", folder / "sweep.yaml", "--dask", "tcp://127.0.0.1:9")
    assert done.returncode == 2
    assert "no Dask scheduler answers" in done.stderr
