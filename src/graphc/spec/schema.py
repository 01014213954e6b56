"""The spec: what to compile, how it streams, through which passes, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from graphc.op_sets.registry import all_op_sets
from graphc.spec.fields import Finite, Frames, NonNegative, Positive, Strict
from graphc.spec.stream_schema import StreamSpec


class ToleranceSpec(Strict):
    """How close counts as equal, for each output over a whole stream.

    Holds if max |streamed - offline| <= atol + rtol * max |offline|, or, where snr_db is given, if
    10 * log10(sum offline^2 / sum (streamed - offline)^2) reaches it.
    """

    rtol: NonNegative | None = None
    atol: NonNegative | None = None
    snr_db: Finite | None = None


EXACT = ToleranceSpec(rtol=1e-4, atol=1e-5)
EXACT_IN_HALVES = ToleranceSpec(rtol=4e-3, atol=4e-4)  # four steps of float16


class DriftSpec(Strict):
    """A long stream, on which the error against the float model is followed over time."""

    minutes: Annotated[float, Field(gt=0, le=10_000)] = Field(default=30.0, description="of real time; needs frame_ms")
    paths: list[str] = Field(
        default=[],
        description="recordings or features to play in a loop, relative to the spec; default: random frames",
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
        default=None, description="the range that stream lengths are drawn from; default: one that suits the model"
    )
    seed: Annotated[int, Field(ge=0)] = 0
    tolerance: ToleranceSpec = ToleranceSpec()
    paths: list[str] = Field(
        default=[],
        description="recordings or features, relative to the spec, to judge passes on that may change the numbers; "
        "default: the random streams",
    )
    drift: DriftSpec | None = Field(default=None, description="also follow the error over a long stream")

    @model_validator(mode="before")
    @classmethod
    def frames_from_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("frames"), list):
            return {**data, "frames": tuple(data["frames"])}
        return data

    @model_validator(mode="after")
    def ordered(self) -> ValidateSpec:
        if self.frames and self.frames[0] > self.frames[1]:
            raise ValueError("frames: the first number must not be larger than the second")
        return self


class BudgetSpec(Strict):
    """The limits that the compiled model must meet."""

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
    """One entry of ``passes``: a name with its options; every pass takes ``tolerance``."""

    name: str
    options: dict[str, Any] = Field(default={})
    tolerance: ToleranceSpec | None = None


class TargetSpec(PassSpec):
    """One entry of ``targets``: the name of a runtime with its options."""


def as_pass(entry: object) -> object:
    """Normalizes an entry, which the spec writes as ``fuse`` or ``quantize: {mode: dynamic}``."""
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
    raise ValueError("an entry is a name, or one name with its options as in `quantize: {mode: dynamic}`")


class Spec(Strict):
    """A whole spec, as read from YAML. Paths are relative to the spec's folder."""

    version: Literal[1]
    model: str
    output: str
    stream: StreamSpec | None = None
    target: str = Field(
        default="onnx",
        description="the runtime that the model is made for; "
        + "; ".join(f"{name}: {target.summary}" for name, target in all_op_sets().items()),
        json_schema_extra={"enum": list(all_op_sets())},
    )
    passes: list[
        Annotated[PassSpec, BeforeValidator(as_pass, json_schema_input_type=str | dict[str, dict[str, Any] | None])]
    ]
    targets: list[
        Annotated[TargetSpec, BeforeValidator(as_pass, json_schema_input_type=str | dict[str, dict[str, Any] | None])]
    ] = Field(
        default=[],
        description="runtimes that the model is converted for, and run and compared on (`graphc targets` lists them)",
    )
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
        if value not in all_op_sets():
            raise ValueError(f"input should be {' or '.join(map(repr, all_op_sets()))}")
        return value

    @field_validator("targets")
    @classmethod
    def each_target_once(cls, value: list[TargetSpec]) -> list[TargetSpec]:
        names = [entry.name for entry in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"'{twice}' appears twice")
        return value

    @field_validator("model", "output")
    @classmethod
    def path_is_one(cls, value: str) -> str:
        if not value.strip() or "\0" in value:
            raise ValueError("expected a path")
        return value

    @field_validator("output")
    @classmethod
    def output_is_onnx(cls, value: str) -> str:
        if not value.endswith(".onnx") or Path(value).name == ".onnx":
            raise ValueError("expected a file name that ends in .onnx")
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
            raise ValueError("budget.drift needs validate.drift, the long stream that it limits")
        return self


def merged_tolerance(*tolerances: ToleranceSpec | None) -> ToleranceSpec:
    """The first tolerance that sets any value; ``EXACT`` if none does."""
    for tolerance in tolerances:
        if tolerance is not None and (tolerance.rtol, tolerance.atol, tolerance.snr_db) != (None, None, None):
            return tolerance
    return EXACT


def json_schema(spec: type[BaseModel] = Spec) -> dict[str, Any]:
    """The JSON Schema of a spec."""
    schema = spec.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
