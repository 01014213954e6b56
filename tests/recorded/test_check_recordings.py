"""``graphc validate --recordings``: many recordings compared in processes, and what is said of them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import graphc
from conftest import ROOT
from one_error import one_line
from onnx import numpy_helper

from graphc.offline.prepare import offline_of
from graphc.recorded.check_recordings import lines_of, shares
from graphc.recorded.share import Recorded
from graphc.spec.stream_schema import StreamSpec
from graphc.validate.compare import Difference

SPEC = f"""version: 1
model: {ROOT / "examples" / "models" / "lstm_tagger.torchscript.onnx"}
output: out/tagger.onnx
stream: {{chunk: 5, frame_ms: 10, inputs: {{features: {{axis: 1}}}}}}
passes: [lift_state, fuse]
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A spec that is compiled, and seven recordings of its features."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "tagger.yaml").write_text(SPEC)
    assert graphc("compile", folder / "tagger.yaml").returncode == 0
    (folder / "speech").mkdir()
    rng = np.random.default_rng(0)
    for number in range(7):
        features = rng.standard_normal((1, 20 + 10 * number, 40)).astype(np.float32)
        np.save(folder / "speech" / f"{number}.npy", features)
    return folder


def validated(folder: Path, *more: str | Path) -> tuple[int, dict[str, Any]]:
    done = graphc("validate", "--json", folder / "tagger.yaml", "--recordings", folder / "speech", *more)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_every_recording_is_compared_in_any_number_of_processes(compiled: Path) -> None:
    status, found = validated(compiled)
    assert status == 0
    assert found["holds"]
    assert [Path(r["file"]).name for r in found["recordings"]] == [f"{n}.npy" for n in range(7)]
    assert [r["frames"] for r in found["recordings"]] == [20 + 10 * n for n in range(7)]
    assert all(r["outputs"][0]["max_abs"] < 1e-5 for r in found["recordings"])
    assert found["lines"][0] == "tagger.yaml: 7 recordings, 0.1 min of stream"
    assert found["lines"][1].startswith("tagger.yaml: log_probs: equal: largest error ")
    assert validated(compiled, "--jobs", "2") == (status, found)


def test_a_recording_that_cannot_be_read_stops_no_other(compiled: Path) -> None:
    broken = compiled / "broken.npy"
    broken.write_bytes(b"\x93NUMPY")
    status, found = validated(compiled, "--recordings", broken)
    assert status == 2
    assert found["holds"]
    assert found["refused"] == 1
    assert len(found["recordings"]) == 8
    assert found["lines"][-1].startswith("tagger.yaml: broken.npy: refused: ")


def test_a_model_that_differs_ends_with_1(compiled: Path) -> None:
    path = compiled / "out" / "tagger.onnx"
    right = path.read_bytes()
    model = onnx.load(path)
    weight = next(t for t in model.graph.initializer if t.dims == [10])
    shifted = numpy_helper.to_array(weight) + np.arange(10, dtype=np.float32)
    weight.CopyFrom(numpy_helper.from_array(shifted, weight.name))
    onnx.save(model, path)
    try:
        status, found = validated(compiled)
    finally:
        path.write_bytes(right)
    assert status == 1
    assert "log_probs: NOT EQUAL in 7 of 7: largest error " in found["lines"][1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--recordings", "none"), "there is no such file"),
        (("--jobs", "2"), "--jobs and --dask need --recordings"),
        (("--recordings", ".", "--mutants"), "--recordings cannot be combined with --mutants"),
        (("--recordings", ".", "--minutes", "1", "--jobs", "2"), "cannot be combined with --minutes"),
    ],
)
def test_what_does_not_go_together_is_said(compiled: Path, words: tuple[str, ...], said: str) -> None:
    done = graphc("validate", compiled / "tagger.yaml", *words)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_what_was_not_compiled_is_said_once(compiled: Path, tmp_path: Path) -> None:
    (tmp_path / "tagger.yaml").write_text(SPEC)
    done = graphc("validate", tmp_path / "tagger.yaml", "--recordings", compiled / "speech", "--jobs", "2")
    assert done.returncode == 2
    assert "it has not been compiled; graphc compile" in one_line(done)


def test_where_none_can_be_compared_the_first_reason_is_said(compiled: Path) -> None:
    for number in range(2):
        (compiled / f"empty{number}.npy").write_bytes(b"")
    words = [w for n in range(2) for w in ("--recordings", str(compiled / f"empty{n}.npy"))]
    done = graphc("validate", compiled / "tagger.yaml", *words)
    assert done.returncode == 2
    assert "none of 2 recordings could be compared; the first: " in one_line(done)


@pytest.mark.nightly
def test_a_dask_cluster(compiled: Path, dask_address: str) -> None:
    assert validated(compiled, "--dask", dask_address) == validated(compiled)


@pytest.mark.parametrize(("files", "slots"), [(1, 1), (7, 2), (1000, 3), (3, 100)])
def test_shares_hold_every_file_once(files: int, slots: int) -> None:
    paths = [Path(str(n)) for n in range(files)]
    found = shares(paths, slots)
    assert [p for share in found for p in share] == paths
    assert max(map(len, found)) <= 50
    assert len(found) >= min(files, slots)


def test_the_worst_recordings_are_named() -> None:
    def recorded(file: str, error: float, snr: float | None, holds: bool = True) -> Recorded:
        reason = "" if holds else "differs by too much"
        return Recorded(file, 6000, 6000, (Difference("y", error, error, snr, 17, holds, reason),))

    compared = [recorded("a/1.wav", 1e-6, 110), recorded("a/2.wav", 0.5, 3, holds=False), recorded("a/3.wav", 0, None)]
    half = Recorded("a/4.wav", 3000, 6000)
    assert lines_of([half], [], 10)[0] == (
        "1 recording, 0.5 min of stream; of 1 only the first part, because the offline model takes no longer stream"
    )
    refused = [Recorded(f"{n}.wav", refused="no sound") for n in range(12)]
    lines = lines_of(compared, refused, 10)
    assert lines[:2] == [
        "3 recordings, 3.0 min of stream",
        "y: NOT EQUAL in 1 of 3: largest error 0.5 (2.wav), lowest SNR 3.0 dB (2.wav); differs by too much in 2.wav "
        "at frame 17",
    ]
    assert lines[-1] == "2 more were refused; --json lists all"
    assert lines_of(compared[2:], [], None) == [
        "1 recording, 6,000 frames of stream",
        "y: equal: largest error 0 (3.wav)",
    ]


def test_attention_over_all_frames_is_compared_as_far_as_memory_goes(tmp_path: Path) -> None:
    """Its scores of the whole recording would take 1.6 GB; a limit of the process makes the run fail."""
    body = "s = MatMul (a, x) p = Softmax <axis=-1> (s) q = MatMul (p, a) y = Transpose <perm=[0,2,1]> (q)"
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[1,2,T] x) => (float[1,2,T] y) '
        f"{{ a = Transpose <perm=[0,2,1]> (x) {body} }}"
    )
    offline = offline_of(model, StreamSpec(chunk=1))
    program = (
        "import resource, sys, onnx\n"
        "from pathlib import Path\n"
        "from graphc.offline.prepare import offline_of\n"
        "from graphc.spec.stream_schema import StreamSpec\n"
        "from graphc.validate.recorded_streams import longest_taken\n"
        "from graphc.validate.validation_streams import WholeReference\n"
        "offline = offline_of(onnx.load(sys.argv[1]), StreamSpec(chunk=1))\n"
        "held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (held + 12 * 10**8,) * 2)\n"
        "import numpy as np\n"
        "feeds = {'x': np.zeros((1, 2, 20000), np.float32)}\n"
        "print(longest_taken(WholeReference(offline), feeds, 20000, Path('long.npy')).frames, sorted(offline.too_large))\n"
    )
    assert offline.accepts(100)
    onnx.save(model, tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "model.onnx")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["10000", "[20000]"]
