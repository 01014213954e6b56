"""Targets that are looked up in their makers' documents: what does not run there is told, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc as command
from conftest import ROOT

import graphc
from graphc.targets.by_rules import TargetByRules, nodes_of
from graphc.targets.registry import all_targets
from graphc_runtime.errors import TargetError

MODELS = ROOT / "examples" / "models"


def spec_of(folder: Path, name: str) -> Path:
    spec = folder / "spec.yaml"
    spec.write_text(
        f"version: 1\nmodel: {MODELS / name}.onnx\noutput: out.onnx\nstream: {{chunk: 16}}\n"
        "passes: [lift_state, fold_constants, simplify, fuse]\ntargets: [tensorrt, cuda, qnn]\n"
    )
    return spec


def findings(target: str, text: str) -> list[str]:
    device = all_targets()[target]
    assert isinstance(device, TargetByRules)
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20, "com.microsoft" : 1]> {text}')
    return [f"{f.node}: {f.reason}" for node in nodes_of(model) for f in device.findings(node)]


def test_a_node_that_the_documents_lack_is_told_and_the_model_is_written(tmp_path: Path) -> None:
    done = command("compile", "-v", spec_of(tmp_path, "crnn.torchscript"))
    assert done.returncode == 0
    assert "qnn does not take 1 node: /gru/GRU" in done.stderr
    assert "target tensorrt: TensorRT by its documents, not run: it takes every node" in done.stdout
    report = json.loads((tmp_path / "out.report.json").read_text())
    assert [f["node"].split()[-1] for f in report["targets"]["qnn"]["findings"]] == ["(GRU)"]
    assert report["targets"]["cuda"]["findings"] == []
    assert "onnxruntime-qnn" in report["targets"]["qnn"]["source"]
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    assert manifest["targets"]["qnn"]["ran"] is False
    assert "checked by its documents" in (tmp_path / "out.report.html").read_text()
    with pytest.raises(TargetError, match="does not run here"):
        graphc.StreamSession(tmp_path / "out.manifest.json", target="qnn")


@pytest.mark.parametrize(
    ("target", "text", "said"),
    [
        ("tensorrt", "g (double[2] x) => (double[2] y) { y = Sigmoid (x) }", "the runtime runs it in float32, float16"),
        ("tensorrt", "g (float[2,3] x) => (float[2,3] y) { y = com.microsoft.QuickGelu (x) }", "com.microsoft"),
        (
            "tensorrt",
            "g (float[1,1,8] x) => (float[1,1,4] y) { y = MaxPool <kernel_shape = [3], dilations = [2]> (x) }",
            "pools with dilation are not supported",
        ),
        (
            "cuda",
            "g (bool[2] x, bool[2] z) => (bool[2] y) { y = BitwiseAnd (x, z) }",
            "the runtime does not have this op",
        ),
        ("qnn", "g (float[2,3] x) => (float[2,3] y) { y = LpNormalization <p = 1> (x) }", "p must be 2"),
        ("qnn", "g (float[2,3] x) => (float[2,3] y) { y = Erf (x) }", "the runtime does not have this op"),
    ],
)
def test_a_rule_names_the_node_and_the_reason(target: str, text: str, said: str) -> None:
    (found,) = findings(target, text)
    assert said in found
    assert found.startswith("y (")


@pytest.mark.parametrize("target", ["tensorrt", "cuda", "qnn"])
def test_what_the_documents_have_is_taken(target: str) -> None:
    assert findings(target, "g (float[2,3] x) => (float[2,3] y) { a = Sigmoid (x) y = Mul (x, a) }") == []


def test_the_types_of_an_op_follow_the_opset() -> None:
    device = all_targets()["cuda"]
    assert isinstance(device, TargetByRules)
    entry = device.document["ops"]["Conv"]
    assert "bfloat16" in (device.types_of(entry, 22) or ())
    assert "bfloat16" not in (device.types_of(entry, 21) or ())
    assert np.dtype(np.float32).name in (device.types_of(entry, 11) or ())
