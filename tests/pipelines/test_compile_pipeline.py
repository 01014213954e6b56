"""Pipelines of small models: joined to one that gives what its stages give, or refused with a way out."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from commands import graphc as command
from conftest import ROOT
from one_error import one_line
from ruamel.yaml import YAML
from transforming import model_of, random

import graphc
from graphc_runtime import ModelError, Pipeline, StreamSession

PIPELINE = """
version: 1
output: out/pair
pipeline:
  stages:
    bands: {spec: bands.yaml, inputs: {x: {from: samples, scale: 0.5}}}
    word: {spec: word.yaml, inputs: {x: {from: bands.y, permutation: [0, 2, 1], offset: 1}}}
  outputs: {score: word.y}
  trigger: {score: score, threshold: 0.5, refractory_s: 0}
"""
SPEC = """
version: 1
model: %s.onnx
output: unused.onnx
stream: {chunk: %d, frame_ms: %g%s, inputs: {x: {axis: %d}}}
passes: [lift_state]
"""
BANDS = "s = Unsqueeze (x, one) y = Conv <kernel_shape=[6], strides=[2]> (s, w)"
WORD = "f = Flatten <axis=1> (x) g = Gemm (f, v) y = Sigmoid (g)"
CHUNK, WINDOW = 8, 6


@pytest.fixture
def project(tmp_path: Path) -> Path:
    bands = model_of(BANDS, "float[1,T] x", one=np.array([1]), w=random(3, 1, 6))
    word = model_of(WORD, f"float[1,{WINDOW},3] x", v=random(WINDOW * 3, 1))
    onnx.save(bands, tmp_path / "bands.onnx")
    onnx.save(word, tmp_path / "word.onnx")
    (tmp_path / "bands.yaml").write_text(SPEC % ("bands", CHUNK, 0.5, ", window: 12", 1))
    (tmp_path / "word.yaml").write_text(SPEC % ("word", 4, 1, f", window: {WINDOW}", 1))
    (tmp_path / "pair.yaml").write_text(PIPELINE)
    return tmp_path


def test_the_joined_model_gives_what_the_stages_give(project: Path) -> None:
    record = graphc.compile(project / "pair.yaml").data
    assert record["joined_max_abs"] < 1e-5
    folder = project / "out" / "pair"
    samples = np.random.default_rng(0).standard_normal((1, 203)).astype(np.float32)
    bands, word = (StreamSession(folder / f"{name}.onnx") for name in ("bands", "word"))
    joined = StreamSession(folder / "pair.onnx")
    want, got = [], []
    for at in range(0, 200, CHUNK):
        new = bands.push(samples[:, at : at + CHUNK] * np.float32(0.5))["y"]
        want.append(word.push(np.transpose(new, (0, 2, 1)) + np.float32(1))["y"])
        got.append(joined.push(samples[:, at : at + CHUNK])["score"])
    np.testing.assert_allclose(np.concatenate(got), np.concatenate(want), atol=1e-6)


def test_the_folder_is_whole(project: Path) -> None:
    graphc.compile(project / "pair.yaml")
    folder = project / "out" / "pair"
    manifest = json.loads((folder / "pipeline.manifest.json").read_text())
    assert manifest["format"] == "graphc.pipeline/1"
    assert manifest["model"] == "pair.onnx"
    for stage in manifest["stages"]:
        assert json.loads((folder / f"{stage['name']}.manifest.json").read_text()) == stage["manifest"]
        assert (folder / stage["model"]).is_file()
    link = manifest["stages"][1]["inputs"]["x"]
    assert link == {"source": "bands.y", "permutation": [0, 2, 1], "scale": 1.0, "offset": 1.0}
    names = {i.name for i in onnx.load(folder / "pair.onnx").graph.input}
    assert names == {"samples", "bands/" + manifest["stages"][0]["manifest"]["states"][0]["input"], "word/x_window_in"}


def test_primed_states_are_those_that_noise_leaves(project: Path) -> None:
    text = PIPELINE.replace("  trigger:", "  prime: {seconds: 0.2, level: 0.5}\n  trigger:")
    (project / "pair.yaml").write_text(text)
    graphc.compile(project / "pair.yaml")
    primed = StreamSession(project / "out" / "pair" / "pair.onnx")
    (project / "pair.yaml").write_text(PIPELINE)
    graphc.compile(project / "pair.yaml")
    plain = StreamSession(project / "out" / "pair" / "pair.onnx")
    rng = np.random.default_rng(0)
    for _ in range(50):
        plain.push(rng.uniform(-0.5, 0.5, (1, CHUNK)).astype(np.float32))
    samples = np.ones((1, CHUNK), np.float32)
    np.testing.assert_array_equal(primed.push(samples)["score"], plain.push(samples)["score"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bands.y,", "band.y,", "'band' is not an earlier stage; did you mean 'bands'"),
        ("bands.y,", "bands.z,", "'bands' has no output 'z'"),
        ("inputs: {x: {from: bands", "inputs: {z: {from: bands", "the stage has no input 'z'"),
        ("permutation: [0, 2, 1], ", "", "with its axes in another order"),
        ("[0, 2, 1]", "[0, 1, 1]", "is not a permutation of 3 axes"),
        ("score: word.y", "score: word.z", "no stage has the output 'word.z'; the outputs are bands.y, word.y"),
        ("spec: word.yaml", "spec: bands.yaml", "a call gives [1, 3, 4], but the next takes [1, 8]"),
        ("  trigger: {", "  trigger: {treshold: 1, ", "did you mean 'threshold'"),
        ("score: score,", "score: scores,", "the pipeline has no output 'scores'; did you mean 'score'"),
        ("  trigger: {", "  ctc: {scores: score}\n  trigger: {", "give one of trigger, ctc, transducer, denoise"),
        ("word: {spec", "word/2: {spec", "is not a valid stage name"),
        ("spec: word.yaml", "spec: pair.yaml", "expected the spec of a single model"),
        ("spec: word.yaml", "spec: none.yaml", "No such file"),
        ("out/pair", "out/word", "'word' is taken"),
        ("out/pair", "out/pipeline", "'pipeline' is taken"),
        ("threshold: 0.5", "threshold: 0.5, place: 1", "1 is not an index of the 1 scores of a call"),
        ("scale: 0.5", "scale: 1.0e300", "less than or equal to"),
        ("{score: word.y}", "{score: word.y, bands: bands.y}", None),
    ],
)
def test_what_does_not_meet_is_refused_at_its_place(project: Path, old: str, new: str, message: str | None) -> None:
    assert old in PIPELINE
    (project / "pair.yaml").write_text(PIPELINE.replace(old, new, 1))
    done = command("compile", project / "pair.yaml")
    if message is None:
        assert done.returncode == 0, done.stderr
        return
    assert done.returncode == 2
    assert message in one_line(done)
    assert not (project / "out").exists()


def test_a_stage_that_is_late_is_refused(project: Path) -> None:
    late = model_of(
        "s = Unsqueeze (x, one) y = Conv <kernel_shape=[3], pads=[1,1]> (s, w)",
        "float[1,T] x",
        one=np.array([1]),
        w=random(3, 1, 3),
    )
    onnx.save(late, project / "bands.onnx")
    (project / "bands.yaml").write_text(SPEC % ("bands", 4, 0.5, "", 1))
    message = one_line(command("compile", project / "pair.yaml"))
    assert "frames late" in message or "which frames of its last call are real" in message


@pytest.mark.parametrize(
    "words", [("validate", "--mutants"), ("bench",), ("compile", "--target", "tract"), ("compile", "--depfile", "d")]
)
def test_what_takes_one_model_says_so(project: Path, words: tuple[str, ...]) -> None:
    done = command(*words, project / "pair.yaml", cwd=project)
    assert done.returncode == 2
    assert any(words in one_line(done) for words in ("the spec of a single model", "does not apply to a pipeline"))


def test_scores_of_several_frames_a_call_are_refused(project: Path) -> None:
    plain = model_of(BANDS, "float[1,T] x", one=np.array([1]), w=random(1, 1, 6))
    onnx.save(plain, project / "bands.onnx")
    (project / "bands.yaml").write_text(SPEC % ("bands", CHUNK, 0.5, "", 1))
    (project / "one.yaml").write_text(
        "{version: 1, output: out/one, pipeline: {stages: {bands: bands.yaml}, trigger: {score: y}}}"
    )
    assert "a trigger looks at one score a call" in one_line(command("compile", project / "one.yaml"))


def test_a_stage_that_fails_is_named(project: Path) -> None:
    onnx.save(model_of("y = ReduceMean <axes=[1]> (x)", "float[1,T] x"), project / "bands.onnx")
    (project / "bands.yaml").write_text(SPEC % ("bands", CHUNK, 0.5, "", 1))
    done = command("compile", project / "pair.yaml")
    assert done.returncode == 3
    assert "bands.yaml: node" in one_line(done)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "../pair.onnx"}, "outside its folder"),
        ({"format": "graphc.pipeline/2"}, "expected one of graphc.pipeline/1"),
        ({"decoder": None}, "is a trigger and has no decoder"),
        ({"stages": 3}, "stages: 3, expected a list"),
        ({"model": "a\0b"}, "outside its folder"),
        ({"kind": "transducer", "decoder": {"encoder": "y"}}, "is missing"),
    ],
)
def test_a_manifest_that_lies_is_refused(project: Path, change: dict[str, object], message: str) -> None:
    graphc.compile(project / "pair.yaml")
    file = project / "out" / "pair" / "pipeline.manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(ModelError, match=message):
        Pipeline(file.parent)


def test_validate_streams_every_stage_anew(project: Path) -> None:
    graphc.compile(project / "pair.yaml")
    done = command("validate", project / "pair.yaml")
    assert done.returncode == 0
    assert "pair.yaml: bands: y: equal" in done.stdout
    assert "pair.yaml: word: y: equal" in done.stdout


def test_verify_takes_the_folder(project: Path) -> None:
    graphc.compile(project / "pair.yaml")
    folder = project / "out" / "pair"
    assert "files are as they were written" in command("verify", folder).stdout
    (folder / "word.onnx").write_bytes(b"another")
    done = command("verify", folder)
    assert done.returncode == 1
    assert "word.onnx is not the file that was written" in done.stdout
    assert "the report cannot be read" in one_line(command("verify", project))


def test_the_terminal_says_what_each_stage_did(project: Path) -> None:
    done = command("compile", "-v", project / "pair.yaml")
    assert done.returncode == 0
    assert "bands: lift_state: 1 states" in done.stdout
    assert "word: lift_state: 1 states" in done.stdout


def test_the_schema_of_pipelines_takes_the_examples() -> None:
    schema = json.loads(command("schema", "--pipeline").stdout)
    for path in (
        "wake_word/alexa",
        "pipelines/ctc",
        "pipelines/transducer",
        "denoise/denoise",
        "transcript/transcript",
    ):
        jsonschema.validate(YAML(typ="safe").load((ROOT / "examples" / f"{path}.yaml").read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"version": 1, "output": "o", "pipeline": {"stages": {}}}, schema)
