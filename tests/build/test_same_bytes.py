"""One spec, one model, one set of versions: the same bytes, whatever the hash seed, the threads, the cores, the folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from conftest import ROOT

MODELS = ROOT / "examples" / "models"
SPECS = {
    "attention": ("conformer.dynamo.onnx", "{chunk: 16, frame_ms: 10}", "simplify"),
    "static": (
        "rnnt_encoder.torchscript.onnx",
        "{chunk: 32, frame_ms: 10}",
        "quantize: {mode: static, states: int8, calibration: {sequences: 6, frames: [1, 90]}, tolerance: {snr_db: 5}}",
    ),
    "searched": (
        "lstm_tagger.torchscript.onnx",
        "{chunk: 5, frame_ms: 10}",
        "quantize: {mode: weight_only, budget: {snr_db: 60, sequences: 2}, calibration: {sequences: 4, frames: [1, 40]}}",
    ),
    "calibrated": (
        "conformer.dynamo.onnx",
        "{chunk: 16, frame_ms: 10}",
        "quantize: {mode: weight_only, weights: int4, block: 32, rounding: calibrated, "
        "calibration: {sequences: 6, frames: [10, 90]}, tolerance: {snr_db: 5}}",
    ),
}
ONE, MANY = ({"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": n} for n in ("1", "7"))
CIRCUMSTANCES = {
    "another hash seed, many threads, another language": {
        "PYTHONHASHSEED": "1",
        **MANY,
        "LC_ALL": "C",
        "TZ": "Asia/Tokyo",
    },
    "a random hash seed, one thread": {"PYTHONHASHSEED": "random", **ONE},
}


def compiled(folder: Path, name: str, environment: dict[str, str], cores: int | None = None) -> dict[str, bytes]:
    model, stream, last = SPECS[name]
    folder.mkdir()
    shutil.copy(MODELS / model, folder / "model.onnx")
    (folder / "spec.yaml").write_text(
        f"version: 1\nmodel: model.onnx\noutput: out/model.onnx\nstream: {stream}\n"
        f"passes: [lift_state, fold_constants, fuse, {last}]\ntarget: {'onnxruntime' if 'block' in last else 'onnx'}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "graphc", "compile", str(folder / "spec.yaml")],
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
        preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, set(range(cores))),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = [p for p in sorted((folder / "out").iterdir()) if ".report." not in p.name]
    return {p.name: p.read_bytes() for p in files}


@pytest.mark.parametrize(
    "name", ["attention", *(pytest.param(n, marks=pytest.mark.nightly) for n in ("static", "searched", "calibrated"))]
)
def test_the_same_bytes(name: str, tmp_path: Path) -> None:
    first = compiled(tmp_path / "first", name, {})
    for index, (said, environment) in enumerate(CIRCUMSTANCES.items()):
        assert compiled(tmp_path / f"another folder {index}", name, environment) == first, said
    assert compiled(tmp_path / "one core", name, {"PYTHONHASHSEED": "2"}, cores=1) == first, "one core"
    report = json.loads((tmp_path / "first" / "out" / "model.report.json").read_text())
    held = {p.key: p.value for p in onnx.load(tmp_path / "first" / "out" / "model.onnx").metadata_props}
    made = json.loads(held["graphc.provenance"])
    assert made["spec_sha256"] == report["fingerprint"]["spec"]
    assert made["model_sha256"] == report["fingerprint"]["model"]
    assert [p["name"] for p in made["passes"]] == [p["name"] for p in report["passes"]]
    assert all("options" in p for p in made["passes"])
    assert made["versions"] == report["versions"]
