"""What goes wrong around graphc: kills, two at once, readers, workers that die. Outputs are whole, the old or the new."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import SPEC
from faults import TwoSpecs, child_of, kill_often

from graphc.system.files import write_all

Specs = Callable[..., Path]
COMPILE = (sys.executable, "-m", "graphc", "compile")
POWERS = "-dac_override,-dac_read_search"
WITHOUT_POWERS = () if os.geteuid() else ("setpriv", f"--inh-caps={POWERS}", f"--bounding-set={POWERS}")


@pytest.fixture(scope="module")
def two_specs(tmp_path_factory: pytest.TempPathFactory) -> TwoSpecs:
    return TwoSpecs(tmp_path_factory.mktemp("two_specs"))


@pytest.mark.xdist_group("two_specs")
def test_killed_at_random_moments(two_specs: TwoSpecs) -> None:
    counts = kill_often(two_specs, 2, seed=1)
    assert sum(counts.values()) == 2
    assert set(counts) <= {"old after a kill", "new after a kill", "finished before it"}, counts


@pytest.mark.nightly
@pytest.mark.xdist_group("two_specs")
def test_two_compilations_of_one_output(two_specs: TwoSpecs) -> None:
    running = [two_specs.start(spec) for spec in two_specs.specs]
    assert [process.wait() for process in running] == [0, 0]
    two_specs.settle()
    assert two_specs.state() in ("four", "eight")
    assert two_specs.left_over() == []


def test_a_reader_keeps_what_it_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    write_all({path: b"old" * 1000})
    with path.open("rb") as reader:
        write_all({path: b"new" * 1000})
        assert reader.read() == b"old" * 1000
    assert path.read_bytes() == b"new" * 1000


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".model.onnx.0123abcd.tmp"
    left.write_bytes(b"half")
    other = tmp_path / ".another.onnx.0123abcd.tmp"
    other.write_bytes(b"of somebody else")
    write_all({tmp_path / "model.onnx": b"whole"})
    assert not left.exists()
    assert other.exists()


@pytest.mark.parametrize("victim", [pytest.param("parent", marks=pytest.mark.nightly), "child"])
def test_a_crash_of_native_code_is_told(project: Specs, victim: str) -> None:
    spec = project(spec=SPEC + "validate: {sequences: 4000, frames: [300, 400]}\n")
    process = subprocess.Popen(
        [*COMPILE, str(spec)],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = waited_for(lambda: child_of(process.pid))
    time.sleep(1.0)
    os.kill(process.pid if victim == "parent" else child, signal.SIGKILL if victim == "parent" else signal.SIGSEGV)
    _, said = process.communicate(timeout=20)
    if victim == "child":
        assert process.returncode == 2
        assert said.startswith("graphc: error: native code crashed (SIGSEGV); no output is half written")
    waited_for(lambda: not Path(f"/proc/{child}").exists() or None)
    assert not (spec.parent / "out").exists()


@pytest.mark.parametrize("existing", [True, False])
def test_a_read_only_folder_is_left_as_it_is(project: Specs, existing: bool) -> None:
    spec = project()
    locked = spec.parent / "out" if existing else spec.parent
    locked.mkdir(exist_ok=True)
    before = sorted(p.name for p in spec.parent.rglob("*"))
    locked.chmod(0o555)
    try:
        done = subprocess.run([*WITHOUT_POWERS, *COMPILE, str(spec)], capture_output=True, text=True, check=False)
    finally:
        locked.chmod(0o755)
    assert done.returncode == 2
    where = spec.parent / "out" / ("model.stream.manifest.json" if existing else "")
    assert done.stderr == f"graphc: error: {where}: the outputs cannot be written: Permission denied\n"
    assert sorted(p.name for p in spec.parent.rglob("*")) == before


def test_nothing_is_left_where_temporary_files_go(project: Specs, tmp_path: Path) -> None:
    spec = project(spec=SPEC.replace("fuse]", "simplify, fuse]"))
    temporary, home = tmp_path / "temporary", tmp_path / "home"
    for folder in (temporary, home):
        folder.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    environment |= {"TMPDIR": str(temporary), "HOME": str(home)}
    subprocess.run([*COMPILE, str(spec)], env=environment, check=True)
    assert list(temporary.rglob("*")) == []
    assert list(home.rglob("*")) == []


def test_a_worker_that_dies_costs_its_pass_at_most(project: Specs, tmp_path: Path) -> None:
    """It starts early, and another one takes its place where it ends before it is asked."""
    spec = project(spec=SPEC.replace("fuse]", "simplify, fuse]"))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [*COMPILE, "-v", str(spec)],
        env={**os.environ, "TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    child = waited_for(lambda: child_of(process.pid))
    worker = waited_for(lambda: child_of(child))
    os.kill(worker, signal.SIGKILL)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    simplified = [line for line in said.splitlines() if line.startswith("simplify: ")]
    assert "left as it was: the process of onnxsim ended" in simplified[0] or " nodes to " in simplified[0]
    assert list(temporary.iterdir()) == []


def waited_for(found: Callable[[], int | None]) -> int:
    """What a search finds within some seconds."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        value = found()
        if value is not None:
            return value
        time.sleep(0.002)
    raise AssertionError("it never came")
