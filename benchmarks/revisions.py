"""The cost of lifting compared with another revision: both in one run, taking turns, as ratios of medians.

    python benchmarks/revisions.py [--base 61042c6] [--rounds 3] [--networks 10000]

Needs torch (the ``export`` extra) for the Conformer. The other revision runs from a git worktree with the packages of
this environment. Prints one line for each figure, for how many examples the lengths are proved, and the results of
random networks.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
SMALL = ("attention_band.torchscript", "lstm_tagger.torchscript", "tcn.torchscript", "keyword_dscnn.torchscript")
SPEC = """version: 1
model: {model}
output: {output}
stream: {{chunk: 4, inputs: {{x: {{axis: 1}}}}}}
passes: [lift_state, fold_constants, fuse, simplify]
"""
LIFT = """
import sys, time, warnings
warnings.simplefilter("ignore")
from pathlib import Path
from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.propagation.analysis import analyse
from graphc.stream.lift import lift
inputs = {name: InputSpec(axis=int(axis)) for name, axis in (a.split("=") for a in sys.argv[2:])} or None
start = time.perf_counter()
lift(analyse(offline_of(read_model(Path(sys.argv[1])), StreamSpec(chunk=1, inputs=inputs))))
print(time.perf_counter() - start)
"""
FLAT = {
    "graphc.ir.model": "graphc.model",
    "graphc.offline.prepare": "graphc.offline",
    "graphc.spec.stream_schema": "graphc.spec",
    "graphc.stream.propagation.analysis": "graphc.stream.analysis",
}
COMPILE = """
import sys, time, warnings
warnings.simplefilter("ignore")
import graphc
start = time.perf_counter()
graphc.compile(sys.argv[1])
print(time.perf_counter() - start)
"""


@contextmanager
def revision(name: str) -> Iterator[Path]:
    """A folder from which another revision is imported."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        subprocess.run(
            ["git", "-C", str(ROOT), "worktree", "add", "-f", "--detach", str(tree), name],
            check=True,
            capture_output=True,
        )
        packages = Path(folder) / "packages"
        packages.mkdir()
        (packages / "graphc").symlink_to(tree / "src" / "graphc")
        (packages / "graphc_passes").symlink_to(tree / "passes")
        try:
            yield packages
        finally:
            subprocess.run(["git", "-C", str(ROOT), "worktree", "remove", "-f", str(tree)], check=True)


def seconds(script: str, packages: Path | None, *arguments: str) -> float:
    """The number that a script prints last. Revisions before the package tree have their modules in one flat folder."""
    environment = {**os.environ, **({"PYTHONPATH": str(packages)} if packages is not None else {})}
    if packages is not None and not (packages / "graphc" / "ir").exists():
        for name, flat in FLAT.items():
            script = script.replace(name, flat)
    command = [sys.executable, "-c", script, *arguments]
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return float(run.stdout.split()[-1])


def ratio(title: str, script: str, base: Path, rounds: int, *arguments: str) -> None:
    """Prints the ratio of medians; the revisions take turns."""
    now, then = [], []
    for _ in range(rounds):
        now.append(seconds(script, None, *arguments))
        then.append(seconds(script, base, *arguments))
    one, other = statistics.median(now), statistics.median(then)
    print(f"{title}: {one / other:.2f} ({one:.2f} s over {other:.2f} s)", flush=True)


def lines_of(packages: Path) -> int:
    """Lines of code in the folder that lifts."""
    return sum(len(p.read_text().splitlines()) for p in (packages / "graphc" / "stream").rglob("*.py"))


def networks(count: int) -> None:
    """Prints the results of random networks (``tests/many_networks.py``)."""
    command = [sys.executable, str(ROOT / "tests" / "many_networks.py"), "--networks", str(count)]
    told = subprocess.run(command, capture_output=True, text=True).stdout
    found: Counter[str] = Counter()
    for line in told.splitlines():
        number, _, kind = line.strip().partition("  ")
        if number.isdigit():
            found[kind.rpartition(": ")[2]] += int(number)
    print(f"random networks, {count}: {found['wrong']} wrong, {found['refused']} refused, {found['equal']} equal")


def proved() -> None:
    """Prints for how many examples the lengths are proved, and why the others are not."""
    from graphc.errors import SpecError
    from graphc.ir.model import read_model
    from graphc.offline.prepare import offline_of
    from graphc.spec.spec_file import load_spec
    from graphc.spec.stream_schema import InputSpec, StreamSpec
    from graphc.stream.propagation.analysis import analyse
    from graphc_runtime.errors import StreamError

    guesses = (
        None,
        {"wave": InputSpec(axis=2)},
        {"features": InputSpec(axis=1), "lengths": InputSpec(counts="features")},
    )
    told: dict[str, str | None] = {}
    for path in sorted(
        p for kind in ("models", "packages", "exporters") for p in (ROOT / "examples" / kind).glob("*.onnx")
    ):
        spec = ROOT / "specs" / f"{path.stem}.yaml"
        streams = [load_spec(spec).spec.stream] if spec.exists() else [StreamSpec(chunk=1, inputs=g) for g in guesses]
        for stream in streams:
            try:
                promise = analyse(offline_of(read_model(path), stream or StreamSpec(chunk=1))).promise
            except SpecError:
                continue
            except StreamError:
                break
            told[path.name] = next((f"{k}: {v}" for k, v in promise.tried.items()), None)
            break
    tried = {name: why for name, why in told.items() if why is not None}
    print(f"lengths proved: {len(told) - len(tried)} of {len(told)} examples that are lifted")
    for name, why in tried.items():
        print(f"  tried: {name}: {why}")


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="61042c6")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--networks", type=int, default=10_000)
    arguments = parser.parse_args()
    from conformer import Size, conformer
    from lifting import large_model, measured
    from streaming_twin import export_whole

    with revision(arguments.base) as base, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        export_whole(conformer(Size()), Size().dim, folder / "whole.onnx")
        (folder / "spec.yaml").write_text(SPEC.format(model="whole.onnx", output="out/whole.onnx"))
        ratio("lift of a 16-layer Conformer", LIFT, base, arguments.rounds, str(folder / "whole.onnx"), "x=1")
        ratio("its whole compilation", COMPILE, base, arguments.rounds, str(folder / "spec.yaml"))
        for example in SMALL:
            model = ROOT / "examples" / "models" / f"{example}.onnx"
            ratio(f"lift of {example}", LIFT, base, arguments.rounds, str(model))
        large_model(folder / "large.onnx")
        size = sum(f.stat().st_size for f in folder.glob("large*"))
        took, peak = measured(folder / "large.onnx")
        print(
            f"lift of {size / 4e6:.0f} million parameters: {took:.1f} s, peak memory {peak / size:.2f} times the file"
        )
        print(f"lines of stream/: {lines_of(ROOT / 'src')} over {lines_of(base)}")
    proved()
    networks(arguments.networks)


if __name__ == "__main__":
    main()
