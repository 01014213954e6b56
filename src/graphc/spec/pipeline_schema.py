"""The spec of a pipeline: models that are compiled together, how their ports meet, and the decoder at the end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from graphc.spec.fields import Finite, Strict

InFloats = Annotated[float, Field(ge=-1e30, le=1e30, allow_inf_nan=False)]
Few = Annotated[int, Field(ge=0, le=1_000_000)]
Some = Annotated[int, Field(ge=1, le=1_000_000)]
KINDS = ("trigger", "ctc", "transducer", "denoise")


class LinkSpec(Strict):
    """Where a stage's input comes from: an output of an earlier stage, as STAGE.OUTPUT, or an input of the pipeline."""

    source: str = Field(alias="from", description="STAGE.OUTPUT, or the name of an input of the pipeline")
    permutation: list[Annotated[int, Field(ge=0)]] | None = Field(
        default=None, description="the order in which the axes of the output come before they fill the input"
    )
    scale: InFloats = Field(default=1.0, description="the factor that values are multiplied by")
    offset: InFloats = Field(default=0.0, description="the offset that is added after that")


def as_link(value: object) -> object:
    """Normalizes a link, which the spec writes as ``mel.output`` or ``{from: mel.output, scale: 0.1}``."""
    return {"from": value} if isinstance(value, str) else value


Link = Annotated[LinkSpec, BeforeValidator(as_link, json_schema_input_type=str | dict[str, Any])]


class StageSpec(Strict):
    """One model of a pipeline: its own spec, and where its inputs come from."""

    spec: str = Field(description="a spec, relative to the pipeline's folder; its output is not used")
    inputs: dict[str, Link] = Field(default={}, description="where inputs come from; default: the pipeline's inputs")


def as_stage(value: object) -> object:
    return {"spec": value} if isinstance(value, str) else value


class TriggerSpec(Strict):
    """When a score counts as a detection."""

    score: str = Field(description="the output of the pipeline that holds scores, one call each")
    place: Few = Field(default=0, description="the index of the score within those of a call")
    threshold: Finite = 0.5
    smoothing: Some = Field(default=1, description="the number of last scores whose mean is compared")
    patience: Some = Field(default=1, description="the number of consecutive calls that must reach the threshold")
    refractory_s: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = Field(
        default=1.0, description="seconds after a trigger without another one"
    )
    warm_up: Few = Field(default=0, description="the number of first scores that count as 0")


class TextSpec(Strict):
    """How tokens become text, and where an utterance ends."""

    blank: Annotated[int, Field(ge=0)] = Field(default=0, description="the blank token")
    tokens: str | None = Field(
        default=None,
        description="the table of tokens, relative to the pipeline's folder: .txt with one a line (with its number "
        "behind it, or not), .json with their numbers, or a SentencePiece .model",
    )
    space: str = Field(default="▁", description="the mark for a space in tokens")
    endpoint_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="seconds of blanks after a token that end an utterance; states then start again"
    )


class CtcSpec(TextSpec):
    """Greedy decoding: the likeliest token of each frame, repetitions and blanks left out."""

    scores: str = Field(description="the output of the pipeline that holds a score for each token, frame by frame")


class PredictorSpec(Strict):
    """The network that turns the tokens so far into a state."""

    stage: str
    token: str = Field(description="its input for the last tokens, as many as the input has entries")
    output: str


class JoinerSpec(Strict):
    """The network that scores tokens from an encoder frame and from the predictor's output or the last token."""

    stage: str
    encoder: str = Field(description="its input for a frame of the encoder")
    predictor: str | None = Field(default=None, description="its input for the predictor's output")
    token: str | None = Field(default=None, description="its input for the last token, if it contains the predictor")
    output: str = Field(description="a score for each token")

    @model_validator(mode="after")
    def one_past(self) -> JoinerSpec:
        if (self.predictor is None) == (self.token is None):
            raise ValueError("give exactly one of predictor and token")
        return self


class TransducerSpec(TextSpec):
    """Greedy decoding: tokens of each frame until a blank."""

    encoder: str = Field(description="the output of the pipeline that holds frames of the encoder")
    predictor: PredictorSpec | None = None
    joiner: JoinerSpec
    start: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="the token before the first; default: the blank"
    )
    most_symbols: Some = Field(default=10, description="the most tokens of a frame")

    @model_validator(mode="after")
    def joiner_fits(self) -> TransducerSpec:
        if (self.predictor is None) != (self.joiner.predictor is None):
            raise ValueError("a predictor needs joiner.predictor")
        return self


class DenoiseSpec(Strict):
    """The output is sound."""

    samples: str = Field(description="the output of the pipeline that holds samples, as many as go in")


class PrimeSpec(Strict):
    """The first values of the states, as if the model had heard some faint noise before the first frame."""

    seconds: Annotated[float, Field(gt=0, le=60)]
    level: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.03, description="the largest magnitude of a sample of the noise"
    )


class PipelineSpec(Strict):
    """Stages in the order in which they run."""

    stages: dict[str, Annotated[StageSpec, BeforeValidator(as_stage, json_schema_input_type=str | dict[str, Any])]] = (
        Field(min_length=1)
    )
    outputs: dict[str, str] = Field(default={}, description="STAGE.OUTPUT by name; default: the last stage's")
    trigger: TriggerSpec | None = None
    ctc: CtcSpec | None = None
    transducer: TransducerSpec | None = None
    denoise: DenoiseSpec | None = None
    prime: PrimeSpec | None = Field(
        default=None,
        description="start as if faint noise had been heard, for models that never saw states of zeros in training",
    )

    @field_validator("stages")
    @classmethod
    def names_are_plain(cls, value: dict[str, StageSpec]) -> dict[str, StageSpec]:
        for name in value:
            if not name.replace("_", "").replace("-", "").isalnum() or name == "pipeline":
                raise ValueError(f"'{name}' is not a valid stage name: use letters, digits, - and _")
        return value

    @model_validator(mode="after")
    def one_decoder(self) -> PipelineSpec:
        if sum(getattr(self, kind) is not None for kind in KINDS) > 1:
            raise ValueError(f"give one of {', '.join(KINDS)}, or none")
        return self

    @model_validator(mode="after")
    def networks_are_stages(self) -> PipelineSpec:
        unknown = [name for name in self.networks if name not in self.stages]
        if unknown:
            raise ValueError(f"the transducer names unknown stages: {', '.join(unknown)}")
        if not self.joined:
            raise ValueError("there is no stage beside those of the transducer")
        return self

    @property
    def kind(self) -> str:
        """The kind of the decoder at the end; "chain" if there is none."""
        return next((kind for kind in KINDS if getattr(self, kind) is not None), "chain")

    @property
    def networks(self) -> list[str]:
        """The stages that the decoder calls itself, which are not joined to the others."""
        if self.transducer is None:
            return []
        predictor = self.transducer.predictor
        return [*([predictor.stage] if predictor is not None else []), self.transducer.joiner.stage]

    @property
    def joined(self) -> list[str]:
        """The stages that are joined into one model."""
        return [name for name in self.stages if name not in self.networks]


class PipelineFileSpec(Strict):
    """A whole pipeline, as read from YAML. Paths are relative to its folder."""

    version: Literal[1]
    output: str = Field(description="the folder to write")
    pipeline: PipelineSpec
