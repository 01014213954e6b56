"""Models with custom ops: their native code runs where the command line allows it, and nowhere else."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from commands import graphc
from lifting import model_of, random, weights
from one_error import one_line

SPEC = """\
version: 1
model: model.onnx
output: out/model.onnx
stream: {chunk: 4, inputs: {x: {axis: 2}}}
passes: [lift_state, fold_constants, fuse, simplify]
pass_paths: [mine]
"""
RULE = """\
from graphc.api import frame_by_frame, stream_rule

stream_rule("ai.onnx.contrib::NegPos")(frame_by_frame)
"""
CLIENT = """\
import sys
import numpy as np
import graphc

graphc.load_op_library(sys.argv[1])
print(graphc.StreamSession(sys.argv[2]).run({"x": np.ones((1, 2, 9), np.float32)})["y"].shape)
"""


@pytest.fixture
def library() -> Path:
    """onnxruntime-extensions, whose ops nobody but its own library knows."""
    found = importlib.util.find_spec("onnxruntime_extensions")
    assert found is not None
    assert found.origin is not None
    return next(Path(found.origin).parent.glob("*.so"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    body = "c = Conv <pads=[1,1]> (x, w) p, n = ai.onnx.contrib.NegPos (c) y = Sub (p, n)"
    model = weights(model_of(body), w=random(2, 2, 3))
    model.opset_import.add(domain="ai.onnx.contrib", version=1)
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rules.py").write_text(RULE)
    return tmp_path


def test_a_library_of_ops_is_loaded_where_it_is_allowed(folder: Path, library: Path) -> None:
    allow = ("--allow-pass-path", "mine")
    said = one_line(graphc("compile", *allow, "spec.yaml", cwd=folder))
    assert "NegPos(-1) is not a registered function/op" in said
    assert "load the library of its custom ops: --op-library FILE, or graphc.load_op_library" in said
    assert not (folder / "out").exists()
    here = folder / "ops.so"
    shutil.copy(library, here)
    done = graphc("compile", "--op-library", "ops.so", *allow, "--depfile", "model.d", "spec.yaml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ops.so" in (folder / "model.d").read_text()
    report = json.loads((folder / "out" / "model.report.json").read_text())
    assert [d["holds"] for p in report["passes"] for d in p["against_offline"]] == [True] * 4
    assert list(report["fingerprint"]["reads"]) == ["ops.so"]
    for command in ("validate", "bench"):
        assert "--op-library" in one_line(graphc(command, "spec.yaml", cwd=folder))
        assert graphc(command, "--op-library", "ops.so", "spec.yaml", cwd=folder).returncode == 0
    with here.open("ab") as file:
        file.write(b"another")
    assert "ops.so changed since" in graphc("verify", "out/model.onnx", cwd=folder).stdout


def test_a_client_loads_it_too(folder: Path, library: Path) -> None:
    options = ("--op-library", library, "--allow-pass-path", "mine")
    assert graphc("compile", *options, "spec.yaml", cwd=folder).returncode == 0
    command = [sys.executable, "-c", CLIENT, str(library), "out/model.onnx"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 2, 9)\n"


def test_what_is_no_library_is_named(folder: Path) -> None:
    said = one_line(graphc("inspect", "--op-library", "model.onnx", "model.onnx", cwd=folder))
    assert "model.onnx: onnxruntime cannot load this library of custom ops" in said
    said = one_line(graphc("inspect", "--op-library", "no.so", "model.onnx", cwd=folder))
    assert said == "graphc: error: no.so: there is no such library of custom ops"
