"""The manifest of a pipeline: the joined model, its stages, and the numbers of the decoder."""

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
        score: the output that gives the scores of each call.
        place: the index of the score among those of a call.
        threshold: the mean of the last ``smoothing`` scores must reach it in ``patience`` consecutive calls.
        refractory_s: seconds after a detection in which there is no other.
        warm_up: the number of first scores that count as 0.
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
        space: the mark that stands for a space in these texts.
        endpoint_s: seconds of blanks after a token that end an utterance; None if only the end of the stream does.
    """

    blank: Token
    tokens: list[str] | None
    space: str
    endpoint_s: Annotated[Number, Bounds(0)] | None


@dataclass(frozen=True)
class CtcEntry(TextEntry):
    """The likeliest token of each frame of ``scores``, without repetitions and blanks."""

    scores: str


@dataclass(frozen=True)
class PredictorEntry:
    """A stage that turns the last tokens, as many as its input has entries, into one output for the joiner."""

    stage: str
    token: str
    output: str


@dataclass(frozen=True)
class JoinerEntry:
    """A stage that computes scores from an encoder frame and either a predictor's output or the last tokens."""

    stage: str
    encoder: str
    output: str
    predictor: str | None = None
    token: str | None = None


@dataclass(frozen=True)
class TransducerEntry(TextEntry):
    """Takes up to ``most_symbols`` tokens from a frame of ``encoder``, until a blank. ``start`` is before the first."""

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
    """A pipeline that gives sound: the output that holds samples."""

    samples: str


@dataclass(frozen=True)
class LinkEntry:
    """Where an input of a stage comes from: STAGE.OUTPUT or an input of the pipeline.

    Its value is transpose(value, permutation), in the shape of the input, times scale, plus offset.
    """

    source: str
    permutation: list[Count] | None = None
    scale: Number = 1
    offset: Number = 0


@dataclass(frozen=True)
class StageEntry:
    """One of the models: its file, its manifest if it streams, and where its inputs come from."""

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
    """The manifest of a pipeline and its folder, from the path of either.

    Errors:
        ModelError: it cannot be read, is not such a manifest, or names a file outside its folder.
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
