"""The spec of a pipeline: models that are compiled together, how their ports meet, and what decides at the end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graphc.spec.fields import Finite, Frames, NonNegative, Strict


class LinkSpec(Strict):
    """Where a stage's input comes from: an output of an earlier stage, as STAGE.OUTPUT, or an input of the pipeline."""

    source: str = Field(alias="from", description="STAGE.OUTPUT, or the name of an input of the pipeline")
    permutation: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None, description="the order in which the axes of the output come before they fill the input"
    )
    scale: Finite = Field(default=1.0, description="what values are multiplied by")
    offset: Finite = Field(default=0.0, description="what is added then")


def as_link(value: object) -> object:
    """A link as it is written: ``mel.output`` or ``{from: mel.output, scale: 0.1}``."""
    return {"from": value} if isinstance(value, str) else value


Link = Annotated[LinkSpec, BeforeValidator(as_link, json_schema_input_type=str | dict[str, Any])]


class StageSpec(Strict):
    """One model of a pipeline: its own spec, and where its inputs come from."""

    spec: str = Field(description="a spec, relative to the pipeline's folder; its output is not used")
    inputs: dict[str, Link] = Field(default={}, description="where inputs come from; one left out is the pipeline's")


def as_stage(value: object) -> object:
    return {"spec": value} if isinstance(value, str) else value


class TriggerSpec(Strict):
    """When a score means that something was heard."""

    score: str = Field(description="the output of the pipeline that holds scores, one call each")
    place: Annotated[int, Field(ge=0)] = Field(default=0, description="which of the scores of a call")
    threshold: Finite = 0.5
    smoothing: Frames = Field(default=1, description="the mean of so many last scores is what is compared")
    patience: Frames = Field(default=1, description="so many calls behind each other reach the threshold")
    refractory_s: NonNegative = Field(default=1.0, description="seconds after a trigger in which there is no other")
    warm_up: Annotated[int, Field(ge=0)] = Field(default=0, description="so many first scores count as 0")


class PrimeSpec(Strict):
    """What the states begin with: as if so much faint noise had been heard before the first frame."""

    seconds: Annotated[float, Field(gt=0, le=60)]
    level: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.03, description="the largest sample of the noise"
    )


class PipelineSpec(Strict):
    """Stages in the order in which they run."""

    kind: Literal["trigger", "chain"]
    stages: dict[str, Annotated[StageSpec, BeforeValidator(as_stage, json_schema_input_type=str | dict[str, Any])]] = (
        Field(min_length=1)
    )
    outputs: dict[str, str] = Field(default={}, description="names of outputs, each STAGE.OUTPUT; the last stage's")
    decoder: TriggerSpec | None = None
    prime: PrimeSpec | None = Field(
        default=None, description="begin as if noise had been heard, where zeros are nothing that the models know"
    )

    @field_validator("stages")
    @classmethod
    def names_are_plain(cls, value: dict[str, StageSpec]) -> dict[str, StageSpec]:
        for name in value:
            if not name.replace("_", "").replace("-", "").isalnum() or name == "pipeline":
                raise ValueError(f"'{name}' is no name of a stage: letters, digits, - and _ make one")
        return value

    @model_validator(mode="after")
    def decoder_fits(self) -> PipelineSpec:
        if (self.decoder is not None) != (self.kind == "trigger"):
            raise ValueError(f"kind: {self.kind} goes {'with' if self.kind == 'trigger' else 'without'} a decoder")
        return self


class PipelineFileSpec(Strict):
    """A whole pipeline, as read from YAML. Paths are relative to its folder."""

    version: Literal[1]
    output: str = Field(description="the folder that is written")
    pipeline: PipelineSpec
