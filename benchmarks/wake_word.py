"""The wake word compared with the package that its models come from: ``python benchmarks/wake_word.py``.

    pip install --no-deps openwakeword==0.5.1 && pip install scikit-learn tqdm requests

One thread, a second of sound, taking turns; then a page of headless Chromium (node, chromium and `make web`).
"""

from __future__ import annotations

import json
import os
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy as np

import graphc
from graphc_runtime import Pipeline

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "wake_word"
CALL, RATE, ROUNDS = 1280, 16000, 40


def main() -> None:
    runpy.run_path(str(EXAMPLE / "fetch.py"))["fetch"](ROOT / "out" / "wake_word")
    graphc.compile(EXAMPLE / "alexa.yaml")
    with wave.open(str(EXAMPLE / "alexa.wav")) as file:
        numbers = np.frombuffer(file.readframes(10**7), "<i2")
    beside_the_package(numbers)
    in_a_page()


def beside_the_package(numbers: np.ndarray) -> None:
    try:
        from openwakeword.model import Model
    except ImportError as err:
        print(f"openwakeword is not installed: {err}", file=sys.stderr)
        return
    package = Model(wakeword_models=[str(ROOT / "out" / "wake_word" / "alexa_v0.1.onnx")], inference_framework="onnx")
    pipeline = Pipeline(ROOT / "out" / "alexa")
    samples = (numbers / np.float32(32768))[None]
    pairs = []
    for turn in range(ROUNDS):
        first = turn % 6 * RATE
        spans = [(at, at + CALL) for at in range(first, first + RATE - CALL + 1, CALL)]
        start = time.perf_counter()
        for a, b in spans:
            package.predict(numbers[a:b])
        middle = time.perf_counter()
        for a, b in spans:
            pipeline.push(samples[:, a:b])
        pairs.append((middle - start, time.perf_counter() - middle))
    theirs, ours = (statistics.median(side) for side in zip(*pairs, strict=True))
    share = statistics.median(ours / theirs for theirs, ours in pairs)
    print(
        f"a second of sound: openwakeword {theirs * 1000:.2f} ms, the pipeline {ours * 1000:.2f} ms, ratio {share:.2f}"
    )


def in_a_page() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "page"
        made = [
            sys.executable,
            "-m",
            "graphc",
            "client",
            str(ROOT / "out" / "alexa"),
            "--language",
            "web",
            "-o",
            str(folder),
        ]
        try:
            subprocess.run(made, check=True, capture_output=True)
            subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit"], cwd=folder, check=True)
            drive = ["node", "tests/drive_page.js", str(folder), str(EXAMPLE / "alexa.wav")]
            done = subprocess.run(
                drive, cwd=ROOT / "clients" / "web", capture_output=True, text=True, check=True, env=os.environ
            )
        except (OSError, subprocess.CalledProcessError) as err:
            print(f"no page: {err}", file=sys.stderr)
            return
    stats = json.loads(done.stdout)["stats"]
    print(f"in a page: {stats['busy_ms'] / 1000 / stats['heard_s']:.3f} of real time")


if __name__ == "__main__":
    main()
