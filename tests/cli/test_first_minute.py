"""The first commands with a model that nobody prepared: inspect, init, compile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc
from conftest import small_model
from lifting import model_of, random, weights

from graphc_runtime.session import StreamSession


def test_inspect_marks_what_it_guesses_and_takes_another_reading(tmp_path: Path) -> None:
    model = weights(model_of("f = Flatten (x) y = MatMul (f, w)", "float[1,16,96] x"), w=random(16 * 96, 1))
    onnx.save(model, tmp_path / "clip.onnx")
    done = graphc("inspect", tmp_path / "clip.onnx")
    assert done.returncode == 3, done.stderr
    text = " ".join(done.stdout.split())
    assert "a guess: three axes are usually batch, time and features; it could be axis: 2" in text
    assert "--input NAME=AXIS" in text
    assert "--window 16 streams over the last 16" in text
    assert json.loads(graphc("inspect", "--json", tmp_path / "clip.onnx").stdout)["guessed"]
    told = graphc("inspect", "--json", "--input", "x=1", "--window", "16", "--chunk", "2", tmp_path / "clip.onnx")
    assert told.returncode == 0, told.stderr
    found = json.loads(told.stdout)
    assert (found["guessed"], found["window"], found["chunk"]) == (False, 16, 2)


def test_init_writes_a_spec_of_a_clip_whose_guesses_are_marked(tmp_path: Path) -> None:
    model = weights(model_of("f = Flatten (x) y = MatMul (f, w)", "float[1,30,96] x"), w=random(30 * 96, 1))
    onnx.save(model, tmp_path / "clip.onnx")
    done = graphc("init", tmp_path / "clip.onnx", "-o", tmp_path / "spec.yaml")
    assert done.returncode == 0, done.stderr
    assert "graphc: a guess: input 'x': axis: 1" in done.stderr
    text = (tmp_path / "spec.yaml").read_text()
    assert "  window: 30" in text
    assert "# GUESS: [1, 30, 96]: three axes are usually batch" in text
    assert graphc("compile", tmp_path / "spec.yaml").returncode == 0


def test_a_cell_that_takes_one_frame_a_call_is_read_and_compiled(tmp_path: Path) -> None:
    body = "j = Concat <axis = 1> (chunk, h_in) m = MatMul (j, w) h_out = Tanh (m) y = MatMul (h_out, v)"
    cell = model_of(body, "float[1,6] chunk, float[1,4] h_in", "float[1,3] y, float[1,4] h_out")
    onnx.save(weights(cell, w=random(10, 4), v=random(4, 3)), tmp_path / "cell.onnx")
    assert graphc("init", tmp_path / "cell.onnx", "-o", tmp_path / "spec.yaml").returncode == 0
    done = graphc("compile", tmp_path / "spec.yaml")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((tmp_path / "cell.stream.manifest.json").read_text())
    assert [(i["name"], i["axis"], i["frames"], i["shape"]) for i in manifest["inputs"]] == [("chunk", None, 1, [1, 6])]
    assert [(s["input"], s["output"]) for s in manifest["states"]] == [("h_in", "h_out")]
    assert graphc("validate", tmp_path / "spec.yaml").returncode == 0
    session = StreamSession(tmp_path / "cell.stream.onnx")
    frames = random(5, 1, 6)
    whole = session.run(frames)["y"]
    session.reset()
    each = [session.push(frame)["y"] for frame in frames]
    assert whole.shape == (5, 1, 3)
    np.testing.assert_array_equal(np.concatenate(each), whole)


def test_a_step_model_has_nothing_to_lift(tmp_path: Path) -> None:
    onnx.save(weights(model_of("y = MatMul (x, w)", "float[1,6] x"), w=random(6, 2)), tmp_path / "m.onnx")
    spec = "version: 1\nmodel: m.onnx\noutput: o.onnx\nstream:\n  chunk: 1\n  inputs: {x: {step: true}}\n"
    (tmp_path / "spec.yaml").write_text(spec + "passes: [lift_state]\n")
    done = graphc("compile", tmp_path / "spec.yaml")
    assert done.returncode == 2
    assert "'lift_state' needs a time axis, but the model takes one frame a call; leave it out" in done.stderr
    (tmp_path / "spec.yaml").write_text(spec.replace("chunk: 1", "chunk: 4") + "passes: [simplify]\n")
    assert "step: true takes one frame a call" in graphc("compile", tmp_path / "spec.yaml").stderr


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--input", "x", "'x' is not of the form NAME=AXIS; for example: --input features=1"),
        ("--input", "x=time", "'x=time' is not of the form NAME=AXIS"),
        ("--counts", "x", "'x' is not of the form NAME=INPUT"),
        ("--state", "h", "'h' is not of the form IN=OUT; for example: --state h_in=h_out"),
        ("--size", "x=3", "is not of the form NAME:AXIS=N"),
        ("--input", "x=--1", "'x=--1' is not of the form NAME=AXIS"),
        ("--input", "x=²", "'x=²' is not of the form NAME=AXIS"),
        ("--size", "x:²=3", "'x:²=3' is not of the form NAME:AXIS=N"),
        ("--size", "x:1=--3", "'x:1=--3' is not of the form NAME:AXIS=N"),
        ("--static", "nothing", "the model has no input 'nothing'"),
        ("--input", "x=7", "'x' has 3 axes; axis 7 is none of them"),
        ("--step=x", "--window=5", "'x' takes one frame a call, so neither a window nor another chunk fits"),
        ("--step=x", "--chunk=4", "'x' takes one frame a call, so neither a window nor another chunk fits"),
    ],
)
def test_options_that_say_nothing_are_told(tmp_path: Path, option: str, value: str, complaint: str) -> None:
    onnx.save(small_model(), tmp_path / "model.onnx")
    done = graphc("inspect", option, value, tmp_path / "model.onnx")
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr


def test_inspect_tells_the_shortest_stream_what_is_gone_and_the_way_over_a_window(tmp_path: Path) -> None:
    reflected = model_of(
        'p = Pad <mode = "reflect"> (x, amounts) y = Relu (p) left = Identity (lens)',
        "float[batch,T] x, int64[batch] lens",
        "float[A,B] y, int64[batch] left",
    )
    onnx.save(weights(reflected, amounts=np.array([0, 5, 0, 0])), tmp_path / "m.onnx")
    shown = graphc("inspect", tmp_path / "m.onnx").stdout
    assert "streams need at least 6 frames" in shown
    assert "output left: dropped: counts frames" in shown
    pooled = model_of("m = ReduceMean <axes = [1]> (x) y = Sub (x, m)", "float[1,T,2] x")
    onnx.save(pooled, tmp_path / "p.onnx")
    refused = graphc("inspect", tmp_path / "p.onnx").stdout
    assert "or stream over a window" in refused
    assert "--window N" in refused


def test_a_limit_beside_a_window_is_an_error(tmp_path: Path) -> None:
    body = "k = Transpose <perm = [0, 2, 1]> (x) s = MatMul (x, k) w = Softmax (s) y = MatMul (w, x)"
    onnx.save(model_of(body, "float[1,T,2] x"), tmp_path / "m.onnx")
    spec = tmp_path / "spec.yaml"
    stream = "{chunk: 2, window: 8, inputs: {x: {axis: 1}}}"
    limit = "{lift_state: {attention: {left: 4, right: 0}}}"
    spec.write_text(f"version: 1\nmodel: m.onnx\noutput: out.onnx\nstream: {stream}\npasses: [{limit}]\n")
    done = graphc("compile", spec)
    assert done.returncode == 2
    assert "lift_state.attention" in done.stderr
    assert "leave out window" in done.stderr


def test_an_output_that_never_changes_is_warned_of(tmp_path: Path) -> None:
    onnx.save(
        weights(model_of("y = Mul (x, none)", "float[1,T,2] x"), none=np.zeros(2, np.float32)), tmp_path / "m.onnx"
    )
    spec = tmp_path / "spec.yaml"
    stream = "{chunk: 2, inputs: {x: {axis: 1}}}"
    spec.write_text(f"version: 1\nmodel: m.onnx\noutput: out.onnx\nstream: {stream}\npasses: [lift_state]\n")
    done = graphc("compile", spec)
    assert done.returncode == 0
    assert "the output 'y' is 0 in every stream tried" in done.stderr


@pytest.mark.parametrize(
    ("ports", "body", "told"),
    [
        ("seq(float[1,T,4]) x", "i = Constant <value_int = 0> () y = SequenceAt (x, i)", "is a sequence, not a tensor"),
        ("optional(float[1,T,4]) x", "y = OptionalGetElement (x)", "is an optional value, not a tensor"),
        ("string[1,T,4] x", "y = Identity (x)", "holds text"),
    ],
    ids=["sequence", "optional", "text"],
)
def test_ports_that_no_stream_fills_are_refused_by_every_command(
    tmp_path: Path, ports: str, body: str, told: str
) -> None:
    kind = "string" if "string" in ports else "float"
    text = f'<ir_version: 8, opset_import: ["": 17]> g ({ports}) => ({kind}[1,T,4] y) {{ {body} }}'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    spec = tmp_path / "spec.yaml"
    stream = "{chunk: 2, inputs: {x: {axis: 1}}}"
    spec.write_text(f"version: 1\nmodel: m.onnx\noutput: out.onnx\nstream: {stream}\npasses: [lift_state]\n")
    for words in (("inspect", tmp_path / "m.onnx"), ("init", tmp_path / "m.onnx"), ("compile", spec)):
        done = graphc(*words)
        assert done.returncode == 2
        assert f"the input 'x' {told}; " in done.stderr


def test_streams_of_a_few_calls_are_warned_of(tmp_path: Path) -> None:
    body = "n = Shape <start=1, end=2> (x) p = Slice (table, zero, n, zero) u = Unsqueeze (p, zero) y = Add (x, u)"
    model = weights(model_of(body, "float[1,T,2] x"), table=random(6, 2), zero=np.array([0]))
    onnx.save(model, tmp_path / "m.onnx")
    spec = tmp_path / "spec.yaml"
    for chunk, warned in ((2, True), (1, False)):
        stream = f"{{chunk: {chunk}, inputs: {{x: {{axis: 1}}}}}}"
        spec.write_text(f"version: 1\nmodel: m.onnx\noutput: out.onnx\nstream: {stream}\npasses: [lift_state]\n")
        done = graphc("compile", "--force", spec)
        assert done.returncode == 0
        told = "streams can last only 6 frames, which is 3.0 calls; `graphc inspect` says what ends them"
        assert (told in done.stderr) == warned
