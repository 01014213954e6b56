"""The proof by running: random streams through the compiled model, chunk by chunk, against the offline model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx

from graphc.apart import run_apart
from graphc.compare import Array, Difference, allowed, compare, widened
from graphc.errors import ModelError
from graphc.manifest import Manifest, manifest_of, parse_manifest, to_json
from graphc.model import Model
from graphc.offline import Offline
from graphc.recordings import recorded_stream
from graphc.roles import TIME_ONLY, StateRole, StreamRole
from graphc.runtime import RunError, Session, Watched
from graphc.session import Compiled, StreamSession, first_values
from graphc.signature import Signature
from graphc.spec import ToleranceSpec, ValidateSpec

DRAWS = 40
CONTEXTS = ("conv_context", "pool_context", "delay_line", "attention_key", "attention_value", "attention_context")
SIGHT = 10.0
CALLS_TO_SHOW = 12
SILENT_FROM = 24
LONGEST_STREAM = 10_000_000
LONGEST_RECORDED_MS = 60_000
Feeds = dict[str, Array]


@dataclass(frozen=True)
class Trial:
    """One random stream and what the reference gives for it."""

    frames: int
    feeds: Feeds
    want: dict[str, Array]


class Reference(Protocol):
    """What equal means: the reference outputs of a stream."""

    offline: Offline

    def trial(self, frames: int, rng: np.random.Generator) -> Trial | None:
        """A random stream of so many frames, or None where the offline model does not take that length."""

    def of(self, frames: int, feeds: Feeds) -> Trial:
        """What is to come of a stream."""


class WholeReference:
    """The offline model over the whole utterance."""

    def __init__(self, offline: Offline):
        self.offline = offline

    def trial(self, frames: int, rng: np.random.Generator) -> Trial | None:
        if not self.offline.accepts(frames):
            return None
        feeds = self.offline.draw(frames, rng)
        if frames >= SILENT_FROM:
            feeds = with_silence(self.offline, feeds, frames)
        return self.of(frames, feeds)

    def of(self, frames: int, feeds: Feeds) -> Trial:
        return Trial(frames, streamed(self.offline, feeds), self.offline.run(feeds))


def with_silence(offline: Offline, feeds: Feeds, frames: int) -> Feeds:
    """The feeds with zeros from a third to two thirds of the stream: masks made of the data open and shut there."""
    silent = dict(feeds)
    for name, role in offline.streams().items():
        if silent[name].dtype.kind == "f" and role.low is None:
            place = [slice(None)] * silent[name].ndim
            place[role.axis] = slice(offline.frames_of(name, frames) // 3, 2 * offline.frames_of(name, frames) // 3)
            silent[name] = silent[name].copy()
            silent[name][tuple(place)] = 0
    return silent


class WindowReference:
    """The offline model over the last ``window`` frames, after every call."""

    def __init__(self, offline: Offline, window: int, chunk: int):
        self.offline, self.window, self.chunk = offline, window, chunk

    def trial(self, frames: int, rng: np.random.Generator) -> Trial | None:
        frames = max(1, frames // self.chunk) * self.chunk
        return self.of(frames, self.offline.draw(frames, rng))

    def of(self, frames: int, feeds: Feeds) -> Trial:
        wants: list[dict[str, Array]] = []
        states = {n: r.output for n, r in self.offline.roles.items() if isinstance(r, StateRole)}
        for end in range(self.chunk, frames + 1, self.chunk):
            wants.append(self.offline.run({n: self.last_frames(n, v, end) for n, v in feeds.items()}))
            feeds |= {name: wants[-1][output] for name, output in states.items()}
        want = {name: np.stack([w[name] for w in wants]) for name in wants[0]}
        return Trial(frames, streamed(self.offline, feeds), want)

    def last_frames(self, name: str, value: Array, end: int) -> Array:
        """The window that ends after ``end`` frames of the stream input; zeros stand before the first."""
        role = self.offline.roles[name]
        if isinstance(role, TIME_ONLY):
            return self.offline.draw_input(name, self.window, np.random.default_rng(0), 1.0)
        if not isinstance(role, StreamRole):
            return value
        count, last = self.offline.frames_of(name, self.window), self.offline.frames_of(name, end)
        kept = value.take(range(max(0, last - count), last), axis=role.axis)
        pads = [(count - kept.shape[role.axis] if a == role.axis else 0, 0) for a in range(value.ndim)]
        return np.pad(kept, pads)


class StepReference:
    """A model whose states already are ports, driven chunk by chunk as it came."""

    def __init__(self, offline: Offline, model: Model):
        self.offline = offline
        self.session = session_of(model)
        assert model.signature is not None
        self.chunk = model.signature.smallest

    def trial(self, frames: int, rng: np.random.Generator) -> Trial | None:
        return self.of(frames, self.offline.draw(frames, rng))

    def of(self, frames: int, feeds: Feeds) -> Trial:
        feeds = streamed(self.offline, feeds)
        return Trial(frames, feeds, run_stream(self.session, feeds))


def streamed(offline: Offline, feeds: Feeds) -> Feeds:
    """The inputs that a compiled model still has."""
    return {n: v for n, v in feeds.items() if not isinstance(offline.roles[n], (*TIME_ONLY, StateRole))}


def session_of(model: Model, proto: onnx.ModelProto | None = None, exact: bool = False) -> StreamSession:
    """A client over a model in memory, which knows its manifest only; ``exact`` as a Session has it.

    Errors:
        ModelError: onnxruntime does not take the model.
    """
    return StreamSession(compiled_of(model, proto, exact))


def compiled_of(model: Model, proto: onnx.ModelProto | None = None, exact: bool = False) -> Compiled:
    """A streaming model, compiled in memory; ``proto`` where its graph has been written already.

    Errors:
        ModelError: onnxruntime does not take the model.
    """
    data, _ = manifest_of(model, "model")
    manifest: Manifest = parse_manifest(to_json(data), "the manifest")
    try:
        runner = Session(proto if proto is not None else model.proto(), exact=exact)
    except RunError as err:
        raise ModelError(f"onnxruntime cannot run the compiled model: {err}") from err
    return Compiled(manifest, runner, first_values(model))


def run_stream(session: StreamSession, feeds: Feeds, smallest: bool = False) -> dict[str, Array]:
    """The outputs of a whole stream; outputs without time are stacked, one for each call.

    Where calls may differ, they have all sizes, or with ``smallest`` that of the smallest chunk.
    """
    session.reset()
    statics = {n: v for n, v in feeds.items() if n in session.statics}
    streams = {n: v for n, v in feeds.items() if n in session.streams}
    parts: list[dict[str, Array]] = []
    session.push(statics)
    first = next(iter(streams))
    total = streams[first].shape[session.streams[first].axis or 0] // session.frames_a_chunk(first)
    done = 0
    for chunks in [1] * total if smallest else call_sizes(session, total):
        chunk = {}
        for name, value in streams.items():
            count, axis = session.frames_a_chunk(name), session.streams[name].axis or 0
            chunk[name] = value.take(range(done * count, (done + chunks) * count), axis=axis)
        parts.append(session.push(chunk))
        done += chunks
    rest = {}
    for name, value in streams.items():
        count, axis = session.frames_a_chunk(name), session.streams[name].axis or 0
        rest[name] = value.take(range(total * count, value.shape[axis]), axis=axis)
    session.push(rest)
    parts.append(session.flush())
    return {
        name: np.concatenate([p[name] for p in parts], axis=entry.axis)
        if entry.axis is not None
        else np.stack([p[name] for p in parts if p[name].size] or [np.zeros(0)])
        for name, entry in session.outputs.items()
    }


def call_sizes(session: StreamSession, total: int) -> list[int]:
    """Smallest chunks of every call of a stream: one each, or of all sizes up to the whole where calls may differ."""
    if not session.dynamic:
        return [1] * total
    rng = np.random.default_rng(total)
    sizes: list[int] = []
    while total:
        size = min(total, int(rng.choice([1, 1, 2, 3, 7, total])))
        sizes.append(size)
        total -= size
    return sizes


def draw_trials(reference: Reference, spec: ValidateSpec, signature: Signature) -> list[Trial]:
    """Random streams that suit a model: one shorter than its longest context, one over many chunks."""
    longest = max((max(s.init.shape, default=1) for s in signature.states if s.kind in CONTEXTS), default=1)
    return draw(reference, spec, signature.smallest, longest, int(signature.delay_frames), signature)


def draw_lengths(reference: Reference, spec: ValidateSpec, manifest: Manifest) -> list[Trial]:
    """The same for a compiled model, of which only the manifest is known."""
    longest = max((max(s.shape, default=1) for s in manifest.states if s.kind in CONTEXTS), default=1)
    delay = max((o.delay for o in manifest.outputs), default=0)
    return draw(reference, spec, manifest.chunk or manifest.chunk_multiple, longest, delay, manifest)


class Bounds(Protocol):
    """The shortest and longest streams of a model."""

    @property
    def min_frames(self) -> int: ...

    @property
    def max_frames(self) -> int | None: ...


def draw(reference: Reference, spec: ValidateSpec, chunk: int, longest: int, delay: int, bounds: Bounds) -> list[Trial]:
    """Random streams; of the lengths drawn those that the offline model takes.

    Unless the spec says, the last chunk of a long one lacks a frame, one is shorter than the longest context, and the
    last chunk of another holds one frame: the ends of streams differ by what is left of the chunk.

    Errors:
        ModelError: none of the lengths drawn is taken.
    """
    rng = np.random.default_rng(spec.seed)
    shortest, most = bounds.min_frames, bounds.max_frames or LONGEST_STREAM
    low, high = spec.frames or (shortest, max(4 * chunk, min(2 * longest, 2000), 24) + delay + shortest)
    low, high = min(low, most), min(high, most)
    wishes = [int(rng.integers(low, high + 1)) for _ in range(DRAWS + spec.sequences)]
    if spec.frames is None:
        middle = (low + high) // 2
        wishes[:3] = [
            max(low, high // chunk * chunk - 1),
            max(low, min(chunk, longest) // 2 + 1),
            max(low, middle // chunk * chunk + 1),
        ]
    known = sorted(accepted(reference))
    trials: list[Trial] = []
    for wish in [*wishes, *known]:
        if not shortest <= wish <= most:
            continue
        if len(trials) == spec.sequences:
            break
        try:
            trial = reference.trial(wish, rng)
        except RunError as err:
            raise ModelError(f"the offline model does not run: {err}") from err
        if trial is not None:
            trials.append(trial)
    if not trials:
        raise ModelError(
            f"the offline model takes none of the lengths drawn between {low} and {high} frames",
            hint="set validate.frames to lengths that it takes",
        )
    return trials


def recorded_trials(
    reference: Reference, files: Sequence[Path], frame_ms: float | None, chunk: int, bounds: Bounds
) -> list[Trial]:
    """Recordings, each from its beginning and as long as the offline model takes it, up to a minute.

    Errors:
        InputError: a recording that does not fit the model.
        ModelError: the offline model takes none of it.
    """
    offline = reference.offline
    most = min(bounds.max_frames or LONGEST_STREAM, int(LONGEST_RECORDED_MS / (frame_ms or 10.0)))
    trials: list[Trial] = []
    for path in files:
        feeds = recorded_stream(path, offline, frame_ms)
        first, role = next(iter(offline.streams().items()))
        whole = min(most, int(feeds[first].shape[role.axis] / role.rate))
        whole = whole // chunk * chunk if isinstance(reference, WindowReference) else whole
        frames = next((n for n in range(whole, max(0, whole - DRAWS), -1) if offline.accepts(n)), None)
        if frames is None:
            raise ModelError(f"the offline model takes none of the lengths up to {whole} frames", where=str(path))
        trials.append(reference.of(frames, offline.shortened(feeds, frames)))
    return trials


def accepted(reference: Reference) -> set[int]:
    return set(reference.offline.some_lengths())


def stream_all(session: StreamSession, sequences: Sequence[Feeds], smallest: bool = False) -> list[dict[str, Array]]:
    """What a compiled model gives for whole streams; ``smallest`` as in ``run_stream``."""
    if session.manifest.streams is not None:
        return run_apart(session, sequences)
    return [run_stream(session, feeds, smallest) for feeds in sequences]


def compare_all(
    session: StreamSession,
    trials: list[Trial],
    got: list[dict[str, Array]],
    want: list[dict[str, Array]],
    tolerance: ToleranceSpec,
) -> list[Difference]:
    """Every output of every trial against what it should be."""
    return [
        compare(name, reference[name], of_stream(outputs[name], reference[name]), entry.axis, tolerance, trial.frames)
        for trial, outputs, reference in zip(trials, got, want, strict=True)
        for name, entry in session.outputs.items()
    ]


def of_stream(outputs: Array, want: Array) -> Array:
    """Of an output without time that the reference has once for the whole stream, the last call's value."""
    return outputs[-1] if len(outputs.shape) == len(want.shape) + 1 else outputs


def compare_session(session: StreamSession, trials: list[Trial], tolerance: ToleranceSpec) -> list[Difference]:
    """A compiled model on every trial against the reference."""
    got = stream_all(session, [t.feeds for t in trials])
    return compare_all(session, trials, got, [t.want for t in trials], tolerance)


@dataclass(frozen=True)
class Sight:
    """How far the outputs move when one state is disturbed, over what the tolerance allows."""

    state: str
    ratio: float

    @property
    def proven(self) -> bool:
        return self.ratio >= SIGHT


def sight_of(model: Model, trials: list[Trial], tolerance: ToleranceSpec) -> list[Sight]:
    """Disturbs each state at a few calls of the longest stream, and goes on from there until an output moves.

    A state that moves no output far beyond the tolerance is not proven by the validation.
    """
    assert model.signature is not None
    session = session_of(model)
    trial = max(trials, key=lambda t: t.frames)
    calls = recorded(session, trial.feeds)
    allowed = {
        name: allowance(np.concatenate([c.results[name].ravel() for c in calls]), tolerance) for name in session.outputs
    }
    last = len(calls) - 1
    moments = list(dict.fromkeys((len(calls) // 2, last, min(1, last), 0)))
    found: list[Sight] = []
    for state in model.signature.states:
        places: list[tuple[slice, ...]] = [()] if state.pack is None else state.pack.slices()
        ratios = [seen_at(Disturbance(state.input, place), session, calls, moments, allowed) for place in places]
        found.append(Sight(state.input, min(ratios)))
    return found


@dataclass(frozen=True)
class Disturbance:
    """Which part of which state is changed."""

    state: str
    place: tuple[slice, ...]


def seen_at(
    what: Disturbance, session: StreamSession, calls: list[Call], moments: list[int], allowed: dict[str, float]
) -> float:
    """The most that a disturbance moves an output, over some calls, until it is far beyond what is allowed."""
    ratio = 0.0
    for moment in moments:
        for sign in (1.0, -1.0):
            ratio = max(ratio, moved_by(session, calls, what, moment, sign, allowed))
            if ratio >= SIGHT:
                return ratio
    return ratio


@dataclass(frozen=True)
class Call:
    """One call of a stream: what went in, and what came out."""

    feeds: Feeds
    results: Feeds


def recorded(session: StreamSession, feeds: Feeds) -> list[Call]:
    """Every call of a whole stream."""
    calls: list[Call] = []
    inner = session.compiled
    watched = Watched(inner.runner, lambda given, results: calls.append(Call(dict(given), dict(results))))
    run_stream(StreamSession(replace(inner, runner=watched)), feeds)
    return calls


def allowance(value: Array, tolerance: ToleranceSpec) -> float:
    """How far an output may lie from its reference."""
    finite = np.abs(value.astype(np.float64))
    scale = float(np.max(finite, initial=0.0, where=np.isfinite(finite)))
    return max(allowed(tolerance, scale), 1e-30)


def moved_by(
    session: StreamSession, calls: list[Call], what: Disturbance, moment: int, sign: float, allowed: dict[str, float]
) -> float:
    """How far a disturbance at one call moves an output's kept frames from then on, over what is allowed."""
    states = {s.input: s.output for s in session.manifest.states}
    held = {name: calls[moment].feeds[name] for name in states}
    held[what.state] = held[what.state].copy()
    held[what.state][what.place] = disturbed(held[what.state][what.place], moment, sign)
    worst = 0.0
    streams = [o for o in session.outputs.values() if o.axis is not None]
    late = max((math.ceil(o.delay / (session.chunk * o.pace)) for o in streams), default=0)
    given = {o.name: sum(c.results[o.name].shape[o.axis or 0] for c in calls[:moment]) for o in streams}
    for index in range(moment, min(len(calls), moment + late + CALLS_TO_SHOW)):
        results = session.runner.run({**calls[index].feeds, **held})
        held = {name: results[output] for name, output in states.items()}
        for name, entry in session.outputs.items():
            want, got = (widened(r[name]) for r in (calls[index].results, results))
            if entry.axis is not None:
                frames = want.shape[entry.axis]
                early = min(max(entry.delay - given[name], 0), frames)
                given[name] += frames
                want, got = (v.take(range(early, frames), axis=entry.axis) for v in (want, got))
            with np.errstate(invalid="ignore"):
                error = np.nan_to_num(np.abs(got - want), nan=0.0, posinf=1e300)
            worst = max(worst, float(error.max(initial=0.0)) / allowed[name])
        if worst >= SIGHT:
            break
    return worst


def disturbed(value: Array, moment: int, sign: float) -> Array:
    rng = np.random.default_rng(moment)
    if value.dtype.kind == "b":
        changed: Any = ~value
    elif value.dtype.kind in "iu":
        changed = value + np.asarray(sign * 1000).astype(value.dtype)
    else:
        base = np.where(np.isfinite(value), value, 0)
        spread = max(1.0, float(np.std(base.astype(np.float64))))
        changed = base + (sign * spread * rng.standard_normal(value.shape)).astype(value.dtype)
    return np.asarray(changed, dtype=value.dtype)


def validate_offline(
    before: Session, after: onnx.ModelProto, feeds: list[Feeds], tolerance: ToleranceSpec, exact: bool
) -> list[Difference]:
    """A model that does not stream: whole runs of both on the same inputs."""
    try:
        session = Session(after, exact=exact)
    except RunError as err:
        raise ModelError(f"onnxruntime cannot run the compiled model: {err}") from err
    found: list[Difference] = []
    for feed in feeds:
        want, got = before.run(feed), session.run({k: v for k, v in feed.items() if k in session.input_names})
        found += [compare(name, np.asarray(want[name]), np.asarray(got[name]), None, tolerance) for name in want]
    return found
