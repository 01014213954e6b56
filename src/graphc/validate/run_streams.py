"""Runs random streams through the compiled model, chunk by chunk, and compares them with the offline model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from graphc.ir.model import Model
from graphc.ir.ort_session import Session, Watched
from graphc.manifest.make_manifest import first_values, manifest_of, to_json
from graphc.spec.schema import ToleranceSpec
from graphc.system.parallel import side_by_side
from graphc.validate.compare import Array, Difference, allowed, compare, scale_of
from graphc.validate.staggered_streams import run_apart
from graphc_runtime.contract.manifest import Manifest, parse_manifest
from graphc_runtime.errors import ModelError, RunError
from graphc_runtime.native.held_state import read_all
from graphc_runtime.open_compiled import Compiled
from graphc_runtime.session import StreamSession
from graphc_runtime.stream_buffer import values_of

WHOLE_OF = 4
Feeds = dict[str, Array]


@dataclass(frozen=True)
class ValidationStream:
    """One stream and the reference outputs for it.

    Args:
        whole: the frames of the recording of which the stream is the start; None for a random stream.
    """

    frames: int
    feeds: Feeds
    want: dict[str, Array]
    whole: int | None = None


def session_of(
    model: Model, proto: onnx.ModelProto | None = None, exact: bool = False, opened: Session | None = None
) -> StreamSession:
    """A client for a model in memory, which only uses the model's manifest.

    Args:
        proto: the model as ONNX, if it was written already.
        exact: as for ``Session``.
        opened: a session over ``proto`` that is open already.

    Errors:
        ModelError: onnxruntime does not accept the model.
    """
    return StreamSession(compiled_of(model, proto, exact, opened))


def compiled_of(
    model: Model, proto: onnx.ModelProto | None = None, exact: bool = False, opened: Session | None = None
) -> Compiled:
    """A streaming model as a compiled one, in memory. The arguments are those of ``session_of``.

    Errors:
        ModelError: onnxruntime does not accept the model.
    """
    data, _ = manifest_of(model, "model")
    manifest: Manifest = parse_manifest(to_json(data), "the manifest")
    try:
        runner = opened or Session(proto if proto is not None else model.proto(), exact=exact)
    except RunError as err:
        raise ModelError(f"onnxruntime cannot run the compiled model: {err}") from err
    return Compiled(manifest, runner, first_values(model))


def run_stream(session: StreamSession, feeds: Feeds, smallest: bool = False) -> dict[str, Array]:
    """The outputs of a whole stream. Outputs without time are stacked, one for each call.

    If calls may have any size, they get various sizes, or with ``smallest`` all the size of the smallest chunk.
    """
    session.reset()
    statics = {n: v for n, v in feeds.items() if n in session.statics}
    streams = {n: v for n, v in feeds.items() if n in session.streams}
    parts: list[dict[str, Array]] = []
    session.push(statics)
    first = next(iter(streams))
    total = streams[first].shape[session.streams[first].along or 0] // session.chunks[first]
    done = 0
    for chunks in [1] * total if smallest else call_sizes(session, total):
        chunk = {}
        for name, value in streams.items():
            count, axis = session.chunks[name], session.streams[name].along or 0
            chunk[name] = value.take(range(done * count, (done + chunks) * count), axis=axis)
        parts.append(session.push(chunk))
        done += chunks
    rest = {}
    for name, value in streams.items():
        count, axis = session.chunks[name], session.streams[name].along or 0
        rest[name] = value.take(range(total * count, value.shape[axis]), axis=axis)
    session.push(rest)
    parts.append(session.flush())
    return {
        name: np.concatenate([p[name] for p in parts], axis=entry.along)
        if entry.is_stream
        else np.stack([v for p in parts for v in values_of(p[name], entry) if v.size] or [np.zeros(0)])
        for name, entry in session.outputs.items()
    }


def call_sizes(session: StreamSession, total: int) -> list[int]:
    """The sizes of a stream's calls, in units of the smallest chunk: all 1, or various if calls may have any size."""
    if not session.dynamic:
        return [1] * total
    if total % WHOLE_OF == 2:
        return [total]
    rng = np.random.default_rng(total)
    sizes: list[int] = []
    left = total
    while left:
        size = min(left, int(rng.choice([1, 1, 2, 3, 7, left if 4 * left <= total else 1])))
        sizes.append(size)
        left -= size
    return sizes


def stream_all(session: StreamSession, sequences: Sequence[Feeds], smallest: bool = False) -> list[dict[str, Array]]:
    """The outputs of a compiled model for whole streams. ``smallest`` is as for ``run_stream``."""
    if session.manifest.streams is not None:
        return run_apart(session, sequences)
    return side_by_side(lambda feeds: run_stream(StreamSession(session.compiled), feeds, smallest), sequences)


def compare_all(
    session: StreamSession,
    trials: list[ValidationStream],
    got: list[dict[str, Array]],
    want: list[dict[str, Array]],
    tolerance: ToleranceSpec,
) -> list[Difference]:
    """The difference of every output of every trial from its reference."""
    return [
        compare(name, reference[name], of_stream(outputs[name], reference[name]), entry.along, tolerance, trial.frames)
        for trial, outputs, reference in zip(trials, got, want, strict=True)
        for name, entry in session.outputs.items()
    ]


def of_stream(outputs: Array, want: Array) -> Array:
    """The last call's value if the reference has one value for the whole stream; else all values."""
    return outputs[-1] if len(outputs.shape) == len(want.shape) + 1 else outputs


def compare_session(
    session: StreamSession, trials: list[ValidationStream], tolerance: ToleranceSpec
) -> list[Difference]:
    """The differences of a compiled model from the reference, on every trial."""
    got = stream_all(session, [t.feeds for t in trials])
    return compare_all(session, trials, got, [t.want for t in trials], tolerance)


@dataclass(frozen=True)
class RecordedCall:
    """One call of a stream: its inputs and its outputs."""

    feeds: Feeds
    results: Feeds


def recorded(session: StreamSession, feeds: Feeds) -> list[RecordedCall]:
    """The calls of a whole stream, with their inputs and outputs."""
    calls: list[RecordedCall] = []
    inner = session.compiled
    watched = Watched(
        inner.runner, lambda given, results: calls.append(RecordedCall(read_all(given), read_all(results)))
    )
    run_stream(StreamSession(replace(inner, runner=watched)), feeds)
    return calls


def allowance(value: Array, tolerance: ToleranceSpec) -> float:
    """The allowed difference of an output from its reference."""
    return max(allowed(tolerance, scale_of(value.astype(np.float64), tolerance)), 1e-30)


def validate_offline(
    before: Session, after: onnx.ModelProto, feeds: list[Feeds], tolerance: ToleranceSpec, exact: bool
) -> list[Difference]:
    """Compares two models that do not stream, on whole runs with the same inputs."""
    try:
        session = Session(after, exact=exact)
    except RunError as err:
        raise ModelError(f"onnxruntime cannot run the compiled model: {err}") from err
    found: list[Difference] = []
    for feed in feeds:
        want, got = before.run(feed), session.run({k: v for k, v in feed.items() if k in session.input_names})
        found += [compare(name, np.asarray(want[name]), np.asarray(got[name]), None, tolerance) for name in want]
    return found
