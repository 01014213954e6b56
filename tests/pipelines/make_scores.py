"""Writes examples/wake_word/alexa.wav, and what the package openwakeword says of it, 80 ms after 80 ms.

    pip install openwakeword==0.5.1
    python tests/pipelines/make_scores.py

The package begins with noise of its own, another in every process. Here it hears that of the pipeline's ``prime`` first.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import numpy as np
import scipy.signal
import soundfile
from openwakeword.model import Model

HERE = Path(__file__).parent
SOUND = HERE.parents[1] / "examples" / "wake_word" / "alexa.wav"
RATE, CALL, PRIMED, LEVEL = 16000, 1280, 38, 0.03


def spoken(text: str, voice: str) -> np.ndarray:
    wave = subprocess.run(["espeak-ng", "-v", voice, "--stdout", text], capture_output=True, check=True).stdout
    samples, rate = soundfile.read(io.BytesIO(wave), dtype="float32")
    return np.asarray(scipy.signal.resample_poly(samples, RATE, rate))


def sound() -> np.ndarray:
    """The word twice, between noise, silence and another sentence; 16-bit numbers."""
    rng = np.random.default_rng(0)
    faint, loud = (rng.standard_normal(RATE) * level for level in (0.01, 0.1))
    silence = np.zeros(RATE // 2)
    low, other, high = spoken("alexa", "en"), spoken("turn off the light", "en-us"), spoken("alexa", "en-gb+f4")
    samples = np.concatenate([faint, silence, low, silence, other, loud, silence, high, silence, faint])
    whole = samples[: len(samples) // CALL * CALL]
    return (np.clip(whole, -1, 1) * 32767).astype(np.int16)


def main() -> None:
    samples = sound()
    soundfile.write(SOUND, samples, RATE, subtype="PCM_16")
    model = Model(wakeword_models=[str(models() / "alexa_v0.1.onnx")], inference_framework="onnx")
    rng = np.random.default_rng(0)
    for _ in range(PRIMED):
        model.predict((rng.uniform(-LEVEL, LEVEL, CALL).astype(np.float32) * 32768).astype(np.int16))
    scores = [model.predict(samples[at : at + CALL]) for at in range(0, len(samples), CALL)]
    np.save(HERE / "alexa_scores.npy", np.array([next(iter(s.values())) for s in scores], np.float32))
    print(f"{len(scores)} scores, the largest {max(next(iter(s.values())) for s in scores):.3f}")


def models() -> Path:
    import openwakeword

    return Path(openwakeword.__file__).parent / "resources" / "models"


if __name__ == "__main__":
    main()
