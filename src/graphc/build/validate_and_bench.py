"""``graphc validate`` and ``graphc bench``: checks and times compiled models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphc.build.output_files import output_paths
from graphc.build.report import finite
from graphc.errors import SpecError
from graphc.ir.model import read_model
from graphc.measure.budget import drift_limit
from graphc.measure.drift import float_session, long_stream
from graphc.measure.drift_result import drift_lines
from graphc.offline.prepare import offline_of
from graphc.offline.recordings import recording_files
from graphc.offline.reference import Offline
from graphc.passes.plan import config_of, is_lossy, make_plan, source_of
from graphc.passes.registry import load_registry, registry_of
from graphc.passes.run_passes import Pipeline
from graphc.spec.schema import DriftSpec, ToleranceSpec, merged_tolerance
from graphc.spec.spec_file import SpecFile, load_spec
from graphc.stream.modes.stateful_model import given_stream
from graphc.validate.compare import fitting, worst_of
from graphc.validate.mutation_score import THOROUGH, Proof, counts_of, mutation_lines
from graphc.validate.recorded_streams import recorded_trials
from graphc.validate.run_streams import ValidationStream, compare_session, compiled_of
from graphc.validate.surgery import Parts
from graphc.validate.validation_streams import (
    Reference,
    StepReference,
    WholeReference,
    WindowReference,
    draw_lengths,
)
from graphc_runtime.errors import ModelError
from graphc_runtime.session import StreamSession


def compiled_session(spec_file: SpecFile, exact: bool = False) -> StreamSession:
    """A client for the compiled model of a spec. ``exact`` is passed to ``StreamSession``.

    Errors:
        SpecError: the spec does not stream.
        ModelError: the spec has not been compiled.
    """
    if spec_file.spec.stream is None:
        raise SpecError("nothing to stream: the spec has no stream section", where=str(spec_file.source.path))
    path = output_paths(spec_file)["model"]
    if not path.is_file():
        raise ModelError("it has not been compiled", where=str(path), hint=f"graphc compile {spec_file.source.path}")
    return StreamSession(path, exact=exact)


@dataclass(frozen=True)
class Recheck:
    """A compiled model and the reference that it is compared with.

    Args:
        lossy: whether some pass may have changed the numbers.
    """

    spec_file: SpecFile
    session: StreamSession
    offline: Offline
    reference: Reference
    tolerance: ToleranceSpec
    lossy: bool

    def trials(self, more: int = 1, seed: int = 0) -> list[ValidationStream]:
        """The validation streams of the spec. ``more`` and ``seed`` change number and seed of random streams."""
        asked = self.spec_file.spec.validation
        if asked.paths and self.lossy:
            files = recording_files(asked.paths, self.spec_file.folder)
            manifest = self.session.manifest
            return recorded_trials(self.reference, files, manifest.frame_ms, self.session.chunk, manifest)
        changed = {"sequences": asked.sequences * more, "seed": asked.seed + seed}
        return draw_lengths(self.reference, asked.model_copy(update=changed), self.session.manifest)


def recheck_of(spec_file: SpecFile) -> Recheck:
    """Opens the compiled model of a spec, and prepares the reference for it.

    Errors:
        GraphcError: the model or the outputs cannot be used.
    """
    registry = load_registry([])
    lossy = any(is_lossy(p, registry.get(p.name)) for p in spec_file.spec.passes)
    session = compiled_session(spec_file, exact=not lossy)
    spec = spec_file.spec
    assert spec.stream is not None
    source = source_of(spec_file, registry)
    offline = as_asked(spec_file, offline_of(source, spec.stream, spec_file))
    window = session.manifest.window
    reference: Reference
    lifted = any(p.name == "lift_state" for p in spec.passes)
    if window is not None:
        reference = WindowReference(offline, window, session.chunk)
    elif lifted:
        reference = WholeReference(offline)
    else:
        reference = StepReference(offline, given_stream(offline, session.chunk, spec.stream.frame_ms))
    classes = [(p.tolerance, registry.get(p.name)) for p in reversed(spec.passes)]
    layers = [layer for own, cls in classes for layer in (own, cls.tolerance if cls is not None else None)]
    tolerance = fitting(merged_tolerance(*layers, spec.validation.tolerance), source)
    return Recheck(spec_file, session, offline, reference, tolerance, lossy)


def validate_spec(spec_file: SpecFile, name: str) -> dict[str, Any]:
    """Compares the compiled model with the offline model on streams drawn (or recorded) as the spec says.

    Args:
        name: the prefix of every line of the result.

    Errors:
        GraphcError: the model or the outputs cannot be used.
    """
    checked = recheck_of(spec_file)
    trials = checked.trials()
    found = worst_of(compare_session(checked.session, trials, checked.tolerance))
    lines = [
        f"{name}: {d.output}: {'equal' if d.holds else 'NOT EQUAL'}: largest error {d.max_abs:.3g}"
        + (f", SNR {d.snr_db:.1f} dB" if d.snr_db is not None else "")
        + ("" if d.holds else f": {d.reason}" + (f" at frame {d.frame}" if d.frame is not None else ""))
        for d in found
    ]
    return {
        "spec": str(spec_file.source.path),
        "holds": all(d.holds for d in found),
        "frames": [t.frames for t in trials],
        "outputs": [d.as_dict() for d in found],
        "lines": lines,
    }


def mutants_of_spec(path: Path, allowed: Sequence[Path], progress: Callable[[str, int, int], None]) -> dict[str, Any]:
    """Injects faults into the model that a spec's exact passes make, and reports which faults the validation detects.

    Args:
        allowed: folders of passes whose code may run.

    Errors:
        GraphcError: the spec or the model cannot be used.
    """
    checked = recheck_of(load_spec(path))
    pipeline = pipeline_of(checked.spec_file, checked.offline, allowed, progress)
    model = pipeline.until_lossy()
    if model is None:
        raise SpecError(
            "no pass of the spec makes the model stream before a pass that may change its numbers", where=str(path)
        )
    compiled = compiled_of(model, exact=True)
    tolerance = fitting(merged_tolerance(checked.spec_file.spec.validation.tolerance), pipeline.source)
    parts = Parts(model.proto(), compiled.manifest, compiled.first)
    exact = replace(checked, lossy=False)
    proof = Proof(parts, exact.trials(), exact.trials(THOROUGH, seed=1), tolerance)
    judged = proof.judge_all(lambda done, total: progress("mutants", done, total))
    return {
        "spec": str(path),
        "holds": not any(j.verdict == "missed" for j in judged),
        "counts": counts_of(judged),
        "mutants": [j.as_dict() for j in judged],
        "lines": [f"{path.name}: {line}" for line in mutation_lines(judged)],
    }


def drift_of(
    path: Path,
    minutes: float,
    recordings: Sequence[str],
    allowed: Sequence[Path],
    progress: Callable[[str, int, int], None],
) -> dict[str, Any]:
    """Measures the drift of the compiled model on a long stream, against the float model that the spec's passes make.

    Args:
        allowed: folders of passes whose code may run.

    Errors:
        GraphcError: the spec, the model or the outputs cannot be used.
    """
    spec_file = load_spec(path)
    compiled = compiled_session(spec_file)
    spec = spec_file.spec
    assert spec.stream is not None
    pipeline = pipeline_of(spec_file, None, allowed, progress)
    offline = pipeline.offline
    assert offline is not None
    exact = float_session(pipeline.until_lossy())
    asked = (spec.validation.drift or DriftSpec()).model_copy(update={"minutes": minutes})
    folder = spec_file.folder
    if recordings:
        asked, folder = asked.model_copy(update={"paths": list(recordings)}), Path()
    drift = long_stream(compiled, exact, offline, asked, folder, progress)
    record = drift.as_dict()
    limit = drift_limit(spec.budget, record)
    lines = [f"{path.name}: {line}" for line in drift_lines(record)]
    holds = limit is None or not limit.missed
    found: dict[str, Any] = finite({"spec": str(path), "holds": holds, **record, "lines": lines})
    return found


def pipeline_of(
    spec_file: SpecFile, offline: Offline | None, allowed: Sequence[Path], progress: Callable[[str, int, int], None]
) -> Pipeline:
    """The passes and the model of a spec, ready to run again.

    Args:
        offline: the reference; None for the spec's own model.

    Errors:
        GraphcError: the spec or the model cannot be used.
    """
    spec = spec_file.spec
    plan = make_plan(spec_file, registry_of(spec_file, allowed))
    exported = read_model(spec_file.model_path)
    source, folder = plan.source(exported, spec_file), spec_file.folder
    if offline is None and spec.stream is not None:
        offline = offline_of(source, spec.stream, spec_file)
    return Pipeline(source, plan, spec.stream, spec.validation, offline, progress, folder, exported=exported)


def as_asked(spec_file: SpecFile, offline: Offline) -> Offline:
    """The offline model with the changes that options of installed passes ask for. Passes from folders are ignored."""
    registry = load_registry([])
    for index, entry in enumerate(spec_file.spec.passes):
        if entry.name in registry:
            cls = registry[entry.name]
            offline = cls().reference(config_of(spec_file, index, cls, entry.options), offline) or offline
    return offline
