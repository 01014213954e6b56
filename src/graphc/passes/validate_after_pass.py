"""The check after each pass: does the model still equal the reference?

If not, a ``ValidationError`` ends the compilation: no output is written, and the exit status is 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx

from graphc.contract.signature import Signature
from graphc.errors import ValidationError
from graphc.ir.model import Model
from graphc.ir.ort_session import Session
from graphc.ir.subgraphs import nodes_of
from graphc.offline.feeds import Feeds
from graphc.offline.random_inputs import whole_feeds
from graphc.offline.recordings import recording_files
from graphc.offline.reference import Offline
from graphc.passes.pass_record import PassRecord
from graphc.passes.plan import PlannedPass
from graphc.spec.schema import ToleranceSpec, ValidateSpec
from graphc.spec.stream_schema import StreamSpec
from graphc.validate.compare import ONE_SIDE, Array, Difference, compare, fitting, worst_of
from graphc.validate.first_divergence import first_inner_difference
from graphc.validate.recorded_streams import recorded_trials
from graphc.validate.run_streams import (
    ValidationStream,
    compare_all,
    session_of,
    stream_all,
    validate_offline,
)
from graphc.validate.validation_streams import (
    Reference,
    StepReference,
    WholeReference,
    WindowReference,
    draw_trials,
)
from graphc_runtime.errors import ModelError, RunError
from graphc_runtime.session import StreamSession

Progress = Callable[[str, int, int], None]
CALL_BY_CALL = (
    "the model's states are ports already, so its calls are compared with calls of the exported model; "
    "this does not show that the calls of a stream together equal a whole utterance"
)


class Checks:
    """The validation after each pass: against the offline model, and against the model before the pass."""

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
        self.last_session: StreamSession | None = None
        self.given = model if model.signature is not None else None
        self.as_exported: Offline | None = None
        self.lossy = False
        self.failing: ValidationStream | None = None
        self.played: list[str] = []

    def change_reference(self, changed: Offline | None) -> None:
        """From here on, compares with the offline model that the options of a pass changed."""
        if changed is not None and changed is not self.offline:
            self.as_exported, self.offline = self.as_exported or self.offline, changed

    def check(
        self,
        planned: PlannedPass,
        model: Model,
        proto: onnx.ModelProto,
        record: PassRecord,
        opened: Session | None = None,
    ) -> None:
        """Compares a model with the offline model. ``opened`` is a session over the model, if one is open."""
        if model.signature is None:
            self.check_whole(planned, model, proto, record)
            return
        if not self.trials:
            reference = self.reference(model.signature)
            self.trials = draw_trials(reference, self.spec, model.signature)
            record.notes += [CALL_BY_CALL] if isinstance(reference, StepReference) else []
            record.warnings += one_number_alone(self.trials)
            self.forget_offline()
        if self.as_exported is not None and not self.last_outputs:
            record.reference_change = worst_of(distances(self.as_exported, self.trials))
        if planned.lossy and not self.lossy and self.spec.paths:
            self.turn_to_recordings(model.signature)
        self.lossy = self.lossy or planned.lossy
        session = self.session_over(model, proto, opened)
        got = stream_all(session, [t.feeds for t in self.trials])
        wants = [t.want for t in self.trials]
        tolerance = fitting(planned.tolerance, self.source)
        record.against_offline = worst_of(compare_all(session, self.trials, got, wants, tolerance))
        if self.last_outputs:
            before = compare_all(session, self.trials, got, self.last_outputs, tolerance)
            record.against_before = worst_of(before)
        self.complain(planned, record, model, proto)
        self.last_outputs, self.last_stream, self.last_session = got, (proto, model.signature), session

    def session_over(self, model: Model, proto: onnx.ModelProto, opened: Session | None) -> StreamSession:
        """A session that computes as ONNX defines it, until a pass may change the numbers."""
        exact = not self.lossy
        return session_of(model, proto, exact, None if exact and is_quantized(proto) else opened)

    def final_session(self, model: Model, proto: onnx.ModelProto) -> StreamSession:
        """A session over the compiled model that computes as on a device, if possible that of the last check."""
        exact = not self.lossy and is_quantized(proto)
        return session_of(model, proto) if exact or self.last_session is None else self.last_session

    def turn_to_recordings(self, signature: Signature) -> None:
        """Replaces the random streams by the recordings that the spec names, for passes that may change the numbers."""
        files = recording_files(self.spec.paths, self.folder)
        self.played = [path.name for path in files]
        frame_ms = self.stream.frame_ms if self.stream is not None else None
        reference = self.reference(signature)
        self.trials = recorded_trials(reference, files, frame_ms, signature.smallest, signature)
        self.last_outputs = []
        self.forget_offline()
        if self.last_stream is not None:
            proto, before = self.last_stream
            exact = session_of(Model.of(proto, before), proto, exact=True)
            self.last_outputs = stream_all(exact, [t.feeds for t in self.trials])

    def release_session(self) -> None:
        """Frees the session of the last check, because a pass over a large model needs the memory."""
        self.last_session = None

    def forget_offline(self) -> None:
        """Frees the session of a large model, since the reference outputs are known now."""
        if self.offline is not None:
            self.offline.release_session()

    def kernels(self, model: Model, proto: onnx.ModelProto) -> list[Difference]:
        """How much this machine's integer kernels change a model that is quantized, but not by a pass."""
        if self.lossy or not self.last_outputs or not is_quantized(proto):
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
            hint=self.about_the_lift(first, model)
            if planned.instance.gives == "streaming"
            else "leave the pass out, or give it a tolerance of its own: "
            f"`{planned.name}: {{tolerance: {{snr_db: …}}}}`",
        )

    def about_the_lift(self, found: Difference, model: Model) -> str:
        if found.reason == ONE_SIDE:
            return (
                "if the offline model turns some inputs into NaN or infinities, as a log does with silence, give "
                "the range of real inputs (`stream: {inputs: {NAME: {range: [LOW, HIGH]}}}`); "
                "otherwise this is a defect of graphc: report this model"
            )
        if self.stream is not None and self.stream.states:
            return "check that stream.states pairs every state with its own output; if it does, report this model"
        lengths = self.offline.some_lengths() if self.offline is not None else ()
        if len(lengths) == 1:
            return (
                f"of the lengths tried the model runs at {lengths[0]} frames only: export it with a symbolic time axis"
            )
        defect = "a lift that is not exact is a defect of graphc: report this model"
        states = () if model.signature is None else model.signature.states
        if any(state.kind.startswith("attention") for state in states):
            return (
                f"if the data masks keys of an attention with a finite number (-1e9), mask with -inf; if not, {defect}"
            )
        return defect


def one_number_alone(trials: list[ValidationStream]) -> list[str]:
    """Warnings for outputs with one and the same number in all streams: their agreement proves little."""
    found = []
    for name, first in trials[0].want.items() if trials else ():
        numbers = np.unique(np.concatenate([np.ravel(t.want[name]) for t in trials]))
        if numbers.size == 1 and first.dtype.kind == "f":
            told = f"the output '{name}' is {numbers[0] + 0.0:g} in every stream tried"
            found.append(f"{told}, and offline too: their agreement proves little")
    return found


def distances(offline: Offline, trials: list[ValidationStream]) -> list[Difference]:
    """The differences between the reference outputs of some trials and those of another model. None is an error."""
    found: list[Difference] = []
    for trial in trials:
        run = offline.run(offline.completed(trial.feeds, trial.frames))
        for name, want in trial.want.items():
            found.append(replace(compare(name, np.asarray(run[name]), want, None, ANY), frames=trial.frames))
    return found


ANY = ToleranceSpec(rtol=0.0, atol=1e300)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether a model computes in integers on some machines."""
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    return any(node.op_type == "DequantizeLinear" for node in nodes_of(nodes))
