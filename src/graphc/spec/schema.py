"""The spec: what to compile, how it streams, through which passes, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graphc.spec.fields import Finite, Frames, NonNegative, Number, Positive, Strict
from graphc.targets.registry import all_targets


def as_rate(value: object) -> Fraction:
    """A rate written as a whole number or as ``"3/2"``."""
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('a rate is a whole number or a fraction written as "3/2"')
    try:
        rate = Fraction(value)
    except (ValueError, ZeroDivisionError) as err:
        raise ValueError(f'{value!r} is not a fraction such as "3/2"') from err
    if rate <= 0:
        raise ValueError("a rate is positive")
    return rate


class LengthStepSpec(Strict):
    """One step of a length: floor((mul * T + add) / div)."""

    mul: int = 1
    add: int = 0
    div: Annotated[int, Field(gt=0)] = 1


class MaskSpec(Strict):
    """A mask over queries and keys, on the last two axes of an input: who sees whom in every stream."""

    left: Annotated[int, Field(ge=0)] = Field(description="frames before the block of a query's own that it sees")
    right: Annotated[int, Field(ge=0)] = Field(default=0, description="frames after it")
    block: Annotated[int, Field(gt=0)] = Field(default=1, description="frames of a block; its queries see the same")
    length: list[LengthStepSpec] = Field(
        default=[], description="frames of the mask: those of the first stream input through each step in turn"
    )
    seen: Number = Field(default=None, description="what the mask holds for seen keys; 0, of integers and bools 1")
    unseen: Number = Field(default=None, description="and for the others; -inf, of integers and bools 0")


class InputSpec(Strict):
    """What one input of the offline model is to the stream: exactly one of axis, counts, mask and static."""

    axis: int | None = Field(default=None, description="the axis of this input that carries stream time")
    rate: Annotated[Fraction, BeforeValidator(as_rate, json_schema_input_type=int | str)] = Field(
        default=Fraction(1), description='frames of this input for each frame of the first stream input, 2 or "1/2"'
    )
    counts: str | None = Field(default=None, description="the stream input whose number of frames this input holds")
    mask: MaskSpec | None = Field(
        default=None, description="holds a mask over queries and keys, the same in every stream"
    )
    static: Literal[True] | None = Field(default=None, description="one value for the whole stream")
    range: tuple[Finite, Finite] | None = Field(
        default=None, description="lowest and highest value that validation draws for this input"
    )

    @model_validator(mode="before")
    @classmethod
    def range_from_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("range"), list):
            return {**data, "range": tuple(float(v) if isinstance(v, int) else v for v in data["range"])}
        return data

    @model_validator(mode="after")
    def one_role(self) -> InputSpec:
        if sum(x is not None for x in (self.axis, self.counts, self.mask, self.static)) != 1:
            raise ValueError("give exactly one of axis, counts, mask and static")
        return self


class StateSpec(Strict):
    """A state that already is a pair of ports."""

    input: str
    output: str
    init: Finite = 0.0


class StreamSpec(Strict):
    """How the model is fed: the frames of a call, and what its inputs are."""

    chunk: Annotated[int, Field(gt=0, le=1_000_000)] | Literal["dynamic"] = Field(
        description="frames of the stream input that one call takes"
    )
    frame_ms: Positive | None = Field(default=None, description="real time of one input frame, in milliseconds")
    window: Frames | None = Field(
        default=None, description="stream a clip model over the last N frames instead of lifting it exactly"
    )
    batch: Annotated[int, Field(gt=0, le=4096)] = Field(
        default=1, description="streams in a call, where the batch dim is symbolic"
    )
    clocks: Literal["shared", "own"] = Field(
        default="shared", description="own: the streams of a batch begin and end each for itself"
    )
    inputs: dict[str, InputSpec] | None = None
    states: list[StateSpec] = Field(default=[])

    @model_validator(mode="after")
    def clocks_fit(self) -> StreamSpec:
        if self.clocks == "own" and (self.chunk == "dynamic" or self.window is not None or self.states):
            raise ValueError("clocks: own goes with a chunk of so many frames, and without window and states")
        return self


class ToleranceSpec(Strict):
    """How near is equal, for each output over a whole stream.

    Holds if max |streamed - offline| <= atol + rtol * max |offline|, or, where snr_db is given, if
    10 * log10(sum offline^2 / sum (streamed - offline)^2) reaches it.
    """

    rtol: NonNegative | None = None
    atol: NonNegative | None = None
    snr_db: Finite | None = None


EXACT = ToleranceSpec(rtol=1e-4, atol=1e-5)
EXACT_IN_HALVES = ToleranceSpec(rtol=1e-3, atol=1e-4)


class DriftSpec(Strict):
    """A long stream, on which the error against the float model is followed over time."""

    minutes: Annotated[float, Field(gt=0, le=10_000)] = Field(default=30.0, description="of real time; needs frame_ms")
    paths: list[str] = Field(
        default=[],
        description="recordings or features to play over and over, relative to the spec; none: random frames",
    )
    seed: Annotated[int, Field(ge=0)] = 0


class LatencySpec(Strict):
    """The longest that a call may take, in milliseconds on one thread of the machine that compiles."""

    p50: Positive | None = None
    p99: Positive | None = None


class ValidateSpec(Strict):
    """The random streams that every pass is checked on."""

    sequences: Annotated[int, Field(gt=0, le=10_000)] = 4
    frames: tuple[Frames, Frames] | None = Field(
        default=None, description="the range that stream lengths are drawn from; by default it suits the model"
    )
    seed: Annotated[int, Field(ge=0)] = 0
    tolerance: ToleranceSpec = ToleranceSpec()
    paths: list[str] = Field(
        default=[],
        description="recordings or features, relative to the spec, on which passes that may change the numbers are "
        "judged; none: the random streams",
    )
    drift: DriftSpec | None = Field(default=None, description="follow the error over a long stream, too")

    @model_validator(mode="before")
    @classmethod
    def frames_from_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("frames"), list):
            return {**data, "frames": tuple(data["frames"])}
        return data

    @model_validator(mode="after")
    def ordered(self) -> ValidateSpec:
        if self.frames and self.frames[0] > self.frames[1]:
            raise ValueError("frames: the first number is larger than the second")
        return self


class BudgetSpec(Strict):
    """What the compiled model must meet."""

    size_mb: Positive | None = Field(default=None, description="largest size of the model file, in 10^6 bytes")
    rtf: Positive | None = Field(default=None, description="largest real-time factor; needs stream.frame_ms")
    latency_ms: LatencySpec = Field(default=LatencySpec(), description="longest time of a call")
    snr_db: Finite | None = Field(
        default=None, description="smallest signal-to-noise ratio of any output, in validation and on the long stream"
    )
    drift: Literal["bounded"] | Positive | None = Field(
        default=None,
        description="bounded, or how many dB the error may rise over the long stream; needs validate.drift",
    )


class PassSpec(Strict):
    """One entry of ``passes``: a name with its options; ``tolerance`` is every pass's."""

    name: str
    options: dict[str, Any] = Field(default={})
    tolerance: ToleranceSpec | None = None


def as_pass(entry: object) -> object:
    """An entry as it is written: ``fuse`` or ``quantize: {mode: dynamic}``."""
    if isinstance(entry, str):
        return {"name": entry}
    if isinstance(entry, Mapping) and len(entry) == 1:
        (name, options), *_ = entry.items()
        if options is None:
            options = {}
        if isinstance(name, str) and isinstance(options, Mapping):
            rest = {k: v for k, v in options.items() if k != "tolerance"}
            tolerance = {"tolerance": options["tolerance"]} if "tolerance" in options else {}
            return {"name": name, "options": rest, **tolerance}
    raise ValueError("a pass is a name, or one name with its options as in `quantize: {mode: dynamic}`")


class Spec(Strict):
    """A whole spec, as read from YAML. Paths are relative to the spec's folder."""

    version: Literal[1]
    model: str
    output: str
    stream: StreamSpec | None = None
    target: str = Field(
        default="onnx",
        description="the runtime that the model is made for; "
        + "; ".join(f"{name}: {target.summary}" for name, target in all_targets().items()),
        json_schema_extra={"enum": list(all_targets())},
    )
    passes: list[
        Annotated[PassSpec, BeforeValidator(as_pass, json_schema_input_type=str | dict[str, dict[str, Any] | None])]
    ]
    pass_paths: list[str] = Field(default=[], description="folders of further passes; the command line must allow each")
    validation: ValidateSpec = Field(default=ValidateSpec(), alias="validate")
    budget: BudgetSpec = BudgetSpec()

    @field_validator("version", mode="before")
    @classmethod
    def version_is_a_number(cls, value: object) -> object:
        if isinstance(value, bool):
            raise ValueError("input should be 1")
        return value

    @field_validator("target")
    @classmethod
    def target_exists(cls, value: str) -> str:
        if value not in all_targets():
            raise ValueError(f"input should be {' or '.join(map(repr, all_targets()))}")
        return value

    @field_validator("model", "output")
    @classmethod
    def path_is_one(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError("a path is needed")
        return value

    @field_validator("output")
    @classmethod
    def output_is_onnx(cls, value: str) -> str:
        if not value.endswith(".onnx") or Path(value).name == ".onnx":
            raise ValueError("the name of a file that ends in .onnx is needed")
        return value

    @model_validator(mode="after")
    def rtf_needs_time(self) -> Spec:
        if self.budget.rtf is not None and (self.stream is None or self.stream.frame_ms is None):
            raise ValueError("budget.rtf needs stream.frame_ms, the real time of a frame")
        return self

    @model_validator(mode="after")
    def drift_needs_time(self) -> Spec:
        drift = self.validation.drift
        if drift is not None and (self.stream is None or self.stream.frame_ms is None):
            raise ValueError("validate.drift needs stream.frame_ms, the real time of a frame")
        if self.budget.drift is not None and drift is None:
            raise ValueError("budget.drift needs validate.drift, the long stream that it is about")
        return self


def merged_tolerance(*layers: ToleranceSpec | None) -> ToleranceSpec:
    """The first layer that says something decides; where none does, ``EXACT``."""
    for layer in layers:
        if layer is not None and (layer.rtol, layer.atol, layer.snr_db) != (None, None, None):
            return layer
    return EXACT


def json_schema() -> dict[str, Any]:
    """The spec's JSON Schema."""
    schema = Spec.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
