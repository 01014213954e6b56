"""The clients in C++ and for the web say what the Python client says, piece by piece."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from commands import graphc as command
from conftest import ROOT
from tests.pipelines.test_text import utterances
from tests.pipelines.text_cases import compile_examples, compile_joiner_with_predictor

import graphc
from graphc_runtime import Pipeline, Transcript
from graphc_runtime.command import main as stream_command
from graphc_runtime.pipeline.manifest import CtcEntry
from graphc_runtime.pipeline.text import text_of

WEB = ROOT / "clients" / "web"
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CAPI = Path(onnxruntime.__file__).parent / "capi"
ALEXA = ROOT / "examples" / "wake_word" / "alexa.wav"
PIECES = [
    "",
    "a",
    "▁b",
    "<0xC3>",
    "<0xB6>",
    "<0xE2>",
    "<0x82>",
    "<0xf0>",
    "<0x9F>",
    "ö",
    "<0x41>",
    "▁",
    "<0xED>",
    "<0xA0>",
]
pytestmark = [pytest.mark.nightly, pytest.mark.xdist_group("text")]


def run(*words: str | Path) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module", params=["cpp", "web"])
def player(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """The command that plays frames through a pipeline."""
    if request.param == "web":
        if not (WEB / "node_modules" / "onnxruntime-web").is_dir():
            pytest.skip("node is not installed, or `make web` was not run")
        return ["node", WEB / "tests" / "text.js"]
    if shutil.which("cmake") is None:
        pytest.skip("cmake is not installed")
    folder = tmp_path_factory.mktemp("text_in_cpp")
    settings = (f"-DONNXRUNTIME={CAPI}", "-DGRAPHC_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Debug")
    run("cmake", "-S", ROOT / "clients" / "cpp", "-B", folder, *settings)
    run("cmake", "--build", folder, "--target", "text")
    return [folder / "text"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    compiled = compile_examples(tmp_path_factory.mktemp("text")) / "out"
    joint = compile_joiner_with_predictor(tmp_path_factory.mktemp("joint")) / "out" / "pipe"
    return {"ctc": compiled / "ctc", "transducer": compiled / "transducer", "joint": joint}


def lines_of(told: Sequence[object]) -> list[str]:
    said = [t for t in told if isinstance(t, Transcript)]
    return [
        " ".join([f"{t.seconds:.6f}", "final" if t.final else "so far", *map(str, t.tokens), f"[{t.text}]"])
        for t in said
    ]


@pytest.mark.parametrize("endpoint_s", [None, 0.04, 0.4])
@pytest.mark.parametrize("kind", ["ctc", "transducer", "joint"])
def test_transcripts_are_those_of_python(
    player: list[str | Path], folders: dict[str, Path], tmp_path: Path, kind: str, endpoint_s: float | None
) -> None:
    """The tokens of the table are bytes of characters, whole and cut."""
    file = folders[kind] / "pipeline.manifest.json"
    data = json.loads(file.read_text())
    data["decoder"] |= {"endpoint_s": endpoint_s, "tokens": (PIECES * 3)[: 5 if kind == "joint" else 29]}
    file.write_text(json.dumps(data))
    rng, said = np.random.default_rng(2), 0
    for frames in utterances("ctc" if kind == "ctc" else "transducer", 12):
        values = np.maximum(frames[:, :, :5], 0).swapaxes(1, 2) if kind == "joint" else frames
        axis = 2 if kind == "joint" else 1
        sizes = []
        while sum(sizes) < values.shape[axis]:
            most = min(3000 if kind == "ctc" else 50, values.shape[axis] - sum(sizes))
            sizes.append(int(rng.integers(0, most + 1)))
        pipeline = Pipeline(file.parent)
        told: list[object] = []
        for at, size in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True):
            told += pipeline.push(np.take(values, range(at, at + size), axis))
        told += pipeline.flush()
        np.ascontiguousarray(np.moveaxis(values, axis, 0)).tofile(tmp_path / "frames.bin")
        shown = run(*player, file.parent, tmp_path / "frames.bin", *map(str, sizes)).splitlines()
        assert shown == lines_of(told)
        said += len(shown)
    assert said > 10


def test_cut_characters_become_the_same_text() -> None:
    """The expectation of the comparison above: there are replaced bytes, and whole characters of bytes."""
    entry = CtcEntry(blank=0, tokens=PIECES, space="▁", endpoint_s=None, scores="s")
    assert text_of([3, 4, 5, 6, 9, 12, 13], entry) == "ö\ufffdö\ufffd\ufffd"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"predictor": None}, "its joiner takes neither a predictor's output nor a single token"),
        ({"joiner": {"stage": "join", "encoder": "e", "predictor": "p", "output": "o"}}, "join"),
        ({"encoder": "other"}, "the model gives no frames 'other'"),
        ({"blank": -1}, "its decoder is not valid"),
        ({"most_symbols": 0}, "its decoder is not valid"),
        ({"endpoint_s": "soon"}, "its decoder is not valid"),
        (
            {"joiner": {"stage": "joiner", "encoder": "e", "predictor": "predicted", "output": "logits"}},
            "has no port e",
        ),
    ],
)
def test_a_decoder_that_lies_is_refused(
    player: list[str | Path], folders: dict[str, Path], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    for path in folders["transducer"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = json.loads((tmp_path / "pipeline.manifest.json").read_text())
    data["decoder"] |= change
    (tmp_path / "pipeline.manifest.json").write_text(json.dumps(data))
    done = subprocess.run([*player, tmp_path, tmp_path / "none", "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert message in done.stdout
    assert done.stderr == ""


def test_a_project_in_cpp_transcribes_as_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graphc.compile(ROOT / "examples" / "transcript" / "transcript.yaml")
    folder = ROOT / "out" / "transcript"
    assert stream_command([str(folder), str(ALEXA)]) == 0
    want = [line for line in capsys.readouterr().out.splitlines() if "final" in line]
    made = command("client", folder, "--language", "cpp", "-o", tmp_path / "app")
    assert made.returncode == 0, made.stderr
    shown = run("make", "-C", tmp_path / "app", "run", f"FILE={ALEXA}").splitlines()
    assert [line for line in shown if "final" in line] == want
    assert "alexa turn off the light alexa" in want[-1]


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(not (WEB / "node_modules" / "playwright-core").is_dir(), reason="`make web` was not run")
def test_a_page_shows_what_was_said(tmp_path: Path) -> None:
    graphc.compile(ROOT / "examples" / "transcript" / "transcript.yaml")
    made = command("client", ROOT / "out" / "transcript", "--language", "web", "-o", tmp_path / "page")
    assert made.returncode == 0, made.stderr
    (tmp_path / "page" / "node_modules").symlink_to(WEB / "node_modules")
    drive = ["node", WEB / "tests" / "drive_page.js", tmp_path / "page", ALEXA]
    done = subprocess.run(
        drive, cwd=WEB, env={**os.environ, "CHROMIUM": str(CHROMIUM)}, capture_output=True, text=True, check=True
    )
    seen = json.loads(done.stdout)
    assert seen["complaint"] == ""
    finals = [event["text"] for event in seen["events"] if event["final"]]
    assert finals == ["alexa turn off the light alexa"]
