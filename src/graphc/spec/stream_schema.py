"""The stream section of a spec: the role of each input of the model, and how the model is called."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graphc.spec.fields import Finite, Frames, Number, Positive, Strict


def as_rate(value: object) -> Fraction:
    """Parses a rate, which the spec writes as an integer or as ``"3/2"``."""
    if isinstance(value, Fraction):
        return value
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError('a rate must be an integer or a fraction such as "3/2"')
    try:
        rate = Fraction(value)
    except (ValueError, ZeroDivisionError) as err:
        raise ValueError(f'{value!r} is not a fraction such as "3/2"') from err
    if rate <= 0:
        raise ValueError("a rate must be positive")
    return rate


class LengthStepSpec(Strict):
    """One step of a length: floor((mul * T + add) / div)."""

    mul: int = 1
    add: int = 0
    div: Annotated[int, Field(gt=0)] = 1


class MaskSpec(Strict):
    """A mask over queries and keys, on the last two axes of an input: which query sees which keys in every stream."""

    left: Annotated[int, Field(ge=0)] = Field(description="frames that a query sees before its own block")
    right: Annotated[int, Field(ge=0)] = Field(default=0, description="frames that it sees after its block")
    block: Annotated[int, Field(gt=0)] = Field(default=1, description="frames of a block, whose queries see the same")
    length: list[LengthStepSpec] = Field(
        default=[], description="frames of the mask: those of the first stream input through each step in turn"
    )
    seen: Number = Field(default=None, description="its value for seen keys; default: 0, or 1 for integers and bools")
    unseen: Number = Field(default=None, description="its value for others; default: -inf, or 0 for integers and bools")


class InputSpec(Strict):
    """The role of one input of the offline model: exactly one of axis, step, counts, mask and static."""

    axis: int | None = Field(default=None, description="the axis of this input that carries stream time")
    rate: Annotated[Fraction, BeforeValidator(as_rate, json_schema_input_type=int | str)] = Field(
        default=Fraction(1), description='frames of this input for each frame of the first stream input, 2 or "1/2"'
    )
    step: Literal[True] | None = Field(
        default=None, description="takes one frame a call and has no axis for time; the model's states are its ports"
    )
    counts: str | None = Field(default=None, description="the stream input whose number of frames this input holds")
    mask: MaskSpec | None = Field(
        default=None, description="holds a mask over queries and keys, the same in every stream"
    )
    static: Literal[True] | None = Field(default=None, description="one value for the whole stream")
    sizes: dict[Annotated[int, Field(ge=0)], Annotated[int, Field(gt=0, le=1_000_000)]] = Field(
        default={}, description="sizes of open axes, as {2: 80}; the batch needs none"
    )
    range: tuple[Finite, Finite] | None = Field(
        default=None, description="lowest and highest value that validation draws for this input"
    )

    @model_validator(mode="before")
    @classmethod
    def range_from_list(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("range"), list):
            return {**data, "range": tuple(float(v) if isinstance(v, int) else v for v in data["range"])}
        return data

    @field_validator("sizes", mode="before")
    @classmethod
    def axes_from_keys(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return {int(k) if isinstance(k, str) and k.isdigit() else k: v for k, v in value.items()}
        return value

    @model_validator(mode="after")
    def one_role(self) -> InputSpec:
        if sum(x is not None for x in (self.axis, self.step, self.counts, self.mask, self.static)) != 1:
            raise ValueError("give exactly one of axis, step, counts, mask and static")
        return self


class StateSpec(Strict):
    """A state that is already a pair of ports."""

    input: str
    output: str
    init: Finite = 0.0


class StreamSpec(Strict):
    """How the model is fed: the frames of a call, and the roles of its inputs."""

    chunk: Annotated[int, Field(gt=0, le=1_000_000)] | Literal["dynamic"] = Field(
        description="frames of the stream input that one call takes"
    )
    frame_ms: Positive | None = Field(default=None, description="real time of one input frame, in milliseconds")
    window: Frames | None = Field(
        default=None, description="stream a clip model over the last N frames instead of lifting it exactly"
    )
    batch: Annotated[int, Field(gt=0, le=4096)] = Field(
        default=1, description="streams in a call, if the batch dim is symbolic"
    )
    clocks: Literal["shared", "own"] = Field(
        default="shared", description="own: each stream of a batch begins and ends independently"
    )
    inputs: dict[str, InputSpec] | None = None
    states: list[StateSpec] = Field(default=[])

    @model_validator(mode="after")
    def clocks_fit(self) -> StreamSpec:
        if self.clocks == "own" and (self.chunk == "dynamic" or self.window is not None or self.states):
            raise ValueError("clocks: own needs a chunk in frames, and excludes window and states")
        return self

    @property
    def takes_steps(self) -> bool:
        """Whether the model takes one frame per call and has no time axis."""
        return any(entry.step for entry in (self.inputs or {}).values())

    @model_validator(mode="after")
    def steps_fit(self) -> StreamSpec:
        if self.takes_steps and (self.chunk != 1 or self.window is not None):
            raise ValueError("step: true takes one frame a call, so it needs chunk: 1 and excludes window")
        return self
