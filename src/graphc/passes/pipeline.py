"""Runs the passes; verifies, validates, times and records after each. No pass knows of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from graphc.contract.signature import Signature
from graphc.errors import GraphcError, ModelError, PassError, ValidationError
from graphc.ir.model import Model
from graphc.ir.runtime import RunError, Session, size_of
from graphc.ir.verify import verify
from graphc.offline.random_inputs import whole_feeds
from graphc.offline.recordings import recording_files
from graphc.offline.reference import Feeds, Offline
from graphc.passes.pass_api import PassContext, PassResult
from graphc.passes.plan import Plan, PlannedPass
from graphc.spec.schema import StreamSpec, ToleranceSpec, ValidateSpec, merged_tolerance
from graphc.stream.modes.stateful_model import given_stream
from graphc.system.signals import interruptions_raised
from graphc.validate.compare import Array, Difference, compare, fitting, worst_of
from graphc.validate.first_divergence import first_inner_difference
from graphc.validate.run import (
    StateSensitivity,
    ValidationStream,
    compare_all,
    session_of,
    sight_of,
    stream_all,
    validate_offline,
)
from graphc.validate.validation_streams import (
    Reference,
    StepReference,
    WholeReference,
    WindowReference,
    draw_trials,
    recorded_trials,
)

Progress = Callable[[str, int, int], None]


@dataclass
class PassRecord:
    """What one pass did, as the report tells it. Sizes in bytes, seconds of the pass and of its checks."""

    name: str
    options: dict[str, Any]
    seconds: float
    check_seconds: float
    nodes_before: int
    nodes_after: int
    size_before: int
    size_after: int
    ops_before: dict[str, int]
    ops_after: dict[str, int]
    notes: list[str]
    counts: dict[str, int]
    tolerance: dict[str, float | None]
    against_offline: list[Difference] = field(default_factory=list)
    against_before: list[Difference] = field(default_factory=list)
    reference_change: list[Difference] = field(default_factory=list)

    @property
    def max_abs(self) -> float:
        return max((d.max_abs for d in self.against_offline), default=0.0)


@dataclass
class PipelineResult:
    model: Model
    proto: onnx.ModelProto
    records: list[PassRecord]
    trials: list[int]
    recordings: list[str]
    sights: list[StateSensitivity]
    exact: Model | None
    kernels: list[Difference]


@dataclass
class Pipeline:
    """The run of a plan over one model.

    Args:
        progress: takes (what, done, total).
        folder: the spec's, for the paths in options.
    """

    source: onnx.ModelProto
    plan: Plan
    stream: StreamSpec | None
    validation: ValidateSpec
    offline: Offline | None
    progress: Progress = lambda what, done, total: None
    folder: Path = field(default_factory=Path)
    records: list[PassRecord] = field(default_factory=list)
    exact: tuple[onnx.ModelProto, Signature] | None = None
    lossy: bool = False
    reference: Offline | None = None
    running: str = ""
    failing: ValidationStream | None = None

    def run(self) -> PipelineResult:
        """The compiled model and a record of every pass.

        Errors:
            PassError: a pass failed or left an invalid graph.
            StreamError: the model cannot be streamed as asked.
            ValidationError: a pass changed the numbers; names the pass, the output and the first frame.
        """
        for planned in self.plan.passes:
            planned.instance.warm_up()
        model, proto = self.start()
        checks = Checks(self.source, self.stream, self.validation, self.offline, model, self.folder)
        for index, planned in enumerate(self.plan.passes):
            self.progress(planned.name, index, len(self.plan.passes))
            try:
                model, proto = self.step(planned, model, proto, checks)
            finally:
                self.failing = checks.failing
        self.note_exact(None, model, proto)
        self.progress("sight", len(self.plan.passes), len(self.plan.passes))
        tolerance = fitting(merged_tolerance(self.validation.tolerance), self.source)
        sights = sight_of(model, checks.trials, tolerance) if checks.trials else []
        kernels = checks.kernels(model, proto)
        frames = [t.frames for t in checks.trials]
        return PipelineResult(model, proto, self.records, frames, checks.played, sights, self.float_model(), kernels)

    def float_model(self) -> Model | None:
        """The streaming model before the first pass that may change the numbers; the first one, where none may."""
        return None if self.exact is None else Model.of(*self.exact)

    def until_lossy(self) -> Model | None:
        """The float model, by the passes that lead to it, without their checks."""
        model, proto = self.start()
        for planned in self.plan.passes:
            self.note_exact(planned, model, proto)
            if self.lossy:
                break
            model, _ = self.transformed(planned, model)
            proto = verify(model, planned.name)
        self.note_exact(None, model, proto)
        return self.float_model()

    def note_exact(self, planned: PlannedPass | None, model: Model, proto: onnx.ModelProto) -> None:
        """Keeps the model before a pass, while no pass before it may have changed the numbers."""
        if planned is not None and planned.lossy and not self.lossy:
            self.lossy = True
            self.exact = None if model.signature is None else (proto, model.signature)
        elif self.exact is None and not self.lossy and model.signature is not None:
            self.exact = (proto, model.signature)

    def transformed(self, planned: PlannedPass, model: Model) -> tuple[Model, PassResult]:
        """What a pass makes of a model.

        Errors:
            PassError: it failed.
        """
        self.running = planned.name
        if self.offline is not None:
            self.reference = planned.instance.reference(planned.config, self.offline) or self.reference
        context = PassContext(
            self.stream,
            self.offline,
            self.source,
            model.graph.opset,
            lambda done, total: self.progress(planned.name, done, total),
            self.plan.target,
            self.folder,
            self.reference or self.offline,
        )
        try:
            with interruptions_raised():
                result: PassResult = planned.instance.run(model, planned.config, context)
        except GraphcError:
            raise
        except MemoryError as err:
            raise PassError(
                f"the pass '{planned.name}' needs more memory than there is: {err or 'an allocation failed'}",
                hint="a smaller model, or a higher --max-memory-gb",
            ) from err
        except Exception as err:
            raise PassError(
                f"the pass '{planned.name}' failed: {type(err).__name__}: {err}", hint="--debug shows where"
            ) from err
        return result.model, result

    def start(self) -> tuple[Model, onnx.ModelProto]:
        """The model before the first pass; one with given states, and no lift to come, is a stream already."""
        lifts = any(p.instance.gives == "streaming" for p in self.plan.passes)
        if self.stream is not None and not lifts and self.offline is not None:
            if self.stream.chunk == "dynamic":
                raise ModelError("chunk: dynamic needs lift_state", hint="give the frames of one call")
            if self.stream.window is not None:
                raise ModelError(
                    "stream.window needs lift_state, which puts the window in front of the model",
                    hint="add lift_state to passes; the model's own states stay ports",
                )
            model = given_stream(self.offline, self.stream.chunk, self.stream.frame_ms)
            return model, model.proto()
        model = Model.of(self.source)
        return model, self.source

    def step(
        self, planned: PlannedPass, model: Model, proto: onnx.ModelProto, checks: Checks
    ) -> tuple[Model, onnx.ModelProto]:
        self.note_exact(planned, model, proto)
        started = time.perf_counter()
        made, result = self.transformed(planned, model)
        checks.change_reference(self.reference)
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        after = verify(made, planned.name, result.proto)
        record = PassRecord(
            name=planned.name,
            options=planned.config.model_dump(mode="json"),
            seconds=seconds,
            check_seconds=0.0,
            nodes_before=len(proto.graph.node),
            nodes_after=len(after.graph.node),
            size_before=size_of(proto),
            size_after=size_of(after),
            ops_before=op_counts(proto),
            ops_after=op_counts(after),
            notes=result.notes,
            counts=result.counts,
            tolerance=fitting(planned.tolerance, self.source).model_dump(),
        )
        self.records.append(record)
        checks.check(planned, made, after, record)
        record.check_seconds = time.perf_counter() - started
        return made, after


class Checks:
    """The validation after each pass: against the offline model, and against the step before."""

    def __init__(
        self,
        source: onnx.ModelProto,
        stream: StreamSpec | None,
        spec: ValidateSpec,
        offline: Offline | None,
        model: Model,
        folder: Path,
    ):
        self.folder = folder
        self.source, self.stream, self.spec, self.offline = source, stream, spec, offline
        self.trials: list[ValidationStream] = []
        self.feeds: list[Feeds] = []
        self.session: Session | None = None
        self.last_outputs: list[dict[str, Array]] = []
        self.last_stream: tuple[onnx.ModelProto, Signature] | None = None
        self.given = model if model.signature is not None else None
        self.as_exported: Offline | None = None
        self.lossy = False
        self.failing: ValidationStream | None = None
        self.played: list[str] = []

    def change_reference(self, changed: Offline | None) -> None:
        """Compares with a model that the options of a pass changed from here on."""
        if changed is not None and changed is not self.offline:
            self.as_exported, self.offline = self.as_exported or self.offline, changed

    def check(self, planned: PlannedPass, model: Model, proto: onnx.ModelProto, record: PassRecord) -> None:
        if model.signature is None:
            self.check_whole(planned, model, proto, record)
            return
        if not self.trials:
            self.trials = draw_trials(self.reference(model.signature), self.spec, model.signature)
        if self.as_exported is not None and not self.last_outputs:
            record.reference_change = worst_of(distances(self.as_exported, self.trials))
        if planned.lossy and not self.lossy and self.spec.paths:
            self.turn_to_recordings(model.signature)
        self.lossy = self.lossy or planned.lossy
        session = session_of(model, proto, exact=not self.lossy)
        got = stream_all(session, [t.feeds for t in self.trials])
        wants = [t.want for t in self.trials]
        tolerance = fitting(planned.tolerance, self.source)
        record.against_offline = worst_of(compare_all(session, self.trials, got, wants, tolerance))
        if self.last_outputs:
            before = compare_all(session, self.trials, got, self.last_outputs, tolerance)
            record.against_before = worst_of(before)
        self.complain(planned, record, model, proto)
        self.last_outputs, self.last_stream = got, (proto, model.signature)

    def turn_to_recordings(self, signature: Signature) -> None:
        """From here on the numbers may change: by how much is judged on recordings, where the spec names some."""
        files = recording_files(self.spec.paths, self.folder)
        self.played = [path.name for path in files]
        frame_ms = self.stream.frame_ms if self.stream is not None else None
        reference = self.reference(signature)
        self.trials = recorded_trials(reference, files, frame_ms, signature.smallest, signature)
        self.last_outputs = []
        if self.last_stream is not None:
            proto, before = self.last_stream
            exact = session_of(Model.of(proto, before), proto, exact=True)
            self.last_outputs = stream_all(exact, [t.feeds for t in self.trials])

    def kernels(self, model: Model, proto: onnx.ModelProto) -> list[Difference]:
        """How far a quantized model that no pass quantized moves in the integer kernels of this machine."""
        if self.lossy or not self.last_outputs or not any(n.op_type == "DequantizeLinear" for n in proto.graph.node):
            return []
        session = session_of(model, proto)
        got = stream_all(session, [t.feeds for t in self.trials])
        return worst_of(compare_all(session, self.trials, got, self.last_outputs, ANY))

    def check_whole(self, planned: PlannedPass, model: Model, proto: onnx.ModelProto, record: PassRecord) -> None:
        if self.session is None:
            try:
                self.session = Session(self.source, exact=True)
            except RunError as err:
                raise ModelError(f"onnxruntime cannot run the model: {err}") from err
            self.feeds = whole_feeds(self.source, self.offline, self.spec.sequences, self.spec.seed)
        record.against_offline = worst_of(
            validate_offline(
                self.session, proto, self.feeds, fitting(planned.tolerance, self.source), not planned.lossy
            )
        )
        self.complain(planned, record, model, proto)

    def reference(self, signature: Signature) -> Reference:
        assert self.offline is not None
        if self.given is not None:
            return StepReference(self.offline, self.given)
        if signature.window is not None:
            return WindowReference(self.offline, signature.window, signature.smallest)
        return WholeReference(self.offline)

    def complain(self, planned: PlannedPass, record: PassRecord, model: Model, proto: onnx.ModelProto) -> None:
        bad = [d for d in record.against_offline if not d.holds]
        if not bad:
            return
        first = bad[0]
        place = f" at frame {first.frame}" if first.frame is not None else ""
        stream = f" of a stream of {first.frames} frames" if first.frames is not None else ""
        self.failing = next((t for t in self.trials if t.frames == first.frames), None)
        inner = None
        if self.last_stream is not None and model.signature is not None:
            before = Model.of(*self.last_stream)
            assert self.failing is not None
            inner = first_inner_difference((before, self.last_stream[0]), (model, proto), self.failing)
        raise ValidationError(
            f"after the pass '{planned.name}' the output '{first.output}'{place}{stream} {first.reason}"
            + (f"; the first inner tensor that differs is {inner}" if inner else ""),
            hint=self.about_the_lift()
            if planned.instance.gives == "streaming"
            else "leave the pass out, or give it a tolerance of its own: "
            f"`{planned.name}: {{tolerance: {{snr_db: …}}}}`",
        )

    def about_the_lift(self) -> str:
        lengths = self.offline.some_lengths() if self.offline is not None else ()
        if len(lengths) == 1:
            return f"the model runs at {lengths[0]} frames and hardly else: export it with a free time axis"
        return "a lift that is not exact is a defect of graphc: report this model"


def distances(offline: Offline, trials: list[ValidationStream]) -> list[Difference]:
    """How far the reference of some trials lies from another model: what was asked for, so that all of it holds."""
    found: list[Difference] = []
    for trial in trials:
        run = offline.run(offline.completed(trial.feeds, trial.frames))
        for name, want in trial.want.items():
            found.append(replace(compare(name, np.asarray(run[name]), want, None, ANY), frames=trial.frames))
    return found


ANY = ToleranceSpec(rtol=0.0, atol=1e300)


def op_counts(proto: onnx.ModelProto) -> dict[str, int]:
    counts: dict[str, int] = {}
    for node in proto.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
    return dict(sorted(counts.items()))
