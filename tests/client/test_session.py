"""The client: any number of frames in, the right frames out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT, small_model
from lifting import model_of

import graphc
from graphc import GraphcError, InputError, ModelError, StreamSession
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import StreamSpec

Project = Callable[..., Path]


@pytest.fixture
def compiled(project: Project) -> Path:
    spec = project()
    graphc.compile(spec)
    return spec.parent / "out" / "model.stream.onnx"


def frames(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((1, 3, count)).astype(np.float32)


def offline(x: np.ndarray) -> np.ndarray:
    result: np.ndarray = offline_of(small_model(), StreamSpec(chunk=1)).run({"x": x})["out"]
    return result


@pytest.mark.parametrize("sizes", [[1] * 19, [19], [0, 7, 0, 12], [3, 3, 3, 3, 3, 4]])
def test_pushes_of_any_size_give_the_offline_output(compiled: Path, sizes: list[int]) -> None:
    session = StreamSession(compiled)
    x = frames(19)
    parts, place = [], 0
    for size in sizes:
        parts.append(session.push(x[:, :, place : place + size])["out"])
        place += size
    parts.append(session.flush()["out"])
    got = np.concatenate(parts, axis=2)
    assert got.shape == (1, 4, 19)
    assert np.abs(got - offline(x)).max() < 1e-5


def test_generator_interface_and_reset(compiled: Path) -> None:
    session = StreamSession(compiled)
    for seed in (1, 2):
        x = frames(11, seed)
        parts = [out["out"] for out in session.stream(x[:, :, i : i + 2] for i in range(0, 11, 2))]
        assert np.abs(np.concatenate(parts, axis=2) - offline(x)).max() < 1e-5


def test_the_manifest_beside_the_model_does_too(compiled: Path) -> None:
    session = StreamSession(compiled.with_name("model.stream.manifest.json"))
    x = frames(9)
    assert np.abs(session.run(x=x)["out"] - offline(x)).max() < 1e-5


def test_two_interleaved_streams_do_not_meet(compiled: Path) -> None:
    one, two = StreamSession(compiled), StreamSession(compiled)
    x, y = frames(12, 1), frames(12, 2)
    parts: dict[int, list[np.ndarray]] = {1: [], 2: []}
    for i in range(0, 12, 3):
        parts[1].append(one.push(x[:, :, i : i + 3])["out"])
        parts[2].append(two.push(y[:, :, i : i + 3])["out"])
    for key, session, value in ((1, one, x), (2, two, y)):
        got = np.concatenate([*parts[key], session.flush()["out"]], axis=2)
        assert np.abs(got - offline(value)).max() < 1e-5


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.zeros((1, 3, 4)), "is float64, but the model takes float32"),
        (np.zeros((1, 2, 4), np.float32), "has the shape [1, 2, 4], but the model takes [1, 3, 4]"),
        (np.zeros((3, 4), np.float32), "has the shape [3, 4]"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(compiled: Path, value: np.ndarray, says: str) -> None:
    with pytest.raises(InputError) as caught:
        StreamSession(compiled).push(value)
    assert says in str(caught.value)


def test_unknown_inputs_and_pushes_after_the_flush_are_refused(compiled: Path) -> None:
    session = StreamSession(compiled)
    with pytest.raises(InputError, match="'y' is not an input of the model; known: x"):
        session.push(y=frames(3))
    session.push(frames(3))
    session.flush()
    with pytest.raises(InputError, match=r"flushed; call reset\(\)"):
        session.push(frames(3))


def test_a_model_that_graphc_did_not_compile_is_refused(project: Project) -> None:
    spec = project()
    with pytest.raises(ModelError, match="holds no manifest"):
        StreamSession(spec.parent / "model.onnx")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (('"chunk": 4', '"chunk": "4"'), "not a manifest of graphc: chunk"),
        (('"graphc.manifest/1"', '"graphc.manifest/9"'), "not a manifest of graphc: format"),
        (('"x"', '"z"'), "names ports that the model does not have: z"),
        (('"init": "zeros"', '"init": {"file": "../up.npz", "key": "a"}'), "not a file beside the manifest"),
        (('"init": "zeros"', '"init": {"file": "none.npz", "key": "a"}'), "cannot be read"),
        (("{", "["), "not a manifest of graphc"),
        (('"delay": 4', '"delay": 1000000000000'), "not a manifest of graphc: outputs.0.delay"),
        (('"frames": 4', '"frames": 7'), "has the shape [1, 3, 4] and 7 frames"),
    ],
)
def test_a_manifest_that_lies_is_refused(compiled: Path, change: tuple[str, str], says: str) -> None:
    path = compiled.with_name("model.stream.manifest.json")
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(ModelError) as caught:
        StreamSession(path)
    assert says in str(caught.value)


def test_first_values_never_load_a_pickle(compiled: Path) -> None:
    path = compiled.with_name("model.stream.manifest.json")
    np.savez(compiled.with_name("evil.npz"), a=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    path.write_text(path.read_text().replace('"init": "zeros"', '"init": {"file": "evil.npz", "key": "a"}', 1))
    with pytest.raises(ModelError, match="cannot be read"):
        StreamSession(path)


def tagger(folder: Path, stream: str, passes: str) -> None:
    spec = folder / "spec.yaml"
    model = ROOT / "examples" / "models" / "lstm_tagger.torchscript.onnx"
    spec.write_text(f"version: 1\nmodel: {model}\noutput: out.onnx\nstream: {stream}\npasses: [{passes}]\n")
    graphc.compile(spec)


def test_thirty_minutes_reset_in_silences_give_what_their_parts_give_offline(tmp_path: Path) -> None:
    """A tagger at 100 frames a second; every 50 s two seconds are silent."""
    tagger(tmp_path, "{chunk: 50, frame_ms: 10}", "lift_state, fold_constants, simplify, fuse")
    x = np.random.default_rng(0).standard_normal((1, 30 * 60 * 100, 40)).astype(np.float32)
    for second in range(0, 30 * 60, 50):
        x[:, second * 100 : (second + 2) * 100] = 0
    session = StreamSession(tmp_path / "out.onnx", reset=graphc.ResetInSilence(below=0.01, after_s=60))
    got = [session.push(part)["log_probs"] for part in np.split(x, 30 * 60 * 4, axis=1)]
    got.append(session.flush()["log_probs"])
    alone, want, begin = StreamSession(tmp_path / "out.onnx"), [], 0
    for end in [*range(10025, x.shape[1], 10_000), x.shape[1]]:
        want.append(alone.run(x[:, begin:end])["log_probs"])
        begin = end
    assert len(want) > 15
    assert np.allclose(np.concatenate(got, axis=1), np.concatenate(want, axis=1), atol=1e-5)


def test_a_reset_needs_the_time_of_a_frame(tmp_path: Path) -> None:
    tagger(tmp_path, "{chunk: 50}", "lift_state")
    with pytest.raises(ModelError, match="the duration of a frame is not known") as caught:
        StreamSession(tmp_path / "out.onnx", reset=graphc.ResetInSilence(below=0.01, after_s=60))
    assert "stream.frame_ms" in (caught.value.hint or "")


@pytest.mark.parametrize("field", ["rate", "frames"])
def test_a_stream_of_which_calls_take_nothing_is_refused(tmp_path: Path, field: str) -> None:
    tagger(tmp_path, "{chunk: 5}", "lift_state")
    path = tmp_path / "out.manifest.json"
    data = json.loads(path.read_text())
    data["inputs"][0][field] = [1, 0] if field == "rate" else 0
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError, match=r"out of range|and 0 frames"):
        StreamSession(path)


def test_inputs_of_two_rates_end_together_and_a_refused_push_takes_nothing(tmp_path: Path) -> None:
    body = "p = MaxPool <kernel_shape=[4], strides=[4]> (wave) y = Add (p, feat)"
    onnx.save(model_of(body, "float[1,3,S] wave, float[1,3,T] feat"), tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(
        "{version: 1, model: model.onnx, output: out.onnx, passes: [lift_state], "
        "stream: {chunk: 2, inputs: {feat: {axis: 2}, wave: {axis: 2, rate: 4}}}}"
    )
    graphc.compile(tmp_path / "spec.yaml")
    session = StreamSession(tmp_path / "out.onnx")
    with pytest.raises(InputError, match="the stream inputs end at different times"):
        session.run(wave=frames(38), feat=frames(10))
    manifest = tmp_path / "out.manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "max_frames": 20, "beyond": "stops"}))
    session = StreamSession(manifest)
    with pytest.raises(InputError, match="the stream is longer than 20 frames"):
        session.push(feat=frames(5), wave=frames(200))
    assert session.run(feat=frames(5), wave=frames(20))["y"].shape == (1, 3, 5)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ("feat: {axis: 2}, wave: {axis: 2, rate: 8}", "correct the rate in stream.inputs (wave: 8)"),
        (
            "wave: {axis: 2, rate: 4}, feat: {axis: 2}",
            "'wave' is the first stream input, whose rate is always 1, not 4",
        ),
    ],
)
def test_a_wrong_rate_is_told(tmp_path: Path, inputs: str, said: str) -> None:
    body = "p = MaxPool <kernel_shape=[4], strides=[4]> (wave) y = Add (p, feat)"
    onnx.save(model_of(body, "float[1,3,S] wave, float[1,3,T] feat"), tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(
        "{version: 1, model: model.onnx, output: out.onnx, passes: [lift_state], "
        f"stream: {{chunk: 2, inputs: {{{inputs}}}}}}}"
    )
    with pytest.raises(GraphcError) as caught:
        graphc.compile(tmp_path / "spec.yaml")
    assert said in str(caught.value)


def test_a_static_input_keeps_its_value(tmp_path: Path) -> None:
    onnx.save(model_of("y = Mul (x, g)", "float[1,T,4] x, float[4] g"), tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(
        "{version: 1, model: model.onnx, output: out.onnx, passes: [lift_state], "
        "stream: {chunk: 2, inputs: {x: {axis: 1}, g: {static: true}}}}"
    )
    graphc.compile(tmp_path / "spec.yaml")
    session, x = StreamSession(tmp_path / "out.onnx"), np.ones((1, 4, 4), np.float32)
    session.push(x=x, g=np.ones(4, np.float32))
    session.push(x=x, g=np.ones(4, np.float32))
    with pytest.raises(InputError, match=r"'g' already has another value; reset\(\) to start another stream"):
        session.push(x=x, g=np.zeros(4, np.float32))
    assert session.flush()["y"].shape == (1, 0, 4)
