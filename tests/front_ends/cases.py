"""The front ends that are compared with their libraries: options as a spec has them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from graphc_passes.attach_front_end import FrontEndOptions, attached
from onnx import TensorProto, helper

REFERENCES = Path(__file__).with_name("references.npz")
SPEECH = {"sr": 16000, "n_fft": 512, "hop_length": 160}
DECIBELS = 10.0 / np.log(10.0)


@dataclass(frozen=True)
class Case:
    """Options, and what one unit of the natural logarithm is in their features."""

    options: dict[str, Any]
    scale: float = 1.0
    unit: float = 1.0
    library: str = ""


def kaldi(kind: str = "kaldi_fbank", **options: Any) -> Case:
    bins = {"num_mel_bins": 80} if kind == "kaldi_fbank" else {}
    return Case({kind: {**bins, **options}}, 32768.0, library="kaldi-native-fbank")


def librosa(unit: float = DECIBELS, **options: Any) -> Case:
    return Case({"librosa_mel": options}, unit=unit, library="librosa")


def torchaudio(unit: float = 1.0, **options: Any) -> Case:
    return Case({"torchaudio_mel": options}, unit=unit, library="torchaudio")


def nemo(**options: Any) -> Case:
    return Case({"nemo_mel": options}, library="nemo_toolkit")


FIXED = {"fixed_mean": [-5 - i / 10 for i in range(64)], "fixed_std": [2 + i / 50 for i in range(64)]}
CASES = {
    "kaldi_fbank": kaldi(),
    "kaldi_fbank_whole_edges": kaldi(snip_edges=False, high_freq=-400.0),
    "kaldi_fbank_energy_last": kaldi(use_energy=True, htk_compat=True),
    "kaldi_fbank_late_energy": kaldi(use_energy=True, raw_energy=False),
    "kaldi_fbank_magnitude": kaldi(window_type="hamming", use_power=False),
    "kaldi_fbank_blackman": kaldi(
        window_type="blackman", remove_dc_offset=False, round_to_power_of_two=False, frame_length=20.0
    ),
    "kaldi_fbank_htk": kaldi(htk_mode=True),
    "kaldi_mfcc": kaldi("kaldi_mfcc"),
    "kaldi_mfcc_htk": kaldi("kaldi_mfcc", snip_edges=False, use_energy=False, htk_compat=True),
    "librosa_mel": librosa(**SPEECH, n_mels=80),
    "librosa_mel_defaults": librosa(),
    "librosa_mel_magnitude": librosa(
        1.0, **SPEECH, win_length=400, n_mels=40, htk=True, norm=None, pad_mode="reflect", power=1.0, log="none"
    ),
    "librosa_mel_odd": librosa(sr=16000, n_fft=401, hop_length=160, n_mels=40),
    "librosa_mel_of_magnitudes": librosa(**SPEECH, n_mels=40, power=1.0),
    "librosa_mfcc": librosa(**SPEECH, n_mels=40, n_mfcc=20, lifter=22.0),
    "torchaudio_mel": torchaudio(DECIBELS, n_mels=64),
    "torchaudio_mel_slaney": torchaudio(
        n_fft=512,
        win_length=400,
        hop_length=160,
        n_mels=80,
        mel_scale="slaney",
        norm="slaney",
        normalized=True,
        log="natural",
        guard="add",
        amin=1e-6,
    ),
    "torchaudio_mel_odd": torchaudio(
        2 * DECIBELS, sample_rate=11025, n_fft=301, hop_length=110, n_mels=40, power=1.0, stype="magnitude"
    ),
    "torchaudio_mfcc": torchaudio(n_mels=64, n_mfcc=40, log="natural", guard="add", amin=1e-6),
    "whisper_mel": Case({"whisper_mel": {"peak": 0.0}}, unit=1.0 / (4.0 * np.log(10.0)), library="transformers"),
    "nemo_mel": nemo(features=80, window_size=0.025, n_fft=512, normalize="NA"),
    "nemo_mel_clamp": nemo(normalize="NA", window="hamming", log_zero_guard_type="clamp", preemph=None, mag_power=1.0),
    "nemo_mel_fixed": nemo(normalize=FIXED),
    "openwakeword_mel": Case({"openwakeword_mel": {}}, 32768.0, 1.0 / np.log(10.0), "openwakeword"),
}
SIGNALS = ("speech", "noise")


@cache
def references() -> dict[str, np.ndarray]:
    """Signals, what the libraries made of them, and the libraries' versions."""
    with np.load(REFERENCES, allow_pickle=False) as found:
        return dict(found)


def reads_features(dims: list[int | str], name: str = "features") -> onnx.ModelProto:
    """A model that gives what it takes."""
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, dims) for n in (name, "out")]
    graph = helper.make_graph([helper.make_node("Identity", [name], ["out"])], "copy", ports[:1], ports[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def with_peak(case: Case, signal: str) -> Case:
    """Whisper's options with the peak of a signal, which the library takes from the utterance itself."""
    if "whisper_mel" not in case.options:
        return case
    peak = float(references()[f"whisper_mel/{signal}"].max() * 4.0 - 4.0)
    return Case({"whisper_mel": {"peak": peak}}, unit=case.unit, library=case.library)


def front_end_model(case: Case) -> onnx.ModelProto:
    """The front end alone: samples [batch, time] to features [batch, frames, features]."""
    options = FrontEndOptions.model_validate({**case.options, "scale": case.scale})
    front = options.front_end(Path())
    return attached(reads_features(["batch", "frames", front.features]), options, front)
