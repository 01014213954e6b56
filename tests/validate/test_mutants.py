"""``graphc validate --mutants``: faults in a streaming model, and whether the validation sees them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc
from conftest import ROOT, SPEC, small_model

from graphc.build.validate_and_bench import mutants_of_spec
from graphc.validate.mutants import mutants_of
from graphc.validate.surgery import Parts
from graphc_runtime.session import StreamSession

Project = Callable[..., Path]
CONFORMER = ROOT / "examples" / "models" / "conformer.dynamo.onnx"
FAULTS = {
    "never carried",
    "swapped",
    "begins with ones",
    "a frame short",
    "a frame late",
    "clock +1",
    "clock -1",
    "restarts in every call",
    "tail not masked",
    "mask inverted",
    "mask always true",
    "mask never true",
    "mask shifted by +1",
    "mask shifted by -1",
    "delay +1",
    "delay -1",
    "length +1",
    "length -1",
}


@pytest.fixture(scope="module")
def conformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mutants")
    spec = folder / "spec.yaml"
    spec.write_text(
        f"version: 1\nmodel: {CONFORMER}\noutput: out.onnx\nstream: {{chunk: 16}}\npasses: [lift_state, fold_constants]\n"
    )
    assert graphc("compile", spec).returncode == 0
    return spec


@pytest.mark.nightly
def test_every_fault_of_a_conformer_is_caught_or_harmless(conformer: Path) -> None:
    found = mutants_of_spec(conformer, [], lambda what, done, total: None)
    assert found["holds"]
    assert found["counts"]["missed"] == found["counts"]["hidden"] == 0
    assert found["counts"]["caught"] > 4 * found["counts"]["harmless"]
    kinds = {m["fault"] for m in found["mutants"]}
    assert kinds | {"delay -1"} == FAULTS
    for mutant in found["mutants"]:
        assert mutant["reason"]
        if mutant["verdict"] == "harmless":
            assert "changes no output on 28 streams" in mutant["reason"]


def test_every_mutant_differs_from_the_model_in_one_thing(conformer: Path) -> None:
    session = StreamSession(conformer.parent / "out.onnx")
    compiled = session.compiled
    parts = Parts(onnx.load(conformer.parent / "out.onnx"), compiled.manifest, compiled.first)
    for mutant in mutants_of(parts):
        made = mutant.parts()
        changed = [
            made.proto != parts.proto,
            made.manifest != parts.manifest,
            any(not np.array_equal(made.first[n], parts.first[n]) for n in parts.first),
        ]
        assert sum(changed) == 1, mutant.name
        onnx.checker.check_model(made.proto)


def test_a_validation_that_is_blind_is_told_so(project: Project) -> None:
    """With one stream shorter than a chunk, and a wide tolerance, most faults go by."""
    spec = project(spec=SPEC + "validate: {sequences: 1, frames: [2, 2], tolerance: {rtol: 3.0, atol: 3.0}}\n")
    assert graphc("compile", spec).returncode == 0
    done = graphc("validate", "--mutants", "--json", spec)
    found = json.loads(done.stdout)
    assert found["counts"]["missed"] + found["counts"]["hidden"] > found["counts"]["caught"]
    assert done.returncode == (1 if found["counts"]["missed"] else 0)


def test_the_faults_of_a_small_model_are_listed(project: Project) -> None:
    spec = project(small_model())
    assert graphc("compile", spec).returncode == 0
    done = graphc("validate", "--mutants", spec)
    assert done.returncode == 0, done.stdout
    first = done.stdout.splitlines()[0]
    assert first.startswith("spec.yaml: ")
    assert " faults: " in first
    assert first.endswith(" 0 missed")
