"""Speech from espeak-ng, which Debian packages: no recording is needed or shipped."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from spectrum import resampled

SENTENCES = (
    "The birch canoe slid on the smooth planks. Glue the sheet to the dark blue background.",
    "It is easy to tell the depth of a well. These days a chicken leg is a rare dish.",
)


def spoken(rate: int, voice: str = "en") -> NDArray[Any]:
    """Two sentences with pauses, float32 in [-1, 1] at a sample rate, spoken by a voice of espeak-ng."""
    if shutil.which("espeak-ng") is None:
        raise SystemExit("espeak-ng is needed: apt-get install espeak-ng")
    pause = np.zeros(rate // 2, np.float32)
    parts: list[NDArray[Any]] = [pause]
    with tempfile.TemporaryDirectory() as folder:
        for index, sentence in enumerate(SENTENCES):
            path = Path(folder) / f"{index}.wav"
            subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", str(path), sentence], check=True)
            with wave.open(str(path)) as file:
                samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
                parts += [resampled(samples, file.getframerate(), rate), pause]
    return np.concatenate(parts)
