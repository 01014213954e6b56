"""The manifest of a pipeline: the joined model, its stages, and the numbers of the decoder."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from graphc_runtime.contract.checked_data import Bounds, DataError, checked
from graphc_runtime.contract.manifest import Count, Manifest, Number, Positive, refused
from graphc_runtime.errors import ModelError

FORMAT = "graphc.pipeline/1"
PIPELINE_MANIFEST = "pipeline.manifest.json"


@dataclass(frozen=True)
class TriggerEntry:
    """When a score means that something was heard.

    Args:
        score: the output that holds scores, one call each.
        place: which of the scores of a call.
        threshold: what the mean of the last ``smoothing`` scores reaches in ``patience`` calls behind each other.
        refractory_s: seconds after a trigger in which there is no other.
        warm_up: so many first scores count as 0.
    """

    score: str
    place: Count
    threshold: Number
    smoothing: Positive
    patience: Positive
    refractory_s: Annotated[Number, Bounds(0)]
    warm_up: Count


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
    """One of the models, as it stands beside the joined one; its manifest, and where its inputs come from."""

    name: str
    model: str
    manifest: Manifest
    inputs: dict[str, LinkEntry] = field(default_factory=dict)


@dataclass(frozen=True)
class PipelineManifest:
    """A pipeline (docs/manifest.md says what each field means).

    Args:
        model: the file of the joined model, in the same folder.
    """

    format: Literal["graphc.pipeline/1"]
    kind: Literal["trigger", "chain"]
    model: str
    stages: list[StageEntry]
    decoder: TriggerEntry | None = None


def read_pipeline(path: Path) -> tuple[PipelineManifest, Path]:
    """The manifest of a pipeline's folder, or of that file, and the path of its joined model.

    Errors:
        ModelError: it cannot be read, is none, or names a model outside its folder.
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
        manifest = checked(PipelineManifest, json.loads(text, parse_constant=refused))
    except (DataError, ValueError, RecursionError) as err:
        raise ModelError(f"not the manifest of a pipeline: {err}", where=str(file)) from None
    if Path(manifest.model).name != manifest.model:
        raise ModelError(f"it names a model outside its folder: '{manifest.model}'", where=str(file))
    if manifest.kind == "trigger" and manifest.decoder is None:
        raise ModelError("it is a trigger and says not when", where=str(file))
    return manifest, file.with_name(manifest.model)
