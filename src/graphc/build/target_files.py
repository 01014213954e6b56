"""Converts a compiled model for each target of a spec, runs and compares the result, and makes the target's files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx

from graphc.errors import SpecError, ValidationError
from graphc.ir.model import Model
from graphc.ir.weights.weight_files import loaded
from graphc.manifest.make_manifest import manifest_of
from graphc.manifest.static_ports import with_static_ports
from graphc.measure.bench import Latency, measure
from graphc.offline.reference import Offline
from graphc.passes.run_passes import Pipeline, PipelineResult
from graphc.passes.validate_after_pass import Progress
from graphc.spec.nearest import nearest
from graphc.spec.options import read_options
from graphc.spec.schema import TargetSpec, ToleranceSpec, merged_tolerance
from graphc.spec.spec_file import SpecFile
from graphc.system.files import Content, write_all
from graphc.targets.onnx_ports import onnx_ports, opened
from graphc.targets.registry import all_targets
from graphc.targets.target import Converted, StreamingModel, Target, TargetOptions
from graphc.validate.compare import Difference, fitting
from graphc.validate.on_device import compare_on_device
from graphc.validate.run_streams import Feeds, recorded, session_of
from graphc_runtime.native.session import NativeSession
from graphc_runtime.session import StreamSession


@dataclass(frozen=True)
class Wanted:
    """A target that a spec asks for, with its checked options. ``runtime`` is the installed package and its version."""

    spec: TargetSpec
    target: Target
    options: TargetOptions
    runtime: str


@dataclass(frozen=True)
class Made:
    """The outcome for one target.

    Args:
        entry: the target's entry in the manifest.
        files: the files to write, by path.
        differences: the worst difference of each output and state on the runtime.
        findings: for a runtime that is only checked by rules, the nodes that it does not support; ``source`` is the
            address of the rules.
        latency: the latency of a call on the runtime; None if the runtime does not run here.
    """

    entry: dict[str, Any]
    files: Mapping[Path, Content]
    differences: list[Difference]
    latency: Latency | None
    findings: list[dict[str, Any]] | None = None
    source: str | None = None


def wanted_targets(spec_file: SpecFile) -> list[Wanted]:
    """The targets of a spec.

    Errors:
        SpecError: a name or option is unknown, or no target supports the spec's model.
        InstallError: a runtime is not installed.
    """
    found = []
    for index, entry in enumerate(spec_file.spec.targets):
        known, where = all_targets(), ("targets", index)
        if entry.name not in known:
            raise spec_file.error(where, f"there is no target '{entry.name}'", nearest(entry.name, list(known)))
        target = known[entry.name]
        options = read_options(spec_file, (*where, entry.name), target.Options, entry.options)
        found.append(Wanted(entry, target, options, f"{target.package} {target.check_installed()}"))
    if found:
        check_spec(spec_file)
    return found


def check_spec(spec_file: SpecFile) -> None:
    """Refuses a spec whose model no target supports, before anything is compiled.

    Errors:
        SpecError: names the key of the spec that rules out targets.
    """
    spec = spec_file.spec
    if spec.stream is None:
        raise spec_file.error(("targets",), "targets need a streaming model", "add a stream section and lift_state")
    if spec.stream.chunk == "dynamic":
        raise spec_file.error(("stream", "chunk"), "targets need calls of one size", "give chunk a number")
    if spec.stream.clocks == "own":
        raise spec_file.error(("stream", "clocks"), "targets need all streams on one clock", "leave out clocks")
    if spec.target != "onnx":
        raise spec_file.error(
            ("target",), f"`target: {spec.target}` writes ops that other runtimes lack", "leave out target"
        )


def made_targets(
    targets: Sequence[Wanted], pipeline: Pipeline, result: PipelineResult, model: Path, progress: Progress
) -> dict[str, Made]:
    """Converts the compiled model for each target, without the rewrites that the target does not support."""
    if not targets:
        return {}
    offline = pipeline.offline
    if result.model.signature is None or offline is None:
        raise SpecError("targets need a streaming model", hint="add lift_state to the passes")
    plain = static_model(result.model, result.proto)
    variants = {frozenset[str](): plain}
    made = {}
    for index, wanted in enumerate(targets):
        progress(f"target {wanted.target.name}", index, len(targets))
        without = wanted.target.leaves_out
        if without not in variants:
            variants[without] = static_model(*pipeline.without_rewrites(without))
        made[wanted.target.name] = make_target(wanted, model, plain, variants[without], result, offline)
    return made


def static_model(model: Model, proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of a compiled model with fixed port shapes and its weights inside."""
    manifest, _ = manifest_of(model, "model")
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return loaded(with_static_ports(copy, manifest))


def runtimes_of(targets: Sequence[Wanted]) -> dict[str, dict[str, str]]:
    """The part of a compilation's fingerprint that depends on the targets."""
    return {"targets": {w.target.name: w.runtime for w in targets}} if targets else {}


def make_target(
    wanted: Wanted,
    model: Path,
    proto: onnx.ModelProto,
    variant: onnx.ModelProto,
    result: PipelineResult,
    offline: Offline,
) -> Made:
    """Converts a compiled model, runs it on the target's runtime, and compares the outputs.

    Args:
        model: the path of the ONNX model to be written; the target's files go beside it.
        proto: the compiled model with fixed ports.
        variant: the model to convert. Its ports have the same values as those of ``proto``, perhaps with fewer axes.

    Errors:
        TargetError: the runtime does not support the model.
        ValidationError: an output on the runtime differs; names the output and the first frame.
    """
    inputs, outputs = onnx_ports(proto)
    target = wanted.target
    onnx_session = session_of(result.model, result.proto, exact=not result.lossy)
    converted = target.convert(streaming_model(variant, onnx_session, result), wanted.options)
    if converted.findings is not None:
        return by_rules(wanted, converted, model)
    tolerance = tolerance_of(wanted, result, offline.model)
    states = {s.input: s.output for s in onnx_session.manifest.states}
    with TemporaryDirectory() as folder:
        path = written(converted, variant, Path(folder), "model")
        runner = converted.stand_in or opened(target, path, inputs, outputs, converted.ports)
        native = NativeSession(target.name, runner, inputs, outputs, converted.ports, states)
        session = StreamSession(replace(onnx_session.compiled, runner=native))
        found = compare_on_device(session, onnx_session, result.streams, tolerance)
        complain(wanted, found)
        latency = None if converted.stand_in else measure(session, offline)
    stem = f"{model.stem}.{target.name}"
    files = {model.parent / f"{stem}{suffix}": content for suffix, content in converted.files.items()}
    streams = [d for d in found if d.output in result.streams[0].want]
    loudness = [d.snr_db for d in streams if d.snr_db is not None]
    entry = {
        "file": f"{stem}{target.suffixes[0]}" if target.suffixes else model.name,
        "runtime": wanted.runtime,
        "ran": converted.stand_in is None,
        "snr_db": min(loudness, default=None),
        "max_abs": max((d.max_abs for d in streams), default=None),
        "stateful": converted.stateful,
        "ports": {name: asdict(port) for name, port in converted.ports.items()},
    }
    return Made(entry, files, found, latency)


def by_rules(wanted: Wanted, converted: Converted, model: Path) -> Made:
    """The outcome for a target that is checked only against its documents."""
    entry = {
        "file": model.name,
        "runtime": wanted.runtime,
        "ran": False,
        "ports": {name: asdict(port) for name, port in converted.ports.items()},
    }
    return Made(entry, {}, [], None, [asdict(f) for f in converted.findings or ()], converted.source)


def streaming_model(variant: onnx.ModelProto, session: StreamSession, result: PipelineResult) -> StreamingModel:
    """The input of a target's conversion: a variant of the compiled model, and the calls of the validation streams."""
    ports = [port for side in onnx_ports(variant) for port in side]
    shapes = {port.name: port.shape for port in ports}

    def calls() -> Iterator[Feeds]:
        for trial in result.streams:
            for call in recorded(session, trial.feeds):
                yield {name: np.asarray(value).reshape(shapes[name]) for name, value in call.feeds.items()}

    return StreamingModel(variant, ports, {s.input: s.output for s in session.manifest.states}, calls)


def tolerance_of(wanted: Wanted, result: PipelineResult, source: onnx.ModelProto) -> ToleranceSpec:
    """The target's own tolerance, else the loosest tolerance of its options and of lossy passes, else the default."""
    if wanted.spec.tolerance is not None:
        return wanted.spec.tolerance
    told = [ToleranceSpec(**r.tolerance) for r in result.records if result.lossy]
    if (least := wanted.options.least_snr_db()) is not None:
        told.append(ToleranceSpec(snr_db=least))
    loosest = min((t for t in told if t.snr_db is not None), key=lambda t: t.snr_db or 0.0, default=None)
    return loosest or fitting(merged_tolerance(None), source)


def written(converted: Converted, proto: onnx.ModelProto, folder: Path, stem: str) -> Path:
    """Writes a converted model into a folder. Returns the path to open."""
    if not converted.files:
        path = folder / f"{stem}.onnx"
        onnx.save(proto, path)
        return path
    write_all({folder / f"{stem}{suffix}": content for suffix, content in converted.files.items()})
    return folder / f"{stem}{next(iter(converted.files)).split('/')[0]}"


def complain(wanted: Wanted, found: Sequence[Difference]) -> None:
    bad = next((d for d in found if not d.holds), None)
    if bad is None:
        return
    target, precision = wanted.target, getattr(wanted.options, "quantize", None)
    other = "" if precision is None else f"set another quantize than {precision}, "
    place = f" at frame {bad.frame}" if bad.frame is not None else ""
    raise ValidationError(
        f"on the target {target.name} '{bad.output}'{place} of a stream of {bad.frames} frames {bad.reason}",
        hint=f"{other}leave the target out, or give it a tolerance: `{target.name}: {{tolerance: {{snr_db: …}}}}`",
    )


def report_entry(made: Made) -> dict[str, Any]:
    """A target's entry in the report."""
    plain = {key: value for key, value in made.entry.items() if key != "ports"}
    sizes = sum(len(content) for content in made.files.values())
    differences = [d.as_dict() for d in made.differences]
    told = {"why_not": why_not(made), "findings": made.findings, "source": made.source}
    errors = {"snr_db": plain.get("snr_db"), "max_abs": plain.get("max_abs"), "differences": differences}
    return {**plain, **told, **errors, "bytes": sizes, "latency": made.latency and made.latency.as_dict()}


def why_not(made: Made) -> str:
    """Why a target was not run here; empty if it was."""
    if made.findings is not None:
        count = "1 node" if len(made.findings) == 1 else f"{len(made.findings)} nodes"
        return f"{count} not taken" if made.findings else "it takes every node"
    return "" if made.latency else "the runtime does not run on this system; its program was compared in torch"
