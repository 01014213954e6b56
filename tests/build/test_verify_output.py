"""``graphc verify``: outputs against their own record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc
from conftest import SPEC
from learned_start import learned_start
from one_error import one_line

from graphc.build.sbom import components
from graphc_runtime.errors import ModelError
from graphc_runtime.session import StreamSession

Project = Callable[..., Path]


@pytest.fixture
def output(project: Project) -> Path:
    spec = project(learned_start())
    assert graphc("compile", spec).returncode == 0
    return spec.parent / "out" / "model.stream.onnx"


def test_what_was_written_holds(output: Path) -> None:
    for name in (output, output.with_suffix(".manifest.json"), output.with_suffix(".report.html")):
        done = graphc("verify", name)
        assert done.returncode == 0, done.stderr
        assert done.stdout == "model.stream: every file is as written, and the model holds its manifest\n"


@pytest.mark.parametrize("suffix", [".onnx", ".manifest.json", ".init.npz", ".report.html"])
def test_a_changed_or_lost_file_is_named(output: Path, suffix: str) -> None:
    path = output.with_suffix(suffix)
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    done = graphc("verify", output)
    assert done.returncode == 1
    assert f"model.stream{suffix} is not the file that was written" in done.stdout
    path.unlink()
    done = graphc("verify", output)
    assert done.returncode == 1
    assert f"model.stream{suffix} cannot be read" in done.stdout


def test_files_of_two_compilations_contradict_each_other(output: Path) -> None:
    report = json.loads(output.with_suffix(".report.json").read_text())
    report["fingerprint"]["spec"] = "0" * 64
    output.with_suffix(".report.json").write_text(json.dumps(report))
    done = graphc("verify", "--json", output)
    assert done.returncode == 1
    assert json.loads(done.stdout)["broken"] == [
        "model.stream.onnx does not name the report's spec and model as its source"
    ]


def test_what_changed_since_is_said(output: Path) -> None:
    folder = output.parent.parent
    (folder / "spec.yaml").write_text(SPEC.replace("chunk: 4", "chunk: 8"))
    model = onnx.load(folder / "model.onnx")
    model.doc_string = "another"
    onnx.save(model, folder / "model.onnx")
    done = graphc("verify", output)
    assert done.returncode == 0
    assert "model.stream: the spec spec.yaml changed since\n" in done.stdout
    assert "model.stream: model.onnx changed since\n" in done.stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: "{" * 100_000, "the report is not JSON"),
        (lambda r: "[]", "not a report of graphc compile"),
        (lambda r: json.dumps({**r, "outputs": []}), "not a report of graphc compile"),
    ],
)
def test_reports_that_are_none(output: Path, change: Callable[[dict[str, object]], str], says: str) -> None:
    report = output.with_suffix(".report.json")
    report.write_text(change(json.loads(report.read_text())))
    done = graphc("verify", output)
    assert done.returncode == 2
    assert says in one_line(done)


def test_a_report_names_no_file_elsewhere(output: Path) -> None:
    report = json.loads(output.with_suffix(".report.json").read_text())
    report["outputs"]["../../spec.yaml"] = "0" * 64
    output.with_suffix(".report.json").write_text(json.dumps(report))
    done = graphc("verify", output)
    assert done.returncode == 1
    assert "the report names '../../spec.yaml', which is not a file of this output" in done.stdout


def test_first_values_of_another_compilation_are_refused(output: Path) -> None:
    path = output.with_suffix(".init.npz")
    StreamSession(output)
    with np.load(path) as held:
        np.savez(path, **{name: value + 1 for name, value in held.items()})
    with pytest.raises(ModelError, match="it is not the file that was written with this model; compile again"):
        StreamSession(output)


def test_the_report_lists_what_it_was_made_with(output: Path) -> None:
    report = json.loads(output.with_suffix(".report.json").read_text())
    made_with = {c["name"]: c for c in report["components"]}
    assert made_with == {c["name"]: c for c in components()}
    assert {"graphc", "onnx", "onnxruntime", "numpy", "protobuf"} <= set(made_with)
    assert made_with["onnx"]["purl"] == f"pkg:pypi/onnx@{onnx.__version__}"
    assert made_with["onnx"]["license"] == "Apache-2.0"
    page = output.with_suffix(".report.html").read_text()
    assert made_with["onnx"]["purl"] in page
