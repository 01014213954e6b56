"""Kills graphc compile at random moments: the outputs stay the old ones or are the new ones, never some of each.

python tests/faults.py [--kills 300] [--seed 0]
"""

from __future__ import annotations

import argparse
import fcntl
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import onnx

sys.path.insert(0, str(Path(__file__).parent))
from conftest import SPEC
from learned_start import learned_start

from graphc.build.verify_output import verify_output

VICTIMS = ("the waiting process", "the working process", "the group")
Outputs = Mapping[str, bytes]


class TwoSpecs:
    """Two specs of one output, and what a whole compilation of each writes."""

    def __init__(self, folder: Path):
        self.out, self.temporary = folder / "out", folder / "tmp"
        self.temporary.mkdir()
        onnx.save(learned_start(), folder / "model.onnx")
        self.specs = [folder / "four.yaml", folder / "eight.yaml"]
        for spec, chunk in zip(self.specs, (4, 8), strict=True):
            spec.write_text(SPEC.replace("chunk: 4", f"chunk: {chunk}").replace("fuse]", "fuse, simplify]"))
        self.seconds = 0.0
        self.models: list[bytes] = []
        for spec in self.specs:
            started = time.monotonic()
            assert self.start(spec).wait() == 0
            self.seconds = max(self.seconds, time.monotonic() - started)
            self.models.append((self.out / "model.stream.onnx").read_bytes())

    def start(self, spec: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "graphc", "compile", "--force", str(spec)],
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "TMPDIR": str(self.temporary)},
        )

    def settle(self) -> None:
        """Waits until nobody holds the folder of the outputs, and some seconds for temporary ones to be removed."""
        lock = os.open(self.out, os.O_RDONLY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        os.close(lock)
        until = time.monotonic() + 10
        while list(self.temporary.iterdir()) and time.monotonic() < until:
            time.sleep(0.01)

    def state(self) -> str:
        """Which spec the outputs are of; what is wrong where they are not whole."""
        found = verify_output(self.out / "model.stream.onnx")
        if not found["holds"]:
            return "; ".join(found["broken"])
        model = (self.out / "model.stream.onnx").read_bytes()
        return self.specs[self.models.index(model)].stem if model in self.models else "another model"

    def left_over(self) -> list[str]:
        beside = [p.name for p in self.out.iterdir() if p.name.endswith(".tmp")]
        return [*beside, *(p.name for p in self.temporary.iterdir())]


def child_of(process: int) -> int | None:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def kill(process: subprocess.Popen[bytes], victim: str) -> None:
    if victim == "the working process":
        child = child_of(process.pid)
        if child is not None:
            os.kill(child, signal.SIGKILL)
    elif victim == "the group":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def kill_often(project: TwoSpecs, kills: int, seed: int, progress: bool = False) -> Counter[str]:
    """How often which spec's outputs stood there after a kill; anything else is a mixture."""
    rng = random.Random(seed)
    counts: Counter[str] = Counter()
    for number in range(kills):
        before = project.state()
        process = project.start(project.specs[number % 2])
        late = rng.random() < 0.7
        time.sleep(rng.uniform(0.75 if late else 0.0, 1.1) * project.seconds)
        finished = process.poll() is not None
        if not finished:
            kill(process, rng.choice(VICTIMS))
        project.seconds *= 0.97 if finished else 1.01
        process.wait()
        project.settle()
        if left := [*project.temporary.iterdir()]:
            counts[f"LEFT: {left}"] += 1
        after = project.state()
        asked = project.specs[number % 2].stem
        if after == asked and after != before:
            counts["finished before it" if finished else "new after a kill"] += 1
        elif after == before:
            counts["finished before it" if finished else "old after a kill"] += 1
        else:
            counts[f"MIXED: {after}"] += 1
        if progress and number % 20 == 19:
            print(number + 1, dict(counts), flush=True)
    assert project.start(project.specs[0]).wait() == 0
    assert project.state() == project.specs[0].stem
    if left := project.left_over():
        counts[f"LEFT: {left}"] += 1
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="graphc-faults-") as folder:
        counts = kill_often(TwoSpecs(Path(folder)), arguments.kills, arguments.seed, progress=True)
    for what, count in counts.items():
        print(f"{count:5}  {what}")
    return 1 if any(what.startswith(("MIXED", "LEFT")) for what in counts) else 0


if __name__ == "__main__":
    sys.exit(main())
