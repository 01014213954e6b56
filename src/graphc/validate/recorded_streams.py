"""The recordings that a model is validated on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from graphc.offline.recordings import recorded_stream
from graphc.validate.run_streams import Feeds, ValidationStream
from graphc.validate.validation_streams import DRAWS, LONGEST_STREAM, Bounds, Reference, WindowReference
from graphc_runtime.errors import ModelError

LONGEST_RECORDED_MS = 60_000


def recorded_trials(
    reference: Reference, files: Sequence[Path], frame_ms: float | None, chunk: int, bounds: Bounds
) -> list[ValidationStream]:
    """The first minute of each recording. Less, down to an eighth, if the offline model does not accept that length.

    Errors:
        InputError: a recording does not fit the model.
        ModelError: the offline model accepts none of the lengths tried.
    """
    offline = reference.offline
    most = min(bounds.max_frames or LONGEST_STREAM, int(LONGEST_RECORDED_MS / (frame_ms or 10.0)))
    trials: list[ValidationStream] = []
    for path in files:
        feeds = recorded_stream(path, offline, frame_ms)
        first, role = next(iter(offline.streams().items()))
        whole = min(most, int(feeds[first].shape[role.axis] / role.rate))
        whole = whole // chunk * chunk if isinstance(reference, WindowReference) else whole
        trials.append(replace(longest_taken(reference, feeds, whole, path), whole=whole))
    return trials


def longest_taken(reference: Reference, feeds: Feeds, whole: int, path: Path) -> ValidationStream:
    """The start of a recording that the offline model accepts: close to all of it, a half, a quarter or an eighth.

    Errors:
        ModelError: the offline model accepts none of the lengths tried.
    """
    offline = reference.offline
    for most in (whole, whole // 2, whole // 4, whole // 8):
        for frames in range(most, max(0, most - DRAWS), -1):
            taken = None if frames in offline.refused else reference.of(frames, offline.shortened(feeds, frames))
            if taken is not None:
                return taken
            if frames in offline.too_large:
                break
    if offline.too_large:
        reason, hint = f"the offline model needs more memory than there is for {whole} frames", "cut the recording"
    else:
        reason = f"the offline model runs at none of the lengths tried up to {whole} frames"
        hint = "give a recording of a length that it takes"
    raise ModelError(reason, where=str(path), hint=hint)
