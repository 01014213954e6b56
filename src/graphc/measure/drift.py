"""Measures how the error of a compiled model against the float model changes over a long stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, cycle
from pathlib import Path

import numpy as np

from graphc.ir.model import Model
from graphc.measure.calibration import recorded_sequences
from graphc.measure.drift_result import SILENCE_DB, TWICE, Array, Course, Drift, Rehearsal
from graphc.measure.trend import trend_of
from graphc.offline.feeds import Feeds
from graphc.offline.recordings import recording_files
from graphc.offline.reference import Offline
from graphc.spec.schema import DriftSpec
from graphc.system.words import counted
from graphc.validate.run_streams import session_of
from graphc.validate.validation_streams import streamed
from graphc_runtime.contract.manifest import PackedState, Scale, StateEntry
from graphc_runtime.errors import ModelError
from graphc_runtime.session import StreamSession

Progress = Callable[[int, int], None]
MOST_POINTS = 300
RESETS_S = (10.0, 30.0, 60.0, 120.0, 300.0)


def float_session(exact: Model | None) -> StreamSession:
    """A client for the float model.

    Errors:
        ModelError: there is no streaming float model.
    """
    if exact is None:
        raise ModelError(
            "there is no streaming float model to compare with: a pass before lift_state changed the numbers",
            hint="put quantize after lift_state",
        )
    return session_of(exact)


def long_stream(
    compiled: StreamSession,
    exact: StreamSession,
    offline: Offline,
    spec: DriftSpec,
    folder: Path,
    progress: Callable[[str, int, int], None],
) -> Drift:
    """The drift over the long stream that a spec describes.

    Errors:
        InputError: a recording is missing, or does not fit the model.
        ModelError: the stream cannot be run.
    """
    files = recording_files(spec.paths, folder)
    recorded = recorded_sequences(files, offline, compiled.manifest.frame_ms)
    stream = rehearsal(compiled, offline, spec.minutes, recorded, spec.seed)
    source = f"{counted(len(files), 'recording')}, over and over" if files else "random frames"
    return measure_drift(compiled, exact, stream, source, lambda done, total: progress("drift", done, total))


def rehearsal(
    session: StreamSession, offline: Offline, minutes: float, recorded: Sequence[Callable[[], Feeds]], seed: int
) -> Rehearsal:
    """A stream of some minutes of random frames, or of recordings in a loop.

    Errors:
        ModelError: the duration of a frame is not known, the streams of a batch have their own clocks, or the first
            recording is shorter than a chunk.
    """
    frame_ms = session.manifest.frame_ms
    if frame_ms is None:
        raise ModelError("the duration of a frame is not known", hint="set stream.frame_ms")
    if session.manifest.streams is not None:
        raise ModelError("drift needs one clock for all streams of the batch", hint="leave out stream.clocks")
    call_s = session.chunk * frame_ms / 1000
    calls = max(1, round(minutes * 60 / call_s))
    if session.manifest.longest is not None:
        calls = min(calls, session.manifest.longest // session.chunk)

    def drawn() -> Iterator[Feeds]:
        rng = np.random.default_rng(seed)
        statics = {n: v for n, v in offline.draw(session.chunk, rng).items() if n in session.statics}
        for _ in count():
            yield {**streamed(offline, offline.draw(session.chunk, rng)), **statics}

    def played() -> Iterator[Feeds]:
        for feeds in cycle(recorded):
            yield from chunks_of(session, feeds())

    if recorded and not any(True for _ in chunks_of(session, recorded[0]())):
        raise ModelError(f"a recording is shorter than a chunk of {session.chunk} frames")
    return Rehearsal(
        played if recorded else drawn, calls, max(1, round(calls / MOST_POINTS), round(1 / call_s)), call_s
    )


def chunks_of(session: StreamSession, feeds: Feeds) -> Iterator[Feeds]:
    """The whole chunks of a stream."""
    sizes = {n: session.chunks[n] for n in session.streams}
    total = min(feeds[n].shape[session.streams[n].along or 0] // size for n, size in sizes.items())
    for index in range(total):
        chunk = {n: v for n, v in feeds.items() if n in session.statics}
        for name, size in sizes.items():
            axis = session.streams[name].along or 0
            frames = feeds[name].take(range(index * size, (index + 1) * size), axis=axis)
            chunk[name] = frames[0] if session.streams[name].is_step else frames
        yield chunk


def measure_drift(
    compiled: StreamSession, exact: StreamSession, stream: Rehearsal, source: str, progress: Progress
) -> Drift:
    """Runs both models over a long stream. If the error grows, runs the compiled model again with resets."""
    course = courses(stream, exact, {"": (compiled, None)}, progress)[""]
    trends = {n: trend_of(course.error[n], float(np.mean(course.signal[n]))) for n in course.error}
    grows = any(t.verdict != "bounded" for t in trends.values())
    resets: dict[str, float] = {}
    if grows:
        length = stream.calls * stream.call_s
        spans: dict[str, float | None] = {f"{s:g} s": s for s in RESETS_S if s < length / 3}
        variants = {name: (StreamSession(compiled.compiled), s) for name, s in spans.items()}
        variants["silence"] = (StreamSession(compiled.compiled), 0.0)
        found = courses(stream, exact, variants, progress)
        resets = {name: min(c.snr_db(o) for o in trends) for name, c in found.items()}
    whole = min((course.snr_db(n) for n in trends), default=0.0)
    helping = {name: snr for name, snr in resets.items() if name != "silence" and snr > whole}
    best = max(helping, key=lambda name: helping[name], default=None)
    return Drift(
        minutes=stream.calls * stream.call_s / 60,
        point_s=stream.window * stream.call_s,
        source=source,
        course=course,
        trends=trends,
        first_state=first_to_grow(course.states) if grows else None,
        resets=resets,
        reset_s=None if best is None else float(best.removesuffix(" s")),
    )


def courses(
    stream: Rehearsal,
    exact: StreamSession,
    variants: Mapping[str, tuple[StreamSession, float | None]],
    progress: Progress,
) -> dict[str, Course]:
    """The course of each variant: a session, and the seconds between its resets (None: never; 0: in silence)."""
    for session in (exact, *(s for s, _ in variants.values())):
        session.reset()
    found = {name: Course() for name in variants}
    sums: dict[str, dict[str, list[float]]] = {name: {} for name in variants}
    loudest = 0.0
    for index, feeds in zip(range(stream.calls), stream.chunks(), strict=False):
        loud = max((float(np.mean(np.square(feeds[n].astype(np.float64)))) for n in exact.streams), default=0.0)
        loudest = max(loudest, loud)
        want = one_call(exact, feeds)
        for name, (session, span) in variants.items():
            silent = span == 0 and loud <= loudest * 10 ** (SILENCE_DB / 10)
            if index and (silent or (span and index % max(1, round(span / stream.call_s)) == 0)):
                session.states = dict(session.first)
            add(sums[name], want, one_call(session, feeds))
            if (index + 1) % stream.window == 0 or index + 1 == stream.calls:
                close(found[name], sums[name], exact, session)
        progress(index + 1, stream.calls)
    return found


def one_call(session: StreamSession, feeds: Feeds) -> Feeds:
    session.values = {n: feeds[n] for n in session.statics}
    return session.call({n: feeds[n] for n in session.streams}, session.chunk)


def add(sums: dict[str, list[float]], want: Feeds, got: Feeds) -> None:
    for name, value in want.items():
        if value.dtype.kind != "f":
            continue
        exact, seen = value.astype(np.float64), got[name].astype(np.float64)
        held = sums.setdefault(name, [0.0, 0.0, 0.0])
        both = np.isfinite(exact)
        held[0] += float(np.sum(exact[both] ** 2))
        held[1] += float(np.sum((exact - seen)[both] ** 2))
        held[2] += float(both.sum())


def close(course: Course, sums: dict[str, list[float]], exact: StreamSession, session: StreamSession) -> None:
    """Ends a window: adds its averages to the course."""
    for name, (signal, error, elements) in sums.items():
        course.signal.setdefault(name, []).append(signal / max(elements, 1.0))
        course.error.setdefault(name, []).append(error / max(elements, 1.0))
    sums.clear()
    want, got = held_states(exact), held_states(session)
    for name, value in want.items():
        other = got.get(name)
        if other is not None and other.shape == value.shape and value.size:
            power = float(np.mean(value**2))
            course.states.setdefault(name, []).append(float(np.mean((other - value) ** 2)) / max(power, 1e-30))


def held_states(session: StreamSession) -> dict[str, Array]:
    """The states of a session as float values, unpacked and dequantized."""
    found: dict[str, Array] = {}
    for entry in session.manifest.states:
        for part, value in parts_of(entry, session.states[entry.input]):
            if part.scale is not None:
                found[part.input] = dequantized(value, part.scale)
            elif value.dtype.kind == "f":
                found[part.input] = value.astype(np.float64)
    return found


def parts_of(entry: StateEntry, value: Array) -> list[tuple[StateEntry | PackedState, Array]]:
    if entry.pack is None:
        return [(entry, value)]
    ends = np.cumsum([p.size for p in entry.pack.parts])[:-1]
    return list(zip(entry.pack.parts, np.split(value, ends, axis=entry.pack.axis), strict=True))


def dequantized(value: Array, scale: Scale) -> Array:
    shape = [-1 if a == scale.axis else 1 for a in range(value.ndim)] if scale.axis is not None else [1] * value.ndim
    steps, zeros = np.reshape(scale.scale, shape), np.reshape(scale.zero_point, shape)
    return np.asarray((value.astype(np.float64) - zeros) * steps)


def first_to_grow(states: Mapping[str, Sequence[float]]) -> str | None:
    """The growing state whose error is first to stay above twice its early level."""
    places: dict[str, int] = {}
    for name, errors in states.items():
        if trend_of(errors, float("inf")).verdict == "bounded":
            continue
        early = float(np.median(errors[: max(1, len(errors) // 10)]))
        above = np.asarray(errors) > TWICE * early
        below = np.flatnonzero(~above)
        places[name] = int(below[-1]) + 1 if below.size else 0
    return min(places, key=lambda name: places[name], default=None)
