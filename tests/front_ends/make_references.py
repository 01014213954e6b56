"""Writes references.npz: what the libraries make of speech and noise. Each library that imports is asked.

    pip install kaldi-native-fbank librosa openwakeword torch==2.13.0 torchaudio transformers nemo_toolkit[asr]
    python tests/front_ends/make_references.py

What a library that is not installed made before is kept. Speech is espeak-ng's.
"""

from __future__ import annotations

import importlib.metadata
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.signal
import soundfile

FILE = Path(__file__).with_name("references.npz")
RATE = 16000
FRAMES = 9637
TEXT = "turn the lights off in the kitchen"
Features = Callable[[np.ndarray], np.ndarray]


def signals() -> dict[str, np.ndarray]:
    """Samples within -1 and 1 that 16-bit numbers hold."""
    wave = subprocess.run(["espeak-ng", "-v", "en", "--stdout", TEXT], capture_output=True, check=True).stdout
    spoken, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    speech = scipy.signal.resample_poly(spoken, RATE, rate)[1000 : 1000 + FRAMES]
    noise = np.random.default_rng(0).standard_normal(FRAMES) * 0.1
    return {
        name: (np.round(x * 32767.0) / 32768.0).astype(np.float32) for name, x in (("speech", speech), ("noise", noise))
    }


def kaldi() -> dict[str, Features]:
    import kaldi_native_fbank as knf

    def run(kind: str, frame: dict[str, Any], mel: dict[str, Any], **own: Any) -> Features:
        options = getattr(knf, f"{kind}Options")()
        for part, values in ((options.frame_opts, {"dither": 0.0, **frame}), (options.mel_opts, mel), (options, own)):
            for name, value in values.items():
                setattr(part, name, value)

        def features(x: np.ndarray) -> np.ndarray:
            made = getattr(knf, f"Online{kind}")(options)
            made.accept_waveform(RATE, (x * 32768.0).tolist())
            made.input_finished()
            return np.stack([made.get_frame(i) for i in range(made.num_frames_ready)])

        return features

    bins = {"num_bins": 80}
    plain = {
        "round_to_power_of_two": False,
        "remove_dc_offset": False,
        "window_type": "blackman",
        "frame_length_ms": 20.0,
    }
    return {
        "kaldi_fbank": run("Fbank", {}, bins),
        "kaldi_fbank_whole_edges": run("Fbank", {"snip_edges": False}, {**bins, "high_freq": -400.0}),
        "kaldi_fbank_energy_last": run("Fbank", {}, bins, use_energy=True, htk_compat=True),
        "kaldi_fbank_late_energy": run("Fbank", {}, bins, use_energy=True, raw_energy=False),
        "kaldi_fbank_magnitude": run("Fbank", {"window_type": "hamming"}, bins, use_power=False),
        "kaldi_fbank_blackman": run("Fbank", plain, bins),
        "kaldi_fbank_htk": run("Fbank", {}, {**bins, "htk_mode": True}),
        "kaldi_mfcc": run("Mfcc", {}, {}),
        "kaldi_mfcc_htk": run("Mfcc", {"snip_edges": False}, {}, use_energy=False, htk_compat=True),
    }


def librosa_features() -> dict[str, Features]:
    import librosa

    speech = {"sr": RATE, "n_fft": 512, "hop_length": 160}
    mel = librosa.feature.melspectrogram

    def decibels(x: np.ndarray, **options: Any) -> Any:
        return librosa.power_to_db(mel(y=x, **options), top_db=None)

    plain = {"win_length": 400, "n_mels": 40, "htk": True, "norm": None, "pad_mode": "reflect", "power": 1.0}
    return {
        "librosa_mel": lambda x: decibels(x, **speech, n_mels=80).T,
        "librosa_mel_defaults": lambda x: decibels(x, sr=22050).T,
        "librosa_mel_magnitude": lambda x: mel(y=x, **speech, **plain).T,
        "librosa_mel_odd": lambda x: decibels(x, sr=RATE, n_fft=401, hop_length=160, n_mels=40).T,
        "librosa_mel_of_magnitudes": lambda x: decibels(x, **speech, n_mels=40, power=1.0).T,
        "librosa_mfcc": lambda x: librosa.feature.mfcc(S=decibels(x, **speech, n_mels=40), n_mfcc=20, lifter=22).T,
    }


def torchaudio_features() -> dict[str, Features]:
    import torch
    import torchaudio.transforms as transforms

    def run(module: Any, behind: Callable[[Any], Any] = lambda x: x) -> Features:
        return lambda x: behind(module(torch.tensor(x))).numpy().T

    speech = {"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 80}
    odd = transforms.MelSpectrogram(sample_rate=11025, n_fft=301, hop_length=110, n_mels=40, power=1.0)
    slaney = transforms.MelSpectrogram(**speech, mel_scale="slaney", norm="slaney", normalized=True)
    return {
        "torchaudio_mel": run(transforms.MelSpectrogram(n_mels=64), transforms.AmplitudeToDB()),
        "torchaudio_mel_slaney": run(slaney, lambda mel: (mel + 1e-6).log()),
        "torchaudio_mel_odd": run(odd, transforms.AmplitudeToDB("magnitude")),
        "torchaudio_mfcc": run(transforms.MFCC(n_mfcc=40, log_mels=True, melkwargs={"n_mels": 64})),
    }


def whisper() -> dict[str, Features]:
    from transformers import WhisperFeatureExtractor

    made = WhisperFeatureExtractor()
    return {"whisper_mel": lambda x: made._np_extract_fbank_features(x[None], "cpu")[0].T}


def nemo() -> dict[str, Features]:
    import torch
    from nemo.collections.asr.modules import AudioToMelSpectrogramPreprocessor

    def run(**options: Any) -> Features:
        made = AudioToMelSpectrogramPreprocessor(**options, pad_to=0).eval()

        def features(x: np.ndarray) -> np.ndarray:
            mel, length = made(input_signal=torch.tensor(x)[None], length=torch.tensor([len(x)]))
            return np.asarray(mel[0, :, : int(length[0])].numpy().T)

        return features

    speech = {"features": 80, "window_size": 0.025, "n_fft": 512}
    fixed = {"fixed_mean": [float(-5 - i / 10) for i in range(64)], "fixed_std": [float(2 + i / 50) for i in range(64)]}
    return {
        "nemo_mel": run(**speech, normalize="NA"),
        "nemo_mel_clamp": run(
            normalize="NA", window="hamming", log_zero_guard_type="clamp", preemph=None, mag_power=1.0
        ),
        "nemo_mel_fixed": run(normalize=fixed),
    }


def openwakeword_features() -> dict[str, Features]:
    import openwakeword

    models = Path(openwakeword.__file__).parent / "resources" / "models"
    import onnxruntime

    session = onnxruntime.InferenceSession(str(models / "melspectrogram.onnx"))
    return {"openwakeword_mel": lambda x: session.run(None, {"input": x[None] * np.float32(32768.0)})[0][0, 0] / 10 + 2}


LIBRARIES: dict[str, Callable[[], dict[str, Features]]] = {
    "kaldi-native-fbank": kaldi,
    "librosa": librosa_features,
    "torchaudio": torchaudio_features,
    "transformers": whisper,
    "nemo_toolkit": nemo,
    "openwakeword": openwakeword_features,
}


def main() -> None:
    before = dict(np.load(FILE)) if FILE.exists() else {}
    found = {**before, **{f"signal/{name}": x for name, x in signals().items()}}
    for library, cases in LIBRARIES.items():
        try:
            version = importlib.metadata.version(library)
            made = cases()
        except ImportError as err:
            print(f"{library}: kept as it was: {err}", file=sys.stderr)
            continue
        found[f"version/{library}"] = np.array(version)
        for name, features in made.items():
            for signal, x in signals().items():
                found[f"{name}/{signal}"] = np.asarray(features(x), np.float32)
    np.savez_compressed(FILE, **found)
    print(f"{len(found)} arrays, {FILE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
