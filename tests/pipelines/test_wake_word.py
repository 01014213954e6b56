"""openWakeWord from samples to score: the package's own predictions, and what the README says, in three languages."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

import graphc
from graphc_runtime import Pipeline
from graphc_runtime.command import main as stream_command

EXAMPLE = ROOT / "examples" / "wake_word"
SOUND = EXAMPLE / "alexa.wav"
SCORES = Path(__file__).with_name("alexa_scores.npy")
HEARD = ["alexa: heard at 2.00 s, score 0.995", "alexa: heard at 6.00 s, score 0.995"]
WEB = ROOT / "clients" / "web"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
NEAR = 1e-5
NEAR_IN_A_BROWSER = 1e-4
pytestmark = pytest.mark.xdist_group("wake_word")
needs_clone = pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="`make` has not set up .venv")


@pytest.fixture(scope="module")
def folder() -> Path:
    """The compiled pipeline."""
    try:
        runpy.run_path(str(EXAMPLE / "fetch.py"))["fetch"](ROOT / "out" / "wake_word")
    except subprocess.CalledProcessError:
        pytest.skip("the wheel of openwakeword cannot be fetched from PyPI")
    graphc.compile(EXAMPLE / "alexa.yaml")
    return ROOT / "out" / "alexa"


def sound() -> np.ndarray:
    with wave.open(str(SOUND)) as file:
        return (np.frombuffer(file.readframes(10**7), "<i2") / np.float32(32768))[None]


@pytest.mark.parametrize("piece", [1280, 700, 5000])
def test_scores_are_those_of_the_package(folder: Path, piece: int) -> None:
    pipeline, heard, scores, events = Pipeline(folder), sound(), [], []
    for at in range(0, heard.shape[1], piece):
        events += pipeline.push(heard[:, at : at + piece])
        scores.append(pipeline.outputs["score"].ravel())
    want = np.load(SCORES)
    got = np.concatenate(scores)
    assert got.size == want.size
    assert np.abs(got - want)[5:].max() < NEAR
    assert [round(event.seconds, 2) for event in events] == [2.0, 6.0]


def test_a_stage_that_slides_is_lifted(folder: Path) -> None:
    manifest = json.loads((folder / "pipeline.manifest.json").read_text())
    assert [stage["name"] for stage in manifest["stages"]] == ["melspectrogram", "embedding", "word"]
    assert {s["kind"] for s in manifest["stages"][1]["manifest"]["states"]} == {"conv_context"}


def test_what_was_compiled_is_not_compiled_again(folder: Path) -> None:
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert graphc.compile(EXAMPLE / "alexa.yaml").up_to_date
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


def test_the_terminal_says_what_was_heard(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert stream_command([str(folder), str(SOUND)]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == HEARD


def commands() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    return next(block for block in blocks if block.startswith("make wake_word")).splitlines()


@needs_clone
@pytest.mark.skipif(shutil.which("cmake") is None or shutil.which("g++") is None, reason="cmake and g++ are not here")
@pytest.mark.parametrize("place", [0, pytest.param(1, marks=pytest.mark.nightly)])
def test_the_readme_hears_the_word_in_the_terminal_and_in_cpp(folder: Path, place: int) -> None:
    done = subprocess.run(commands()[place].split(), cwd=ROOT, capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if "heard" in line] == HEARD


@needs_clone
@pytest.mark.nightly
@pytest.mark.skipif(shutil.which("node") is None or CHROMIUM is None, reason="node or chromium is not installed")
@pytest.mark.skipif(not (WEB / "node_modules" / "playwright-core").is_dir(), reason="`make web` was not run")
def test_the_readme_hears_the_word_in_a_page(folder: Path, tmp_path: Path) -> None:
    with subprocess.Popen(
        [*commands()[2].split(), "PORT=0"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as server:
        try:
            assert server.stdout is not None
            url = next(line.strip() for line in server.stdout if line.startswith("http://"))
            drive = ["node", "tests/drive_page.js", url, str(SOUND), str(tmp_path / "page.png")]
            environment = {**os.environ, "CHROMIUM": str(CHROMIUM)}
            done = subprocess.run(drive, cwd=WEB, env=environment, capture_output=True, text=True, check=True)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    seen = json.loads(done.stdout)
    assert seen["complaint"] == ""
    assert [event["seconds"] for event in seen["events"]] == pytest.approx([2.0, 6.0])
    assert np.abs(np.array(seen["values"]) - np.load(SCORES))[5:].max() < NEAR_IN_A_BROWSER
