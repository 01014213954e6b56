"""Detects changes since the outputs were written, by hashes of the inputs, the spec, the passes and the versions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from graphc.build.sbom import metadata_of, normal
from graphc.ir.model import check_file
from graphc.ir.ort_session import versions
from graphc.offline.recordings import recording_files
from graphc.passes.plan import Plan
from graphc.passes.registry import Registry
from graphc.spec.spec_file import SpecFile
from graphc.system.files import digest
from graphc_runtime.contract.first_values import file_digest
from graphc_runtime.errors import ModelError
from graphc_runtime.ort_model import OP_LIBRARIES

PACKAGES = ("graphc", "onnx-graphsurgeon", "onnxsim")


def fingerprint_of(spec_file: SpecFile, registry: Registry, plan: Plan) -> dict[str, Any]:
    """Hashes of everything that the outputs depend on, except the runtimes of targets.

    Errors:
        ModelError: the model, a recording, or a file that an option names cannot be read.
    """
    reads = [*plan.reads(spec_file.folder), *recordings_of(spec_file), *OP_LIBRARIES]
    path = spec_file.model_path
    check_file(path)
    try:
        model = file_digest(path)
        read = {os.path.relpath(p, spec_file.folder): file_digest(p) for p in reads}
        beside = {name: path.parent / name for name in external_files(path)}
        external = {name: file_digest(p) for name, p in beside.items() if p.is_file() and not p.is_symlink()}
    except OSError as err:
        raise ModelError(f"it cannot be read: {err.strerror}", where=str(err.filename or path)) from err
    return {
        "spec": spec_digest(spec_file),
        "model": model,
        "reads": read,
        "external": external,
        "passes": {name: file_digest(path) for name, path in sorted(registry.files.items())},
        "compiler": own_digest(),
        "versions": package_versions(),
    }


def recordings_of(spec_file: SpecFile) -> list[Path]:
    """The recordings that a spec's validation uses."""
    spec = spec_file.spec.validation
    return recording_files([*spec.paths, *(spec.drift.paths if spec.drift is not None else [])], spec_file.folder)


def external_files(path: Path) -> list[str]:
    """The names of a model's external data files that are inside the model's folder.

    Empty if the model cannot be parsed. Such a model, or a model that names files elsewhere, is refused later.
    """
    try:
        model = onnx.load_model(path, load_external_data=False)
    except (DecodeError, ValueError):
        return []
    tensors = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    named = {entry.value for t in tensors for entry in t.external_data if entry.key == "location"}
    return sorted(n for n in named if n and "\0" not in n and not Path(n).is_absolute() and ".." not in Path(n).parts)


def dependencies(spec_file: SpecFile) -> list[Path]:
    """The paths of the spec, the model and its external data, for build systems."""
    model = spec_file.model_path
    return [spec_file.source.path, model, *(model.parent / name for name in external_files(model))]


def spec_digest(spec_file: SpecFile) -> str:
    """A hash of a spec's content, which does not depend on its formatting."""
    return digest(spec_file.spec.model_dump_json(by_alias=True).encode())


def package_versions() -> dict[str, str]:
    return {**versions(), **{name: installed(name) for name in PACKAGES}}


@cache
def own_digest() -> str:
    """One hash of graphc's own sources, so that a change to the compiler is noticed."""
    folder = Path(__file__).parents[1]
    sources = sorted([*folder.rglob("*.py"), *folder.rglob("*.jinja")])
    return digest("".join(file_digest(p) for p in sources).encode())


def installed(name: str) -> str:
    try:
        return str(metadata_of(normal(name))["Version"])
    except PackageNotFoundError:
        return "unknown"


def is_output_name(name: str, stem: str) -> bool:
    """Whether a name in a report denotes a file beside the model, or a file in an output folder beside the model."""
    parts = Path(name).parts
    return Path(name).as_posix() == name and ".." not in parts and len(parts) > 0 and parts[0].startswith(f"{stem}.")


def is_up_to_date(outputs: Mapping[str, Path], fingerprint: Mapping[str, Any]) -> dict[str, Any] | None:
    """The earlier report, if it has the same fingerprint and its outputs still have their hashes; else None."""
    try:
        report: dict[str, Any] = json.loads(outputs["report"].read_bytes())
        if report["fingerprint"] != json.loads(json.dumps(fingerprint)):
            return None
        folder = outputs["model"].parent
        stem = outputs["model"].stem
        fresh = all(
            is_output_name(name, stem) and file_digest(folder / name) == sha for name, sha in report["outputs"].items()
        )
        return report if fresh else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
