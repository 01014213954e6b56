"""The record of a compiled model, which is the same for all trackers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphc.build.verify_output import read_report, stem_of, verify_output
from graphc.manifest.model_files import paths_beside
from graphc.measure.figures import figures_of
from graphc_runtime.contract.first_values import file_digest
from graphc_runtime.contract.manifest import Manifest, parse_manifest
from graphc_runtime.errors import ModelError

LONGEST_VALUE = 500
SERVED = ("model", "data", "manifest", "init")


@dataclass(frozen=True)
class RunRecord:
    """A compilation as a run.

    Args:
        name: the name of the model.
        params: how the model was made: the spec, its passes and their options, hashes and versions.
        metrics: the figures of the model, as finite numbers.
        steps: for each pass in order, its name and its numbers.
        lineage: hashes by name, from the exported model to the files for devices.
        artifacts: files by the folder that they go to.
        served: the files that a client needs; the first is the model.
    """

    name: str
    params: dict[str, str]
    metrics: dict[str, float]
    steps: list[tuple[str, dict[str, float]]]
    lineage: dict[str, str]
    artifacts: dict[str, list[Path]]
    served: list[Path]
    manifest: Manifest


def run_record(model: Path, files: Sequence[Path] = ()) -> RunRecord:
    """The record of an output of ``graphc compile``.

    Args:
        model: the compiled model, or a file beside it.
        files: more files that belong to the model, such as the script that exported it.

    Errors:
        ModelError: not an output, changed since the compilation, not streaming, or a file is missing.
    """
    found = verify_output(model)
    if found["broken"]:
        raise ModelError(found["broken"][0], where=str(model), hint="compile it again")
    stem, folder = stem_of(model), model.parent
    report = read_report(folder / f"{stem}.report.json")
    outputs = [folder / name for name in report["outputs"]]
    paths = paths_beside(folder / f"{stem}.onnx")
    served = [paths[kind] for kind in SERVED if paths[kind] in outputs]
    if paths["manifest"] not in served:
        raise ModelError("the model does not stream, so no client can serve it", where=str(model))
    for path in files:
        if not path.is_file():
            raise ModelError("there is no such file", where=str(path))
    spec = folder / report["spec_path"]
    artifacts = {"compiled": [*outputs, paths["report"]], "made_from": list(files)}
    if spec.is_file():
        artifacts["made_from"].append(spec)
    lineage = {"export": report["fingerprint"]["model"], "spec": report["fingerprint"]["spec"], **report["outputs"]}
    lineage |= {path.name: file_digest(path) for path in files}
    return RunRecord(
        stem,
        params_of(report),
        metrics_of(report),
        [(p["name"], pass_metrics(p)) for p in report["passes"]],
        lineage,
        artifacts,
        served,
        parse_manifest(paths["manifest"].read_bytes(), str(paths["manifest"])),
    )


def params_of(report: Mapping[str, Any]) -> dict[str, str]:
    """How the model was made, as texts under dotted names."""
    stream = report["stream"] or {}
    found: dict[str, Any] = {
        "spec": report["spec"],
        "source.model": report["source"]["model"],
        "source.sha256": report["fingerprint"]["model"],
        "spec.sha256": report["fingerprint"]["spec"],
        "passes": [p["name"] for p in report["passes"]],
        "targets": list(report["targets"]),
        **{f"version.{name}": version for name, version in report["versions"].items()},
        **{f"stream.{name}": stream.get(name) for name in ("chunk", "chunk_multiple", "frame_ms")},
    }
    for entry in report["passes"]:
        found |= {f"pass.{entry['name']}.{key}": value for key, value in flat(entry["options"]).items()}
    return {name: text_of(value) for name, value in found.items() if value is not None}


def text_of(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def flat(options: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in options.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of the model: its figures, and those of the last pass, the drift and the targets."""
    last = report["passes"][-1] if report["passes"] else {}
    found: dict[str, Any] = {**figures_of(report), "nodes": last.get("nodes_after"), "max_abs": last.get("max_abs")}
    drift = report.get("drift")
    for name, output in (drift["outputs"] if drift else {}).items():
        found[f"drift_rise_db.{name}"] = output["rise_db"]
    for name, target in report["targets"].items():
        if target["latency"]:
            found[f"{name}.latency_ms"] = target["latency"]["p50_ms"]
    return finite_numbers(found)


def pass_metrics(entry: Mapping[str, Any]) -> dict[str, float]:
    names = {"seconds": "pass_seconds", "nodes_after": "pass_nodes", "size_after": "pass_size_bytes"}
    return finite_numbers({told: entry[name] for name, told in names.items()})


def finite_numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """The values that are finite numbers."""
    return {k: float(v) for k, v in values.items() if isinstance(v, int | float) and math.isfinite(v)}
