"""One architecture through graphc, as its user would take it: export, init, compile at two chunks, stream."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import onnx
from ruamel.yaml import YAML

from graphc import StreamSession
from zoo.compare import difference
from zoo.environment import python_of
from zoo.recipe import Recipe

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "out" / "zoo"
GRAPHC = Path(sys.executable).parent / "graphc"
REFUSED = 3
TOO_LONG = 124
EXPORT_S = 600
COMPILE_S = 600
CLOSE = 1e-4
CHUNK = 16
FEW_CALLS = 3
WINDOW = re.compile(r"# A window, because an exact lift is refused: (.*)")
Kind = Literal["equal", "windowed", "refused", "wrong", "failed", "not exported"]


@dataclass(frozen=True)
class Result:
    """What came of one architecture with one exporter.

    Args:
        kind: "windowed" where init took a window, as an exact lift is refused; "not exported" is the exporter's or the
            recipe's failure, "failed" and "wrong" are graphc's.
        text: why, where it is not equal.
        delays: frames of each stream output.
        difference: the largest one between stream and offline over the largest value; None where only compile compared.
        max_frames: of the manifest; ``continues`` where streams go on beyond them.
        seconds: of the first compilation.
    """

    key: str
    exporter: str
    kind: Kind
    text: str = ""
    parameters: int = 0
    chunk: int = 0
    delays: dict[str, int] = field(default_factory=dict)
    state_bytes: int = 0
    max_frames: int | None = None
    continues: bool = True
    proved: bool = False
    difference: float | None = None
    seconds: float = 0.0


def try_out(recipe: Recipe, exporter: str) -> Result:
    """Runs one architecture and keeps the result in ``out/zoo/results``."""
    result = tried(recipe, exporter)
    path = FOLDER / "results" / f"{recipe.key}.{exporter}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result), indent=1) + "\n")
    return result


def results() -> list[Result]:
    """Every result that ``out/zoo/results`` holds."""
    return [Result(**json.loads(path.read_text())) for path in sorted((FOLDER / "results").glob("*.json"))]


def tried(recipe: Recipe, exporter: str) -> Result:
    model = FOLDER / "models" / f"{recipe.key}.{exporter}.onnx"
    why = exported(recipe, exporter, model)
    if why:
        return Result(recipe.key, exporter, "not exported", why)
    spec = FOLDER / "specs" / f"{model.stem}.yaml"
    spec.parent.mkdir(parents=True, exist_ok=True)
    spec.unlink(missing_ok=True)
    made = graphc("init", *recipe.told, model, "-o", spec)
    if made.status:
        return complaint(recipe, exporter, made)
    misread = put_together(spec, recipe)
    if misread:
        return Result(recipe.key, exporter, "failed", misread, seconds=made.seconds)
    done = graphc("compile", "--json", "--force", spec)
    if done.status:
        return complaint(recipe, exporter, done)
    why_window = WINDOW.search(spec.read_text())
    if why_window and not recipe.passes:
        return Result(recipe.key, exporter, "windowed", why_window[1], seconds=done.seconds)
    longer = spec.with_suffix(".longer.yaml")
    write_longer(spec, longer)
    again = graphc("compile", "--json", "--force", longer)
    if again.status:
        return complaint(recipe, exporter, again)
    return found(recipe, exporter, model, [spec, longer], json.loads(done.printed), done.seconds)


def found(
    recipe: Recipe, exporter: str, model: Path, specs: list[Path], report: dict[str, Any], seconds: float
) -> Result:
    """What a compilation made, each of its models compared with the exported one, unless a limit changed that one."""
    manifest = StreamSession(compiled_by(specs[0])).manifest
    if manifest.max_frames is not None and manifest.max_frames < FEW_CALLS * (manifest.chunk or 1):
        few = f"lifted only for streams of up to {manifest.max_frames:,} frames, as the model differs beyond that"
        return Result(recipe.key, exporter, "refused", few, seconds=seconds)
    worst: float | None = None
    kind: Kind = "equal"
    text = ""
    if not is_limited(recipe):
        try:
            worst = max(difference(model, compiled_by(spec)) for spec in specs)
            kind = "equal" if worst <= CLOSE else "wrong"
        except ValueError as err:
            kind, text = "wrong", str(err)
    return Result(
        recipe.key,
        exporter,
        kind,
        text,
        parameters=parameters_of(model),
        chunk=manifest.chunk or 0,
        delays={entry["name"]: entry["delay"] for entry in report["stream"]["outputs"]},
        state_bytes=report["stream"]["state_bytes"],
        max_frames=manifest.max_frames,
        continues=manifest.beyond == "continues",
        proved=manifest.lengths == "proved",
        difference=worst,
        seconds=seconds,
    )


def is_limited(recipe: Recipe) -> bool:
    """Whether the spec changes what the model computes, so that only `graphc compile` has the reference."""
    limit = recipe.passes.get("lift_state", {}).get("attention", {})
    return "left" in limit or "right" in limit


def put_together(spec: Path, recipe: Recipe) -> str:
    """Puts the recipe's pass options into init's spec, in place of a window; gives what init misread, or ""."""
    yaml = YAML()
    told = yaml.load(spec.read_text())
    read = {name: entry["axis"] for name, entry in told["stream"]["inputs"].items() if "axis" in entry}
    if read != recipe.time:
        return f"init reads {read}, not {recipe.time}"
    if recipe.passes and told["stream"].pop("window", None):
        told["stream"]["chunk"] = CHUNK
    told["passes"] = [{name: recipe.passes[name]} if name in recipe.passes else name for name in told["passes"]]
    with spec.open("w") as file:
        yaml.dump(told, file)
    return ""


def write_longer(spec: Path, longer: Path) -> None:
    """The same spec at three times the chunk."""
    yaml = YAML()
    told = yaml.load(spec.read_text())
    told["stream"]["chunk"] *= 3
    told["output"] = f"{longer.stem}.stream.onnx"
    with longer.open("w") as file:
        yaml.dump(told, file)


def compiled_by(spec: Path) -> Path:
    output: str = YAML(typ="safe").load(spec.read_text())["output"]
    return spec.parent / output


def parameters_of(model: Path) -> int:
    """Numbers in the initializers of an exported model."""
    initializers = onnx.load(model, load_external_data=False).graph.initializer
    return sum(math.prod(i.dims) for i in initializers)


@dataclass(frozen=True)
class Run:
    status: int
    seconds: float
    printed: str
    complaint: str


def graphc(*words: str | Path) -> Run:
    started = time.monotonic()
    try:
        done = subprocess.run([GRAPHC, *words], capture_output=True, text=True, check=False, timeout=COMPILE_S)
    except subprocess.TimeoutExpired:
        return Run(TOO_LONG, COMPILE_S, "", f"not done after {COMPILE_S} s")
    return Run(done.returncode, time.monotonic() - started, done.stdout, done.stderr)


def complaint(recipe: Recipe, exporter: str, run: Run) -> Result:
    """What graphc said where it did not compile: a refusal, or a failure of graphc's."""
    lines = [line for line in run.complaint.strip().splitlines() if line]
    return Result(
        recipe.key,
        exporter,
        "refused" if run.status == REFUSED else "failed",
        " ".join(line.strip() for line in lines).removeprefix("graphc: error: ") or f"status {run.status}",
        seconds=run.seconds,
    )


def exported(recipe: Recipe, exporter: str, model: Path) -> str:
    """Exports an architecture unless it was; gives the last line of what went wrong, or ""."""
    source = Path(sys.modules[recipe.build.__module__].__file__ or "")
    if model.is_file() and model.stat().st_mtime > source.stat().st_mtime:
        return ""
    model.parent.mkdir(parents=True, exist_ok=True)
    model.unlink(missing_ok=True)
    python = python_of(recipe.environment, FOLDER / "env")
    command = [str(python), "-m", "zoo.export_network", recipe.key, exporter, str(model)]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=EXPORT_S)
    except subprocess.TimeoutExpired:
        return f"no export within {EXPORT_S} s"
    if done.returncode == 0:
        return ""
    model.unlink(missing_ok=True)
    lines: list[str] = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"status {done.returncode}"
