"""A front end in front of a model: what it takes, what it computes, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import ROOT
from graphc_passes.attach_front_end import FrontEndOptions, attached
from onnx import TensorProto, helper
from tests.commands import graphc
from tests.front_ends.cases import reads_features, references
from tests.one_error import one_line

import graphc as library
from graphc import PassError, StreamSession

KALDI = {"kaldi_fbank": {"num_mel_bins": 40}}
SPEC = """
version: 1
model: model.onnx
output: out/model.onnx
stream: {chunk: 1280, frame_ms: 0.0625, inputs: {samples: {axis: 1}}}
passes: [%s, lift_state]
"""


def made(model: onnx.ModelProto, folder: Path = Path(), **options: Any) -> onnx.ModelProto:
    config = FrontEndOptions.model_validate({**KALDI, **options} if not kinds(options) else options)
    return attached(model, config, config.front_end(folder))


def kinds(options: Mapping[str, Any]) -> bool:
    return any(name.endswith(("_mel", "_fbank", "_mfcc")) for name in options)


def run(model: onnx.ModelProto, samples: np.ndarray) -> Any:
    onnx.checker.check_model(model)
    return onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"samples": samples})


def noise(count: int = 3999, batch: int = 1) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((batch, count)).astype(np.float32)


@pytest.mark.parametrize(
    ("dims", "told", "order"),
    [
        (["batch", "frames", 40], {}, (0, 2, 1)),
        (["batch", 40, "frames"], {}, (0, 1, 2)),
        ([1, 1, "frames", 40], {}, (0, 3, 2, 1)),
        (["batch", 1, 40, "frames"], {}, (0, 2, 3, 1)),
        (["batch", "frames", 40, 1], {}, (0, 2, 1, 3)),
        (["frames", "batch", 40], {"time_axis": 0}, (1, 2, 0)),
    ],
)
def test_features_lie_as_the_model_takes_them(
    dims: list[int | str], told: dict[str, int], order: tuple[int, ...]
) -> None:
    plain = run(made(reads_features(["batch", 40, "frames"])), noise())[0]
    out = np.transpose(run(made(reads_features(dims), **told), noise())[0], order)
    np.testing.assert_array_equal(out.reshape(plain.shape), plain)


def test_inputs_that_count_frames_are_computed() -> None:
    model = reads_features(["batch", "frames", 40])
    model.graph.input.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["batch"]))
    model.graph.output.append(helper.make_tensor_value_info("counted", TensorProto.INT32, ["batch"]))
    model.graph.node.append(helper.make_node("Identity", ["lengths"], ["counted"]))
    attached_model = made(model)
    assert [p.name for p in attached_model.graph.input] == ["samples"]
    out, counted = run(attached_model, noise(batch=2))
    np.testing.assert_array_equal(counted, [out.shape[1]] * 2)


def test_time_is_the_open_axis_that_is_not_the_batch_by_its_name() -> None:
    assert made(reads_features(["time", "batch", 40])).graph.node[-2].attribute[0].ints == [2, 0, 1]
    with pytest.raises(PassError, match="has 2 axes that may be time"):
        made(reads_features(["s0", "s1", 40]))


def test_sizes_that_hold_one_length_are_forgotten() -> None:
    model = reads_features(["batch", "frames", 40])
    model.graph.value_info.append(helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 60, 40]))
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 60
    assert not made(model).graph.value_info
    assert run(made(model), noise(9999))[0].shape[1] == 60


def test_an_input_of_whole_numbers_can_stay_one() -> None:
    model = reads_features(["batch", "frames", 40])
    model.graph.input.append(helper.make_tensor_value_info("language", TensorProto.INT64, ["batch"]))
    assert [p.name for p in made(model, counts=[]).graph.input] == ["samples", "language"]
    with pytest.raises(PassError, match=r"counts: 'languages'"):
        made(model, counts=["languages"])


@pytest.mark.parametrize(
    ("text", "name", "kind", "options"),
    [
        (
            "--num-mel-bins=40 # as in training\n\n--window-type=hamming\n--snip-edges=false\n",
            "fbank.conf",
            "kaldi_fbank",
            {"num_mel_bins": 40, "window_type": "hamming", "snip_edges": False},
        ),
        (
            "preprocessor:\n  _target_: nemo.collections.asr.modules.AudioToMelSpectrogramPreprocessor\n  features: 40\n"
            "  normalize: NA\n  window_size: 0.025\n  dither: 1.0e-05\n",
            "model.yaml",
            "nemo_mel",
            {"features": 40, "normalize": "NA", "window_size": 0.025},
        ),
        (
            json.dumps({"feature_size": 40, "chunk_length": 30, "hop_length": 160}),
            "preprocessor_config.json",
            "whisper_mel",
            {"feature_size": 40},
        ),
        ("{n_mels: 40, mel_scale: slaney}", "mel.yaml", "torchaudio_mel", {"n_mels": 40, "mel_scale": "slaney"}),
    ],
)
def test_options_come_from_the_file_of_a_team(
    tmp_path: Path, text: str, name: str, kind: str, options: dict[str, Any]
) -> None:
    (tmp_path / name).write_text(text)
    own = {"peak": 1.5} if kind == "whisper_mel" else {}
    model = reads_features(["batch", "frames", 40])
    from_file = made(model, tmp_path, **{kind: {"config": name, **own}})
    assert from_file == made(model, **{kind: {**options, **own}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--num-mel-bins=forty\n", "not a configuration: invalid literal"),
        ("num-mel-bins=40\n", "line 1 is not of the form --option=value"),
        ("--num-mel-bin=40\n", "unknown option 'num_mel_bin'"),
        ("--dither=1.0\n", "dither: 1 adds noise"),
        ("--num-mel-bins=1\n", "greater than or equal to 3"),
        ("--config=other.conf\n", "line 1 names another file, which is not followed"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "fbank.conf").write_text(text)
    with pytest.raises(PassError, match=message):
        made(reads_features(["batch", "frames", 40]), tmp_path, kaldi_fbank={"config": "fbank.conf"})


def test_given_statistics_are_taken_off(tmp_path: Path) -> None:
    model = reads_features(["batch", "frames", 40])
    mean, std = np.linspace(-3, 3, 40), np.linspace(1, 2, 40)
    plain = run(made(model), noise())[0]
    listed = run(made(model, cmvn={"mean": mean.tolist(), "std": std.tolist()}), noise())[0]
    np.testing.assert_allclose(listed, (plain - mean) / std, atol=1e-4)
    sums = {"mean_stat": (mean * 7).tolist(), "var_stat": ((std**2 + mean**2) * 7).tolist(), "frame_num": 7}
    (tmp_path / "cmvn.json").write_text(json.dumps(sums))
    np.savez(tmp_path / "cmvn.npz", mean=mean, std=std)
    for name in ("cmvn.json", "cmvn.npz"):
        np.testing.assert_allclose(run(made(model, tmp_path, cmvn={"file": name}), noise())[0], listed, atol=1e-4)
    with pytest.raises(PassError, match="3 means and 3 deviations for 40 features"):
        made(model, cmvn={"mean": [1.0, 2.0, 3.0]})


def test_a_running_mean_is_that_of_the_frames_heard_last() -> None:
    model = reads_features(["batch", "frames", 40])
    plain = run(made(model), noise())[0][0]
    want = np.stack([frame - plain[max(0, f - 9) : f + 1].mean(0) for f, frame in enumerate(plain)])
    np.testing.assert_allclose(run(made(model, cmvn={"window": 10}), noise())[0][0], want, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{kaldi_fbank: {num_mel_bins: 40, subtract_mean: true}}", "the mean of the whole utterance"),
        ("{nemo_mel: {features: 40}}", "per_feature needs the statistics of the whole utterance"),
        ("{librosa_mel: {n_mels: 40, top_db: 80.0}}", "is relative to the maximum of the whole utterance"),
        ("{whisper_mel: {feature_size: 40}}", "8 below the maximum of the whole utterance"),
        ("{openwakeword_mel: {top_db: 80.0}}", "stream.window: 1760"),
        ("{kaldi_fbank: {num_mel_bins: 80}}", "no axes of size 80, the number of features that the front end makes"),
        ("{kaldi_fbank: {num_mel_bin: 40}}", "did you mean 'num_mel_bins'"),
        ("{}", "give exactly one of kaldi_fbank"),
        ("{kaldi_fbank: {num_mel_bins: 40}, input: feature}", "did you mean 'features'"),
        ("{kaldi_fbank: {num_mel_bins: 40}, samples: out}", "already has a tensor 'out'"),
        ("{kaldi_fbank: {config: missing.conf}}", "the file cannot be read: No such file"),
        ("{kaldi_fbank: {config: /dev/zero}}", "not a regular file"),
        ("{kaldi_fbank: {config: ''}}", "at least 1 character"),
        ("{kaldi_fbank: {frame_length: 25.07, round_to_power_of_two: false}}", "a frame of 401 samples is odd"),
        ("{kaldi_fbank: {frame_length: 1000}}", "a frame has 2 to 4096 samples"),
        ("{kaldi_fbank: {frame_shift: 26, snip_edges: false}}", "frame_length must not be less than frame_shift"),
        (
            "{kaldi_fbank: {use_energy: true, use_power: false}}",
            "the energy is a log power, but the other features are not",
        ),
        ("{kaldi_fbank: {blackman_coeff: .nan}}", "finite number"),
        ("{nemo_mel: {features: 40, normalize: NA, highfreq: 90000}}", "to half the sampling rate or below"),
        ("{nemo_mel: {features: 40, normalize: NA, log_zero_guard_value: -1}}", "log_zero_guard_value"),
        ("{librosa_mel: {n_mels: 40, n_fft: 16384}}", "less than or equal to 4096"),
        ("{kaldi_fbank: {num_mel_bins: 40}, scale: .inf}", "scale"),
        ("{kaldi_fbank: {num_mel_bins: 40}, samples: ''}", "at least 1 character"),
        ("{kaldi_fbank: {num_mel_bins: 40}, feature_axis: 1}", "has its 40 features on another axis than 1"),
        ("{kaldi_fbank: {num_mel_bins: 40}, cmvn: {file: cmvn.json}}", "frame_num must be above 0"),
        ("{kaldi_fbank: {num_mel_bins: 40}, cmvn: {file: cmvn.npz}}", "it holds no statistics: BadZipFile"),
    ],
)
def test_what_cannot_be_is_refused_with_a_way_out(tmp_path: Path, options: str, message: str) -> None:
    onnx.save(reads_features(["batch", "frames", 40]), tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(SPEC % f"{{attach_front_end: {options}}}")
    (tmp_path / "cmvn.json").write_text(json.dumps({"mean_stat": [1.0] * 40, "var_stat": [2.0] * 40, "frame_num": -5}))
    (tmp_path / "cmvn.npz").write_bytes(b"PK\x03\x04 and no more")
    done = graphc("compile", tmp_path / "spec.yaml")
    assert done.returncode == 2
    assert (
        "spec.yaml:" in done.stderr or "cmvn." in done.stderr or "missing.conf" in done.stderr or "/dev" in done.stderr
    )
    assert message in one_line(done)
    assert not (tmp_path / "out").exists()


def test_it_comes_before_other_passes(tmp_path: Path) -> None:
    onnx.save(reads_features(["batch", "frames", 40]), tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(SPEC % "fuse, {attach_front_end: {kaldi_fbank: {num_mel_bins: 40}}}")
    assert "put it before all other passes" in one_line(graphc("compile", tmp_path / "spec.yaml"))
    with pytest.raises(PassError, match="replaces inputs of the model"):
        library.transform(reads_features(["batch", "frames", 40]), [{"attach_front_end": KALDI}])


def test_the_example_streams_samples(tmp_path: Path) -> None:
    spec = ROOT / "specs" / "front_ends" / "keyword_dscnn.yaml"
    text = spec.read_text().replace("../../examples", str(ROOT / "examples")).replace("../../out/", "")
    copy = tmp_path / "keyword.yaml"
    copy.write_text(text)
    assert graphc("compile", copy).returncode == 0
    assert "equal" in graphc("validate", copy).stdout
    assert graphc("bench", copy).returncode == 0
    samples = references()["signal/speech"][None]
    session = StreamSession(tmp_path / "keyword_dscnn.samples.stream.onnx")
    parts = [session.push({"samples": samples}), session.flush()]
    streamed = np.concatenate([part["scores"] for part in parts], axis=1)
    model = onnx.load(ROOT / "examples" / "models" / "keyword_dscnn.torchscript.onnx")
    bands = run(made(reads_features(["batch", "frames", 40]), scale=32768.0), samples)[0]
    want = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"mel": bands})[0]
    np.testing.assert_allclose(streamed, want, atol=1e-5)


def test_features_stay_in_float_where_the_model_is_quantized(tmp_path: Path) -> None:
    spec = tmp_path / "keyword.yaml"
    spec.write_text(
        f"version: 1\nmodel: {ROOT / 'examples' / 'models' / 'keyword_dscnn.torchscript.onnx'}\noutput: k.onnx\n"
        "stream: {chunk: 1280}\npasses:\n  - attach_front_end: {kaldi_fbank: {num_mel_bins: 40}, scale: 32768}\n"
        "  - lift_state\n  - fuse\n  - quantize: {tolerance: {snr_db: 40}}\n"
    )
    report = library.compile(spec).data
    kept = [note for note in report["passes"][-1]["notes"] if "powers span a wider range" in note]
    assert len(kept) == 2
    assert report["passes"][-1]["counts"]["weights in integers"] == 1
