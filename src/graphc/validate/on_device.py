"""Compares a converted model on its own runtime with the offline model and the compiled ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.spec.schema import ToleranceSpec
from graphc.validate.compare import Array, Difference, compare, worst_of
from graphc.validate.run_streams import Feeds, RecordedCall, ValidationStream, compare_all, recorded, run_stream
from graphc_runtime.contract.manifest import OutputEntry
from graphc_runtime.session import StreamSession


def compare_on_device(
    session: StreamSession,
    onnx: StreamSession,
    trials: Sequence[ValidationStream],
    tolerance: ToleranceSpec,
) -> list[Difference]:
    """The difference of a converted model from the offline model, and the effect of its states in the ONNX model.

    Outputs are compared in the frames that a client returns. The last stream is silent at both ends, and its reference
    is the compiled model.

    Args:
        session: a client for the converted model.
        onnx: a client for the compiled model.

    Errors:
        ModelError: the runtime does not run the model.
    """
    found: list[Difference] = []
    silent = with_silence(session, trials[0].feeds)
    quiet = replace(trials[0], feeds=silent, want=run_stream(onnx, silent))
    for trial in (*trials, quiet):
        got = run_stream(session, trial.feeds)
        found += compare_all(session, [trial], [got], [trial.want], tolerance)
        found += handed_over(onnx, session, trial, tolerance)
    return worst_of(found)


def handed_over(
    onnx: StreamSession, native: StreamSession, trial: ValidationStream, tolerance: ToleranceSpec
) -> list[Difference]:
    """The differences of the ONNX model's outputs if it continues from the target's states after some calls.

    Two runtimes may differ in frames that do not exist, but a state must have the same effect on the outputs.
    """
    calls, theirs = recorded(onnx, trial.feeds), recorded(native, trial.feeds)
    names = {s.input: s.output for s in onnx.manifest.states}
    found: list[Difference] = []
    for moment in sorted({len(calls) // 4, len(calls) // 2, max(0, len(calls) - 2)}) if names else ():
        states = {name: theirs[moment].results[output] for name, output in names.items()}
        rest = []
        for call in calls[moment + 1 :]:
            rest.append(onnx.runner.run({**call.feeds, **states}))
            states = {name: rest[-1][output] for name, output in names.items()}
        found += [
            compare(entry.name, want, got, entry.along, tolerance, trial.frames)
            for entry in onnx.outputs.values()
            if rest and entry.along is not None
            for want, got in [kept_of(entry, calls, moment, rest, trial.frames)]
        ]
    return found


def kept_of(
    entry: OutputEntry, calls: Sequence[RecordedCall], moment: int, rest: Sequence[Feeds], frames: int
) -> tuple[Array, Array]:
    """The frames of an output that a client returns after a call, as recorded and as given by another run."""
    axis = entry.axis or 0
    if entry.is_step:
        return (np.stack([c.results[entry.name] for c in calls[moment + 1 :]]), np.stack([r[entry.name] for r in rest]))
    before = sum(c.results[entry.name].shape[axis] for c in calls[: moment + 1])
    wanted = np.concatenate([c.results[entry.name] for c in calls[moment + 1 :]], axis=axis)
    given = np.concatenate([r[entry.name] for r in rest], axis=axis)
    first, last = max(entry.delay - before, 0), max(entry.delay + entry.length_of(frames) - before, 0)
    place = range(min(first, wanted.shape[axis]), min(last, wanted.shape[axis]))
    return wanted.take(place, axis=axis), given.take(place, axis=axis)


def with_silence(session: StreamSession, feeds: Feeds) -> Feeds:
    """The streams with zeros in their first and last third."""
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
