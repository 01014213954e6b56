"""Calibration: the ranges of tensors on the streams that the options name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graphc_passes._quantize.options import CalibrationOptions

import graphc.api as api
from graphc.api import Model, PassContext, PassError, recording_files

if TYPE_CHECKING:
    from graphc.api import Seen


def streams_of(model: Model, options: CalibrationOptions, context: PassContext, notes: list[str]) -> api.Streams:
    """The calibration streams. Adds a line to ``notes`` that says which streams they are.

    Errors:
        InputError: a recording does not exist.
        PassError: the options name recordings, but the model does not stream.
    """
    if options.paths:
        if context.offline is None:
            raise PassError(
                "quantize.calibration.paths: the model does not stream, so recordings cannot be played through it",
                hint="leave calibration.paths out, or add a stream section and lift_state",
            )
        files = recording_files(options.paths, context.folder)
        frame_ms = context.stream.frame_ms if context.stream is not None else None
        sequences = api.recorded_sequences(files, context.offline, frame_ms)
        notes.append(f"calibrated on {len(files)} recordings, {options.method}")
    else:
        low, high = options.frames
        sequences = api.random_sequences(
            model, context.source, context.offline, options.sequences, (low, high), options.seed
        )
        notes.append(
            f"CALIBRATED ON {len(sequences)} RANDOM STREAMS, {options.method}: no substitute for recordings "
            "(quantize.calibration.paths)"
        )
    return api.Streams(sequences, options.states == "carried", options.workers)


def ranges_seen(
    model: Model, names: Sequence[str], options: CalibrationOptions, streams: api.Streams, context: PassContext
) -> dict[str, Seen]:
    """The range of each named tensor on the calibration streams, keyed by name.

    Errors:
        InputError: a recording does not fit the model.
    """
    return api.calibrate(model, names, streams, options.method, options.percentile, context.progress)
