"""``graphc publish``: compiled models in MLflow and Weights & Biases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import graphc
from learned_start import learned_start
from one_error import one_line

from graphc.tracking.run_record import run_record
from graphc_runtime.session import StreamSession

Project = Callable[..., Path]
MORE = "stream: {chunk: 4, frame_ms: 10, inputs: {x: {axis: 2}}}"


@pytest.fixture
def output(project: Project) -> Path:
    spec = project(learned_start())
    done = graphc("compile", spec)
    assert done.returncode == 0, done.stderr
    return spec.parent / "out" / "model.stream.onnx"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("mlflow", reason="mlflow is large: pip install 'graphc[mlflow]'")
    folder = tmp_path_factory.mktemp("mlflow")
    address = f"http://127.0.0.1:{20_000 + os.getpid() % 20_000}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", "sqlite:///runs.db", "--workers", "1"]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1", "--port", address[17:]]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=1)
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.2)
        yield address
    finally:
        process.terminate()
        process.wait()


def test_a_record_has_what_the_report_has(output: Path, tmp_path: Path) -> None:
    script = tmp_path / "export.py"
    script.write_text("print()")
    record = run_record(output, [script])
    report = json.loads(output.with_suffix(".report.json").read_text())
    assert record.name == "model.stream"
    assert record.params["passes"] == json.dumps([p["name"] for p in report["passes"]])
    assert record.params["source.sha256"] == record.lineage["export"] == report["fingerprint"]["model"]
    assert record.metrics["latency_ms"] == report["latency"]["p50_ms"]
    assert all(np.isfinite(list(record.metrics.values())))
    assert [name for name, _ in record.steps] == [p["name"] for p in report["passes"]]
    assert {p.name for p in record.served} == {
        "model.stream.onnx",
        "model.stream.manifest.json",
        "model.stream.init.npz",
    }
    assert {p.name for p in record.artifacts["compiled"]} == {*report["outputs"], "model.stream.report.json"}
    assert {p.name for p in record.artifacts["made_from"]} == {"export.py", "spec.yaml"}
    assert set(record.lineage) == {"export", "spec", "export.py", *report["outputs"]}


def test_what_cannot_be_published(output: Path, tmp_path: Path) -> None:
    done = graphc("publish", output, "--file", tmp_path / "none.py")
    assert done.returncode == 2
    assert "there is no such file" in one_line(done)
    with output.open("ab") as file:
        file.write(b"x")
    done = graphc("publish", output)
    assert done.returncode == 2
    assert "compile it again" in one_line(done)
    done = graphc("publish", tmp_path / "none.onnx")
    assert done.returncode == 2
    one_line(done)
    done = graphc("publish", output, "--to", "wandb", "--address", "http://127.0.0.1")
    assert done.returncode == 2
    assert "--address only applies to MLflow" in one_line(done)


def test_a_server_that_does_not_answer(output: Path) -> None:
    pytest.importorskip("mlflow", reason="mlflow is large: pip install 'graphc[mlflow]'")
    done = graphc("publish", output, "--address", "http://127.0.0.1:9")
    assert done.returncode == 2
    assert "http://127.0.0.1:9: MLflow did not accept the run" in one_line(done)


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed(output: Path, tmp_path: Path, package: str) -> None:
    (tmp_path / "hidden" / package).mkdir(parents=True)
    (tmp_path / "hidden" / package / "__init__.py").write_text("raise ImportError")
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'hidden')!r}); from graphc.cli.main import run; run()"
    command = [sys.executable, "-c", code, "publish", str(output), "--to", package]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"is not installed; pip install 'graphc[{package}]'" in done.stderr


@pytest.mark.xdist_group("mlflow")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_registered_model_streams(output: Path, server: str) -> None:
    import mlflow

    for version in ("1", "2"):
        done = graphc("publish", output, "--address", server, "--register", "net", "--json")
        assert done.returncode == 0, done.stderr
        assert not done.stderr
        told = json.loads(done.stdout)
        assert told["version"] == version
    client = mlflow.MlflowClient(server)
    run = client.get_run(told["run"])
    report = json.loads(output.with_suffix(".report.json").read_text())
    assert run.data.params["source.sha256"] == report["fingerprint"]["model"]
    assert run.data.metrics["latency_ms"] == report["latency"]["p50_ms"]
    assert run.data.tags["graphc.sha256.model.stream.onnx"] == report["outputs"]["model.stream.onnx"]
    assert {a.path for a in client.list_artifacts(told["run"])} == {"compiled", "made_from"}
    mlflow.set_tracking_uri(server)
    model = mlflow.pyfunc.load_model("models:/net/2")
    session = StreamSession(output)
    (port,) = session.manifest.inputs
    shape = [1 if not isinstance(d, int) else d for d in port.shape]
    shape[port.axis or 0] = 13
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    want = session.run({port.name: x})
    parts = [np.take(x, range(start, min(start + 5, 13)), port.axis or 0) for start in range(0, 13, 5)]
    for stream in ("a", "b"):
        found: list[dict[str, Any]] = []
        for number, part in enumerate(parts):
            params = {"stream": stream, "end": number == len(parts) - 1}
            found.append(model.predict({port.name: part}, params))
            if stream == "a" and number == 0:
                model.predict({port.name: part * 2}, {"stream": "other", "end": False})
        for out in session.manifest.outputs:
            got = np.concatenate([f[out.name] for f in found], axis=out.axis or 0)
            np.testing.assert_array_equal(got, want[out.name])
    for name, value in model.predict({port.name: x}).items():
        np.testing.assert_array_equal(value, want[name])


def test_a_run_of_wandb(output: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="wandb is large: pip install 'graphc[wandb]'")
    environment = {**os.environ, "WANDB_MODE": "offline"}
    done = graphc("publish", output, "--to", "wandb", cwd=tmp_path, environment=environment)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "wandb").glob("offline-run-*")
    assert next(folder.glob("*.wandb")).stat().st_size > 0
    assert done.stdout.startswith("model.stream.onnx: run ")
