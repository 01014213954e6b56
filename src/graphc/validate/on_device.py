"""A converted model on its own runtime: streams and silence, against the offline and the compiled ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.client.session import StreamSession
from graphc.spec.schema import ToleranceSpec
from graphc.validate.compare import Difference, compare, worst_of
from graphc.validate.run import Feeds, ValidationStream, compare_all, run_stream


def compare_on_device(
    session: StreamSession,
    onnx: StreamSession,
    trials: Sequence[ValidationStream],
    tolerance: ToleranceSpec,
) -> list[Difference]:
    """How far a converted model lies from the offline model, and its states from those of the ONNX model.

    Outputs are compared in the frames that a client hands out. A stream that is silent at both ends comes last: its
    reference is the compiled model.

    Args:
        session: a client over the converted model; ``onnx``: one over the compiled model.

    Errors:
        ModelError: the runtime does not run it.
    """
    found: list[Difference] = []
    for trial in trials:
        got = run_stream(session, trial.feeds)
        found += compare_all(session, [trial], [got], [trial.want], tolerance)
        run_stream(onnx, trial.feeds)
        found += states_apart(onnx, session, tolerance, trial.frames)
    silent = with_silence(session, trials[0].feeds)
    quiet = replace(trials[0], feeds=silent, want=run_stream(onnx, silent))
    found += compare_all(session, [quiet], [run_stream(session, silent)], [quiet.want], tolerance)
    found += states_apart(onnx, session, tolerance, quiet.frames)
    return worst_of(found)


def states_apart(want: StreamSession, got: StreamSession, tolerance: ToleranceSpec, frames: int) -> list[Difference]:
    """The states after a stream, of both clients."""
    return [compare(name, value, got.states[name], None, tolerance, frames) for name, value in want.states.items()]


def with_silence(session: StreamSession, feeds: Feeds) -> Feeds:
    """The streams with nothing but zeros in their first and their last third."""
    quiet = {}
    for name, value in feeds.items():
        quiet[name] = value
        if name in session.streams and value.dtype.kind == "f":
            axis = session.streams[name].along or 0
            third = value.shape[axis] // 3
            heard = np.zeros_like(value)
            place = (*[slice(None)] * axis, slice(third, value.shape[axis] - third))
            heard[place] = value[place]
            quiet[name] = heard
    return quiet
