"""The manifest of a pipeline: the joined model, its stages, and the settings of the decoder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from graphc_runtime.contract.checked_data import Bounds, DataError, checked
from graphc_runtime.contract.manifest import Count, Manifest, Number, refused
from graphc_runtime.errors import ModelError

FORMAT = "graphc.pipeline/1"
PIPELINE_MANIFEST = "pipeline.manifest.json"
Few = Annotated[int, Bounds(0, 1_000_000)]
Token = Annotated[int, Bounds(0, 2**31 - 1)]
DECODERS = ("trigger", "ctc", "transducer", "denoise")


@dataclass(frozen=True)
class TriggerEntry:
    """When a score counts as a detection.

    Args:
        score: the output with the scores of each call.
        place: the index of the score among the scores of a call.
        threshold: what the mean of the last ``smoothing`` scores must reach in ``patience`` consecutive calls.
        refractory_s: the seconds after a detection in which there is no other detection.
        warm_up: the number of scores at the start of the stream that are replaced by 0.
    """

    score: str
    place: Few
    threshold: Number
    smoothing: Annotated[int, Bounds(1, 1_000_000)]
    patience: Annotated[int, Bounds(1, 1_000_000)]
    refractory_s: Annotated[Number, Bounds(0, 1e9)]
    warm_up: Few


@dataclass(frozen=True)
class TextEntry:
    """How tokens become text, and where an utterance ends.

    Args:
        blank: the blank token.
        tokens: the text of every token; None if there is no table.
        space: the character or text that means a space in ``tokens``.
        endpoint_s: the seconds of blanks after a token that end an utterance. If None, only the end of the stream ends
            an utterance.
    """

    blank: Token
    tokens: list[str] | None
    space: str
    endpoint_s: Annotated[Number, Bounds(0)] | None


@dataclass(frozen=True)
class CtcEntry(TextEntry):
    """A CTC decoder: the likeliest token of each frame of ``scores``, without repetitions and blanks."""

    scores: str


@dataclass(frozen=True)
class PredictorEntry:
    """A stage that computes an input of the joiner from the last tokens.

    Args:
        token: the input for the last tokens. Its number of entries is the number of tokens.
        output: the output for the joiner.
    """

    stage: str
    token: str
    output: str


@dataclass(frozen=True)
class JoinerEntry:
    """A stage that computes scores from an encoder frame and either a predictor's output or the last tokens.

    Args:
        encoder: the input for the encoder frame.
        output: the output with a score for each token.
        predictor: the input for the predictor's output.
        token: the input for the last tokens.
    """

    stage: str
    encoder: str
    output: str
    predictor: str | None = None
    token: str | None = None


@dataclass(frozen=True)
class TransducerEntry(TextEntry):
    """A transducer decoder.

    Args:
        encoder: the output of the joined model with the encoder frames.
        most_symbols: the largest number of tokens per encoder frame. A blank ends a frame earlier.
        start: the token before the first token; None for the blank.
    """

    encoder: str
    joiner: JoinerEntry
    most_symbols: Annotated[int, Bounds(1, 1_000_000)]
    predictor: PredictorEntry | None = None
    start: Token | None = None

    @property
    def fits(self) -> bool:
        """Whether the joiner takes exactly one of these: the output of a predictor, or tokens with no predictor."""
        inside = bool(self.joiner.token)
        return inside == (self.predictor is None) == (not self.joiner.predictor)


@dataclass(frozen=True)
class DenoiseEntry:
    """The decoder of a pipeline that returns sound: the output that contains the samples."""

    samples: str


@dataclass(frozen=True)
class LinkEntry:
    """Where an input of a stage comes from: STAGE.OUTPUT or an input of the pipeline.

    The input is transpose(source, permutation), reshaped to the shape of the input, times scale, plus offset.
    """

    source: str
    permutation: list[Count] | None = None
    scale: Number = 1
    offset: Number = 0


@dataclass(frozen=True)
class StageEntry:
    """A model of the pipeline: its file, its manifest if it streams, and where its inputs come from."""

    name: str
    model: str
    manifest: Manifest | None = None
    inputs: dict[str, LinkEntry] = field(default_factory=dict)


@dataclass(frozen=True)
class PipelineManifest:
    """A pipeline (docs/pipelines.md says what each field means).

    Args:
        model: the file of the joined model, in the same folder.
        trigger, ctc, transducer, denoise: the decoder, in the field of that ``kind``; the others are None.
    """

    format: Literal["graphc.pipeline/1"]
    kind: Literal["trigger", "ctc", "transducer", "denoise", "chain"]
    model: str
    stages: list[StageEntry]
    trigger: TriggerEntry | None = None
    ctc: CtcEntry | None = None
    transducer: TransducerEntry | None = None
    denoise: DenoiseEntry | None = None


def read_pipeline(path: Path) -> tuple[PipelineManifest, Path]:
    """Reads the manifest of a pipeline, from the path of the manifest or of its folder. Returns manifest and folder.

    Errors:
        ModelError: the file cannot be read, is not the manifest of a pipeline, or names a file outside its folder.
    """
    file = path / PIPELINE_MANIFEST if path.is_dir() else path
    try:
        text = file.read_bytes()
    except OSError as err:
        raise ModelError(
            f"the manifest of the pipeline cannot be read: {err.strerror}",
            where=str(file),
            hint="compile it: graphc compile PIPELINE.yaml",
        ) from err
    try:
        data = json.loads(text, parse_constant=refused)
        kind = data.get("kind") if isinstance(data, dict) else None
        manifest = checked(PipelineManifest, {**data, kind: data.get("decoder")} if kind in DECODERS else data)
    except (DataError, ValueError, RecursionError) as err:
        raise ModelError(f"not the manifest of a pipeline: {err}", where=str(file)) from None
    for name in [manifest.model, *(stage.model for stage in manifest.stages)]:
        if Path(name).name != name or not name.isprintable():
            raise ModelError(f"it names a model outside its folder: '{name}'", where=str(file))
    if manifest.kind in DECODERS and getattr(manifest, manifest.kind) is None:
        raise ModelError(f"it is a {manifest.kind} and has no decoder", where=str(file))
    if manifest.transducer is not None and not manifest.transducer.fits:
        raise ModelError("its joiner takes neither a predictor's output nor a single token", where=str(file))
    return manifest, file.parent
