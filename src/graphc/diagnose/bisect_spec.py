"""Writes a folder that reproduces a failure: the smallest failing model found, its spec, and a failing stream."""

from __future__ import annotations

import io
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from graphc.diagnose.shrink import Case
from graphc.diagnose.testcase_reducer import Recipe, Reduced, Reducer, first_failure
from graphc.errors import OutputError
from graphc.ir.model import read_model
from graphc.manifest.make_manifest import npz
from graphc.passes.plan import make_plan
from graphc.passes.registry import registry_of
from graphc.spec.spec_file import SpecFile, load_spec
from graphc.system.files import write_all
from graphc_runtime.ort_model import OP_LIBRARIES

NOTES = """\
{text}

First node at fault, if there is one: {node}, whose output {output} fails while everything that it reads holds.
{nodes} of {before} nodes are left. Reproduce it in this folder with

    {command}

stream.npz, if it is there, holds the stream that failed, by input name, and what the offline model gives for it
("offline.NAME").
"""


def bisect_spec(
    path: Path, folder: Path, allowed: Sequence[Path], progress: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Finds the first pass of a spec that fails and the first node at fault, and writes a reproduction.

    Args:
        folder: the folder for the reproduction; it has to be new or empty.
        allowed: folders of passes whose code may run.

    Errors:
        GraphcError: the spec or the model cannot be used, or the folder is not empty.
    """
    spec_file = load_spec(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError("the folder is not empty", where=str(folder), hint="name a new folder for the reproduction")
    spec = spec_file.spec
    plan = make_plan(spec_file, registry_of(spec_file, allowed))
    recipe = Recipe(plan.behind_source(), spec.validation, spec_file.folder)
    case = Case(plan.source(read_model(spec_file.model_path), spec_file), spec.stream)
    found = first_failure(recipe, case)
    if found is None:
        line = f"{path.name}: every pass holds; if the compiled model does not, compile it again"
        return {"spec": str(path), "holds": True, "failure": None, "lines": [line]}
    failure, recipe = found
    reduced = Reducer(recipe, failure, progress).reduced(case)
    write_all(reproduction(spec_file, reduced, folder))
    return failure_record(path, folder, spec_file, reduced)


def failure_record(path: Path, folder: Path, spec_file: SpecFile, reduced: Reduced) -> dict[str, Any]:
    node, output = reduced.guilty
    failure = reduced.failure
    nodes = len(reduced.case.model.graph.node)
    words = ["graphc", "compile", str(folder / "spec.yaml"), *code_options(spec_file, Path())]
    tied = failure.kind == "ValidationError" or failure.op
    guilty = (
        f"first node at fault: {node}, whose output {output} fails while everything that it reads holds"
        if tied
        else f"no single node is at fault, but the pass or the spec; what is left ends in {node}"
    )
    return {
        "spec": str(path),
        "holds": False,
        "failure": {"kind": failure.kind, "pass": failure.culprit, "text": failure.text},
        "guilty": {"node": node, "output": output},
        "nodes": {"left": nodes, "before": reduced.before},
        "folder": str(folder),
        "lines": [
            f"{path.name}: {failure.text}",
            f"{path.name}: {guilty}",
            f"{path.name}: {nodes} of {reduced.before} nodes are left in {folder}: {shlex.join(words)}",
        ],
    }


def reproduction(spec_file: SpecFile, reduced: Reduced, folder: Path) -> dict[Path, bytes]:
    node, output = reduced.guilty
    notes = NOTES.format(
        text=reduced.failure.text,
        node=node,
        output=output,
        nodes=len(reduced.case.model.graph.node),
        before=reduced.before,
        command=shlex.join(["graphc", "compile", "spec.yaml", *code_options(spec_file, folder)]),
    )
    files = {
        folder / "README.txt": notes.encode(),
        folder / "spec.yaml": spec_text(spec_file, reduced, folder).encode(),
        folder / "model.onnx": reduced.case.model.SerializeToString(deterministic=True),
    }
    if reduced.failure.stream is not None:
        trial = reduced.failure.stream
        files[folder / "stream.npz"] = npz({**trial.feeds, **{f"offline.{n}": v for n, v in trial.want.items()}})
    return files


def code_options(spec_file: SpecFile, folder: Path) -> list[str]:
    """The command-line options that allow the code that ran here, with paths relative to a folder."""
    passes = [("--allow-pass-path", spec_file.folder / p) for p in spec_file.spec.pass_paths]
    ops = [("--op-library", path) for path in OP_LIBRARIES]
    return [word for option, path in [*passes, *ops] for word in (option, os.path.relpath(path, folder))]


def spec_text(spec_file: SpecFile, reduced: Reduced, folder: Path) -> str:
    """The spec of the reduced model: the passes up to the guilty one. Paths in options refer to the same files."""
    spec = spec_file.spec
    kept = len(reduced.recipe.plan.passes)
    data: dict[str, Any] = {"version": 1, "model": "model.onnx", "output": "out/model.onnx"}
    if "target" in spec.model_fields_set:
        data["target"] = spec.target
    stream = reduced.recipe.stream_of(reduced.case)
    if stream is not None:
        data["stream"] = stream.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    data["passes"] = []
    for entry, planned in zip(spec.passes[:kept], reduced.recipe.plan.passes, strict=False):
        read = set(planned.instance.reads(planned.config))
        options = moved(dict(entry.options), read, spec_file.folder, folder)
        if entry.tolerance is not None:
            options["tolerance"] = entry.tolerance.model_dump(exclude_none=True)
        data["passes"].append({entry.name: options} if options else entry.name)
    if spec.pass_paths:
        data["pass_paths"] = [os.path.relpath(spec_file.folder / p, folder) for p in spec.pass_paths]
    validation = spec.validation.model_dump(mode="json", exclude_defaults=True, exclude={"drift"})
    if "paths" in validation:
        validation["paths"] = [os.path.relpath(spec_file.folder / p, folder) for p in validation["paths"]]
    if validation:
        data["validate"] = validation
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.dump(data, text)
    return text.getvalue()


def moved(value: Any, read: set[str], before: Path, after: Path) -> Any:
    """The options, with every path that the pass reads made relative to ``after`` instead of ``before``."""
    if isinstance(value, dict):
        return {key: moved(held, read, before, after) for key, held in value.items()}
    if isinstance(value, list):
        return [moved(held, read, before, after) for held in value]
    return os.path.relpath(before / value, after) if isinstance(value, str) and value in read else value
