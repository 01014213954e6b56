"""``graphc verify``: checks an output against the record that was written with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from graphc.build.compiler import PROVENANCE_KEY
from graphc.build.fingerprint import is_output_name, own_digest, package_versions, spec_digest
from graphc.build.report import FORMAT
from graphc.manifest.model_files import SUFFIXES
from graphc.spec.spec_file import load_spec
from graphc_runtime.contract.first_values import file_digest
from graphc_runtime.contract.manifest import METADATA_KEY
from graphc_runtime.errors import GraphcError, ModelError

LARGEST_REPORT = 200_000_000


def verify_output(path: Path) -> dict[str, Any]:
    """Checks that a compiled model and the files beside it are from one compilation, and lists what changed since.

    The record is the report beside the model. The check does not protect against someone who forges both.

    Errors:
        ModelError: there is no valid report beside the model.
    """
    stem = stem_of(path)
    folder = path.parent
    report = read_report(folder / f"{stem}.report.json")
    broken = [*changed_files(report, folder, stem), *contradictions(report, folder / f"{stem}.onnx")]
    since = changed_since(report, folder)
    lines = [f"{stem}: {line}" for line in (broken or ["every file is as written, and the model holds its manifest"])]
    lines += [f"{stem}: {line}" for line in since]
    return {"output": str(path), "holds": not broken, "broken": broken, "since": since, "lines": lines}


def stem_of(path: Path) -> str:
    suffix = next((s for s in SUFFIXES.values() if path.name.endswith(s)), None)
    if suffix is None:
        raise ModelError("not a file that graphc compile writes", where=str(path), hint="name the compiled model")
    return path.name.removesuffix(suffix)


def read_report(
    path: Path, form: str = FORMAT, parts: Sequence[str] = ("outputs", "fingerprint", "spec_path")
) -> dict[str, Any]:
    """Reads the record of a compilation.

    Errors:
        ModelError: the file cannot be read, or is not a report.
    """
    try:
        if path.stat().st_size > LARGEST_REPORT:
            raise ModelError("the report is too large to be one of graphc's", where=str(path))
        report = json.loads(path.read_bytes())
    except OSError as err:
        raise ModelError(
            f"the report cannot be read: {err.strerror}", where=str(path), hint="compile the spec first"
        ) from err
    except (ValueError, RecursionError) as err:
        raise ModelError("the report is not JSON", where=str(path)) from err
    if not isinstance(report, dict) or report.get("format") != form or not all(p in report for p in parts):
        raise ModelError("not a report of graphc compile", where=str(path))
    if not isinstance(report["outputs"], dict) or not isinstance(report["fingerprint"], dict):
        raise ModelError("not a report of graphc compile", where=str(path))
    return report


def changed_files(report: dict[str, Any], folder: Path, stem: str) -> list[str]:
    """A line for each file whose content differs from the report."""
    found: list[str] = []
    for name, sha in report["outputs"].items():
        if not is_output_name(name, stem):
            found.append(f"the report names '{name}', which is not a file of this output")
            continue
        try:
            if file_digest(folder / name) != sha:
                found.append(f"{name} is not the file that was written")
        except OSError as err:
            found.append(f"{name} cannot be read: {err.strerror}")
    return found


def contradictions(report: dict[str, Any], path: Path) -> list[str]:
    """A line for each way in which the model's metadata contradict the files beside the model."""
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception:
        return [f"{path.name} is not an ONNX model"]
    held = {p.key: p.value for p in model.metadata_props}
    found: list[str] = []
    manifest = path.with_name(path.name.removesuffix(".onnx") + ".manifest.json")
    if manifest.name in report["outputs"]:
        try:
            beside = json.loads(manifest.read_bytes())
        except (OSError, ValueError):
            beside = None
        if beside is None or held.get(METADATA_KEY) != json.dumps(beside, sort_keys=True):
            found.append(f"the manifest in {path.name} differs from {manifest.name}")
    try:
        made = json.loads(held.get(PROVENANCE_KEY, "null"))
    except ValueError:
        made = None
    wanted = {"spec_sha256": report["fingerprint"].get("spec"), "model_sha256": report["fingerprint"].get("model")}
    if not isinstance(made, dict) or any(made.get(key) != sha for key, sha in wanted.items()):
        found.append(f"{path.name} does not name the report's spec and model as its source")
    return found


def changed_since(report: dict[str, Any], folder: Path) -> list[str]:
    """A line for each input of the compilation that has changed since."""
    path = folder / str(report["spec_path"])
    try:
        spec_file = load_spec(path)
    except GraphcError as err:
        return [f"the spec cannot be read any more: {err}"]
    before = report["fingerprint"]
    model = spec_file.model_path
    found = [] if spec_digest(spec_file) == before.get("spec") else [f"the spec {path.name} changed since"]
    files = {model: before.get("model")}
    files |= {model.parent / name: sha for name, sha in mapping(before.get("external")).items()}
    files |= {spec_file.folder / name: sha for name, sha in mapping(before.get("reads")).items()}
    for file, sha in files.items():
        try:
            if file_digest(file) != sha:
                found.append(f"{file.name} changed since")
        except OSError as err:
            found.append(f"{file.name} cannot be read: {err.strerror}")
    if own_digest() != before.get("compiler"):
        found.append("it was compiled by another version of graphc")
    now, then = package_versions(), mapping(before.get("versions"))
    found += [f"{n} was {then.get(n)}, and here it is {now[n]}" for n in now if n != "graphc" and now[n] != then.get(n)]
    return found


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
