"""Compiles a spec in a straight line: load, plan, run, write."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import onnx

from graphc.build.fingerprint import fingerprint_of, is_up_to_date
from graphc.build.output_files import check_output, output_paths
from graphc.build.report import FORMAT, Report
from graphc.build.sbom import components
from graphc.build.target_files import Wanted, made_targets, report_entry, runtimes_of, wanted_targets
from graphc.ir.model import Model, read_model
from graphc.ir.sizes import size_of
from graphc.ir.weights.weight_files import scratch_of_its_own
from graphc.manifest.model_files import model_files
from graphc.measure.bench import measure
from graphc.measure.budget import check_budget
from graphc.measure.drift import float_session, long_stream
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.pass_cache.cache_for import cache_for
from graphc.pass_cache.pass_cache import PassCache
from graphc.passes.op_census import op_counts
from graphc.passes.pass_record import PassRecord
from graphc.passes.plan import Plan, make_plan
from graphc.passes.registry import registry_of
from graphc.passes.run_passes import Pipeline, PipelineResult
from graphc.passes.validate_after_pass import Progress
from graphc.spec.spec_file import SpecFile
from graphc.system.files import Content, digest, write_all
from graphc.validate.run_streams import session_of
from graphc_runtime.errors import GraphcError

PROVENANCE_KEY = "graphc.provenance"


@dataclass(frozen=True)
class Options:
    """The options of one compilation, as on the command line.

    Args:
        force: compile even if nothing changed.
        allow_pass_paths: folders of passes whose code may run.
        report_on_failure: the path of a report that is written if the compilation fails; None for no report.
        progress: a function that is called with (what, done, total).
        cache: whether results of slow passes are stored for later compilations, and reused from earlier ones.
    """

    force: bool = False
    allow_pass_paths: Sequence[Path] = ()
    report_on_failure: Path | None = None
    progress: Progress = lambda what, done, total: None
    cache: bool = False


@dataclass(frozen=True)
class Prepared:
    """A compilation that is ready to start: a checked spec, and a hash of everything that its outputs depend on."""

    spec_file: SpecFile
    plan: Plan
    targets: list[Wanted]
    fingerprint: dict[str, Any]


@dataclass(frozen=True)
class Compilation:
    """The result of a compilation: the files, not yet written, the model, and the record."""

    files: dict[Path, Content]
    model: Model
    proto: onnx.ModelProto
    data: dict[str, Any]


def compile_spec(spec_file: SpecFile, options: Options | None = None) -> Report:
    """Compiles a spec and writes all its outputs, or none.

    Errors:
        GraphcError: the compilation failed; ``exit_code`` is the exit status of the command.
    """
    options = options or Options()
    prepared = prepare(spec_file, options)
    if not options.force and (earlier := is_up_to_date(output_paths(spec_file), prepared.fingerprint)) is not None:
        return Report({**earlier, "up_to_date": True})
    inputs = [[p.name, p.config.model_dump_json()] for p in prepared.plan.passes if p.changes_inputs]
    cache = cache_for(prepared.fingerprint, spec_file, inputs, not options.force) if options.cache else None
    with scratch_of_its_own(), closing(cache) if cache is not None else nullcontext():
        made = compiled(prepared, options, cache)
        write_all(made.files)
    return Report(made.data)


def prepare(spec_file: SpecFile, options: Options) -> Prepared:
    """Checks everything that can be checked before the model is read.

    Errors:
        SpecError: passes, options or outputs that do not fit.
        ModelError: the model's file cannot be read.
    """
    registry = registry_of(spec_file, options.allow_pass_paths)
    plan = make_plan(spec_file, registry)
    check_output(spec_file)
    targets = wanted_targets(spec_file)
    return Prepared(spec_file, plan, targets, fingerprint_of(spec_file, registry, plan) | runtimes_of(targets))


def compiled(prepared: Prepared, options: Options, cache: PassCache | None = None) -> Compilation:
    """Runs the passes and makes the files. Writes nothing, except the report of a failure if one is asked for.

    Errors:
        GraphcError: the compilation failed.
    """
    spec_file, plan, targets, outputs = (
        prepared.spec_file,
        prepared.plan,
        prepared.targets,
        output_paths(prepared.spec_file),
    )
    exported = read_model(spec_file.model_path)
    source = plan.source(exported, spec_file)
    stream, validation = spec_file.spec.stream, spec_file.spec.validation
    offline = offline_of(source, stream, spec_file) if stream is not None else None
    pipeline = Pipeline(
        source,
        plan,
        stream,
        validation,
        offline,
        options.progress,
        spec_file.folder,
        exported=exported,
        cache=cache,
    )
    data = started(spec_file, exported, prepared.fingerprint)
    try:
        result = pipeline.run()
        record_result(data, result, offline)
        if offline is not None:
            follow_drift(data, spec_file, offline, result, options.progress)
        made = made_targets(targets, pipeline, result, outputs["model"], options.progress)
        data["targets"] = {name: report_entry(m) for name, m in made.items()}
        metadata = {PROVENANCE_KEY: json.dumps(provenance(data), sort_keys=True)}
        entries = {name: m.entry for name, m in made.items()}
        files = model_files(outputs["model"], result.model, result.proto, metadata, entries)
        for m in made.values():
            files |= m.files
        size = sum(len(c) for p, c in files.items() if p in (outputs["model"], outputs["data"]))
        check_budget(data, spec_file, result.proto, size)
    except GraphcError as err:
        if options.report_on_failure is not None:
            data["passes"] = [pass_data(r) for r in pipeline.records]
            data["error"] = {"kind": type(err).__name__, "node": err.node, "reason": err.reason, "hint": err.hint}
            write_all({options.report_on_failure: Report(data).json().encode()})
        raise
    finish_files(files, outputs, data)
    return Compilation(files, result.model, result.proto, data)


def started(spec_file: SpecFile, source: onnx.ModelProto, fingerprint: dict[str, Any]) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "spec": str(spec_file.source.path.name),
        "spec_path": os.path.relpath(spec_file.source.path, spec_file.output_path.parent),
        "source": {
            "model": spec_file.spec.model,
            "bytes": size_of(source),
            "nodes": len(source.graph.node),
            "ops": op_counts(source),
            "sha256": fingerprint["model"],
        },
        "fingerprint": fingerprint,
        "versions": fingerprint["versions"],
        "components": components(),
        "passes": [],
        "states": [],
        "outputs": {},
        "trials": [],
        "recordings": [],
        "latency": None,
        "stream": None,
        "drift": None,
        "kernels": [],
        "targets": {},
        "error": None,
    }


def pass_data(record: PassRecord) -> dict[str, Any]:
    plain = {k: v for k, v in vars(record).items() if not k.startswith(("against", "reference"))}
    return {
        **plain,
        "max_abs": record.max_abs,
        "against_offline": [d.as_dict() for d in record.against_offline],
        "against_before": [d.as_dict() for d in record.against_before],
        "reference_change": [d.as_dict() for d in record.reference_change],
    }


def record_result(data: dict[str, Any], result: PipelineResult, offline: Offline | None) -> None:
    signature = result.model.signature
    data["passes"] = [pass_data(r) for r in result.records]
    data["trials"] = result.trials
    data["recordings"] = result.recordings
    if signature is None:
        return
    sensitivity = {s.state: s for s in result.sensitivities}
    data["stream"] = {
        "chunk": signature.chunk,
        "chunk_multiple": signature.chunk_multiple,
        "window": signature.window,
        "state_bytes": signature.state_bytes,
        "valid_frames": signature.valid_frames,
        "frame_ms": signature.frame_ms,
        "renamed": dict(signature.renamed),
        "dropped": dict(signature.dropped),
        "delay_ms": float(signature.delay_frames) * signature.frame_ms if signature.frame_ms else None,
        "outputs": [
            {"name": o.name, "axis": o.axis, "rate": str(o.rate), "delay": o.delay, "length": o.length.as_dicts()}
            for o in signature.outputs
        ],
    }
    data["states"] = [
        {
            **s.as_dict(),
            "sight": sensitivity[s.input].ratio if s.input in sensitivity else None,
            "proven": sensitivity[s.input].proven if s.input in sensitivity else None,
        }
        for s in signature.states
    ]
    data["kernels"] = [d.as_dict() for d in result.kernels]
    assert offline is not None
    data["latency"] = measure(session_of(result.model, result.proto), offline).as_dict()


def provenance(data: dict[str, Any]) -> dict[str, Any]:
    print_ = data["fingerprint"]
    return {
        "versions": print_["versions"],
        "spec_sha256": print_["spec"],
        "model_sha256": print_["model"],
        "passes": [{"name": p["name"], "options": p["options"]} for p in data["passes"]],
    }


def follow_drift(
    data: dict[str, Any], spec_file: SpecFile, offline: Offline, result: PipelineResult, progress: Progress
) -> None:
    """Runs the long stream that the spec asks for. Records the drift, and the recommended reset time in the signature.

    Errors:
        ModelError: there is no streaming model in float, or the stream cannot be run.
    """
    spec = spec_file.spec.validation.drift
    signature = result.model.signature
    if spec is None or signature is None:
        return
    exact = float_session(result.exact)
    drift = long_stream(session_of(result.model, result.proto), exact, offline, spec, spec_file.folder, progress)
    data["drift"] = drift.as_dict()
    result.model.signature = replace(signature, reset_s=drift.reset_s)


def finish_files(files: dict[Path, Content], outputs: dict[str, Path], data: dict[str, Any]) -> None:
    """Adds the HTML page and the report, which lists the hashes of all other files. The model becomes the last file."""
    model = files.pop(outputs["model"])
    folder = outputs["model"].parent
    hashes = {path.relative_to(folder).as_posix(): digest(content) for path, content in files.items()}
    hashes[outputs["model"].name] = digest(model)
    data["outputs"] = hashes
    data["size"] = len(model) + len(files.get(outputs["data"], b""))
    report = Report(data)
    files[outputs["page"]] = report.html().encode()
    hashes[outputs["page"].name] = digest(files[outputs["page"]])
    files[outputs["report"]] = report.json().encode()
    files[outputs["model"]] = model
