"""Runs the passes. Verifies, validates, times and records the result of each pass."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import onnx

from graphc.contract.signature import Signature
from graphc.errors import DefectError, PassError
from graphc.ir.model import Model
from graphc.ir.sizes import size_of
from graphc.ir.verify import verify
from graphc.offline.reference import Offline
from graphc.pass_cache.pass_cache import SLOW_S, Made, PassCache
from graphc.passes.op_census import domain_ops, foreign_ops, op_counts
from graphc.passes.pass_api import PassContext, PassResult
from graphc.passes.pass_record import PassRecord
from graphc.passes.plan import Plan, PlannedPass
from graphc.passes.validate_after_pass import Checks, Progress
from graphc.spec.schema import ValidateSpec, merged_tolerance
from graphc.spec.stream_schema import StreamSpec
from graphc.stream.modes.stateful_model import given_stream
from graphc.system.signals import interruptions_raised
from graphc.validate.compare import Difference, fitting
from graphc.validate.run_streams import ValidationStream
from graphc.validate.sensitivity import StateSensitivity, sensitivity_of
from graphc_runtime.errors import GraphcError, ModelError
from graphc_runtime.ort_model import OP_LIBRARIES

OWN_PASSES = "graphc_passes"


@dataclass
class PipelineResult:
    model: Model
    proto: onnx.ModelProto
    records: list[PassRecord]
    trials: list[int]
    recordings: list[str]
    sensitivities: list[StateSensitivity]
    exact: Model | None
    kernels: list[Difference]
    streams: list[ValidationStream]
    lossy: bool


@dataclass
class Pipeline:
    """The run of a plan over one model.

    Args:
        progress: is called with (what, done, total).
        folder: the spec's folder, for paths in options.
        source: the model that the stream section describes.
        exported: the model as it was read, if passes replace its inputs.
        cache: the cache of the results of slow passes.
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
    lifted: tuple[onnx.ModelProto, Signature] | None = None
    exported: onnx.ModelProto | None = None
    cache: PassCache | None = None

    def run(self) -> PipelineResult:
        """Runs all passes. Returns the compiled model and a record of every pass.

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
        self.progress("what each state moves", len(self.plan.passes), len(self.plan.passes))
        tolerance = fitting(merged_tolerance(self.validation.tolerance), self.source)
        session = checks.final_session(model, proto) if checks.trials else None
        sensitivities = [] if session is None else sensitivity_of(session, model, checks.trials, tolerance)
        kernels = checks.kernels(model, proto)
        frames = [t.frames for t in checks.trials]
        return PipelineResult(
            model,
            proto,
            self.records,
            frames,
            checks.played,
            sensitivities,
            self.float_model(),
            kernels,
            checks.trials,
            self.lossy,
        )

    def float_model(self) -> Model | None:
        """The streaming model before the first pass that may change the numbers, else the first streaming model."""
        return None if self.exact is None else Model.of(*self.exact)

    def until_lossy(self) -> Model | None:
        """The float model, made by running the passes before the first lossy one, without their checks."""
        model, proto = self.start()
        for planned in self.plan.passes:
            self.note_exact(planned, model, proto)
            if self.lossy:
                break
            model, _ = self.transformed(planned, model)
            proto = verify(model, planned.name)
        self.note_exact(None, model, proto)
        return self.float_model()

    def without_rewrites(self, names: frozenset[str]) -> tuple[Model, onnx.ModelProto]:
        """The compiled model, made again from the lift on, without checks and without some rewrites."""
        if self.lifted is None:
            model, proto = self.start()
            rest = self.plan.passes
        else:
            (proto, _), model = self.lifted, Model.of(*self.lifted)
            first = next(i for i, p in enumerate(self.plan.passes) if p.instance.gives == "streaming")
            rest = self.plan.passes[first + 1 :]
        for planned in rest:
            model, _ = self.transformed(planned, model, names)
            proto = verify(model, planned.name)
        return model, proto

    def note_exact(self, planned: PlannedPass | None, model: Model, proto: onnx.ModelProto) -> None:
        """Records the first streaming model, and later the model before the first pass that may change the numbers."""
        if planned is not None and planned.lossy and not self.lossy:
            self.lossy = True
            self.exact = None if model.signature is None else (proto, model.signature)
        elif self.exact is None and not self.lossy and model.signature is not None:
            self.exact = (proto, model.signature)

    def transformed(
        self, planned: PlannedPass, model: Model, leave_out: frozenset[str] = frozenset()
    ) -> tuple[Model, PassResult]:
        """The model after a pass, and the result of the pass, from the cache if the cache has them.

        Errors:
            PassError: the pass failed.
        """
        self.running = planned.name
        if self.offline is not None:
            self.reference = planned.instance.reference(planned.config, self.offline) or self.reference
        if self.cache is None or leave_out:
            return self.made(planned, model, leave_out)
        through = self.plan.passes[: 1 + next(i for i, p in enumerate(self.plan.passes) if p is planned)]
        key = self.cache.key([(p.name, p.config.model_dump_json()) for p in through])
        known = self.cache.load(key)
        if known is not None:
            found = Model.of(known.proto, known.signature)
            return found, PassResult(found, known.notes, known.counts, None, known.warnings)
        started = time.perf_counter()
        made, result = self.made(planned, model, leave_out)
        if time.perf_counter() - started > SLOW_S:
            self.cache.store(key, Made(made.proto(), made.signature, result.notes, result.counts, result.warnings))
        return made, result

    def made(self, planned: PlannedPass, model: Model, leave_out: frozenset[str]) -> tuple[Model, PassResult]:
        context = PassContext(
            self.stream,
            self.offline,
            self.source,
            model.graph.opset,
            lambda done, total: self.progress(planned.name, done, total),
            self.plan.target,
            self.folder,
            self.reference or self.offline,
            leave_out=leave_out,
        )
        try:
            with interruptions_raised():
                result: PassResult = planned.instance.run(model, planned.config, context)
        except GraphcError:
            raise
        except MemoryError as err:
            raise PassError(
                f"the pass '{planned.name}' needs more memory than there is: {err or 'an allocation failed'}",
                hint="use a smaller model, or raise --max-memory-gb",
            ) from err
        except Exception as err:
            raise failure(planned, f"failed: {type(err).__name__}: {err}") from err
        return result.model, result

    def start(self) -> tuple[Model, onnx.ModelProto]:
        """The model before the first pass. If its states are given and no lift follows, the model streams already."""
        lifts = any(p.instance.gives == "streaming" for p in self.plan.passes)
        if self.stream is not None and not lifts and self.offline is not None:
            if self.stream.chunk == "dynamic":
                raise ModelError("chunk: dynamic needs lift_state", hint="give the frames of one call")
            if self.stream.window is not None:
                raise ModelError(
                    "stream.window needs lift_state, which adds the window in front of the model",
                    hint="add lift_state to passes; the model's own states stay ports",
                )
            model = given_stream(self.offline, self.stream.chunk, self.stream.frame_ms)
            return model, model.proto()
        exported = self.exported or self.source
        return Model.of(exported), exported

    def step(
        self, planned: PlannedPass, model: Model, proto: onnx.ModelProto, checks: Checks
    ) -> tuple[Model, onnx.ModelProto]:
        self.note_exact(planned, model, proto)
        started = time.perf_counter()
        checks.release_session()
        made, result = self.transformed(planned, model)
        checks.change_reference(self.reference)
        seconds = time.perf_counter() - started
        started = time.perf_counter()
        after = self.verified(planned, made, result.proto)
        if planned.instance.gives == "streaming" and made.signature is not None:
            self.lifted = (after, made.signature)
        record = PassRecord(
            name=planned.name,
            options=planned.config.model_dump(mode="json"),
            seconds=seconds,
            check_seconds=0.0,
            nodes_before=len(proto.graph.node),
            nodes_after=len(after.graph.node),
            size_before=self.records[-1].size_after if self.records else size_of(proto),
            size_after=size_of(after),
            ops_before=op_counts(proto),
            ops_after=op_counts(after),
            notes=result.notes,
            counts=result.counts,
            tolerance=fitting(planned.tolerance, self.source).model_dump(),
            warnings=result.warnings,
        )
        self.records.append(record)
        checks.check(planned, made, after, record, result.session)
        record.check_seconds = time.perf_counter() - started
        return made, after

    def verified(self, planned: PlannedPass, model: Model, written: onnx.ModelProto | None) -> onnx.ModelProto:
        """The model after a pass as ONNX, checked to be valid and to have only ops that the target runs.

        Errors:
            PassError: the model is invalid or has other ops; a DefectError if the pass is graphc's own.
        """
        try:
            proto = verify(model, planned.name, written)
        except PassError as err:
            raise failure(planned, err.reason.removeprefix(f"the pass '{planned.name}' ")) from err
        foreign = foreign_ops(proto, self.plan.target, self.known_ops)
        if foreign and not OP_LIBRARIES:
            raise failure(planned, f"wrote {', '.join(foreign)}, which the target {self.plan.target.name} does not run")
        return proto

    @cached_property
    def known_ops(self) -> frozenset[str]:
        """The ops of the source model outside ONNX's own domains."""
        return frozenset(domain_ops(self.source))


def failure(planned: PlannedPass, what: str) -> PassError:
    """The error for a pass that failed, which says who is responsible and what to do."""
    text = f"the pass '{planned.name}' {what}"
    if type(planned.instance).__module__.split(".")[0] != OWN_PASSES:
        return PassError(text, hint="report it to the author of the pass; --debug shows where")
    return DefectError(
        text,
        hint="this is a defect of graphc: please report it with the folder that `graphc validate SPEC --bisect FOLDER` "
        "writes; --debug shows where",
    )
