"""A sweep of 40 trials: two processes over one, and what a kill in the middle costs.

    python benchmarks/large/sweeps.py [--trials 40]

Needs Optuna (the ``sweep`` extra). The trials compile examples/models/crnn.torchscript.onnx with many chunk sizes.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODEL = Path(__file__).parents[2] / "examples" / "models" / "crnn.torchscript.onnx"
SPEC = """version: 1
model: {model}
output: model.onnx
stream: {{chunk: 16, frame_ms: 10}}
passes: [lift_state, fold_constants, fuse, simplify]
"""
SWEEP = """version: 1
spec: spec.yaml
output: {output}
vary:
  stream.chunk: [{chunks}]
  passes.quantize: [null, {{mode: dynamic, tolerance: {{snr_db: 10}}}}]
"""


def command(folder: Path, output: str, chunks: list[int], jobs: int) -> list[str]:
    path = folder / f"{output}.yaml"
    path.write_text(SWEEP.format(output=output, chunks=", ".join(map(str, chunks))))
    return [sys.executable, "-m", "graphc", "sweep", str(path), "--jobs", str(jobs)]


def results(folder: Path, output: str) -> dict[str, int]:
    """When each result was written."""
    return {p.parent.name: p.stat().st_mtime_ns for p in (folder / output / "trials").glob("*/result.json")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=40)
    chunks = [8 * (index + 1) for index in range(parser.parse_args().trials // 2)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spec.yaml").write_text(SPEC.format(model=os.path.relpath(MODEL, folder)))
        seconds = {}
        for jobs in (1, 2):
            start = time.monotonic()
            subprocess.run(command(folder, f"jobs{jobs}", chunks, jobs), check=True)
            seconds[jobs] = time.monotonic() - start
            print(f"{len(results(folder, f'jobs{jobs}'))} trials, {jobs} at once: {seconds[jobs]:.1f} s", flush=True)
        print(f"two processes over one: {seconds[1] / seconds[2]:.2f} times as fast")
        told = command(folder, "killed", chunks, 2)
        process = subprocess.Popen(told)
        time.sleep(seconds[2] / 2)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = results(folder, "killed")
        start = time.monotonic()
        subprocess.run(told, check=True)
        after = results(folder, "killed")
        again = sum(after[key] != stamp for key, stamp in before.items())
        rest = time.monotonic() - start
        print(f"killed after {len(before)} of {len(after)} results: {again} done again, the rest in {rest:.1f} s")


if __name__ == "__main__":
    main()
