"""The random streams that a model is validated on, and the reference outputs for them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from graphc.contract.signature import Signature
from graphc.ir.model import Model
from graphc.offline.reference import Offline
from graphc.spec.input_roles import TIME_ONLY, StateRole, StepRole, StreamRole
from graphc.spec.schema import ValidateSpec
from graphc.validate.compare import Array
from graphc.validate.run_streams import Feeds, ValidationStream, run_stream, session_of
from graphc_runtime.contract.manifest import Manifest
from graphc_runtime.errors import ModelError, RunError, StreamError

DRAWS = 40
LONGEST_STEP = 64
LONGEST_FOR_STEPS = 100_000
CONTEXTS = (
    "conv_context",
    "pool_context",
    "delay_line",
    "attention_key",
    "attention_value",
    "attention_context",
    "window",
)
SILENT_FROM = 24
LONGEST_STREAM = 10_000_000


class Reference(Protocol):
    """The reference for streams: the outputs that a compiled model has to equal."""

    offline: Offline

    def trial(self, frames: int, rng: np.random.Generator) -> ValidationStream | None:
        """A random stream of about ``frames`` frames. None if the offline model does not accept that length."""

    def of(self, frames: int, feeds: Feeds) -> ValidationStream | None:
        """A stream with the outputs that are expected for it. None if the offline model does not accept that length."""


class WholeReference:
    """The offline model over the whole utterance."""

    def __init__(self, offline: Offline):
        self.offline = offline

    def trial(self, frames: int, rng: np.random.Generator) -> ValidationStream | None:
        if frames in self.offline.refused:
            return None
        try:
            feeds = self.offline.draw(frames, rng)
        except ValueError:
            return None
        if frames >= SILENT_FROM:
            feeds = with_silence(self.offline, feeds, frames)
        return self.of(frames, feeds)

    def of(self, frames: int, feeds: Feeds) -> ValidationStream | None:
        want = self.offline.tried(frames, feeds)
        return None if want is None else ValidationStream(frames, streamed(self.offline, feeds), want)


def with_silence(offline: Offline, feeds: Feeds, frames: int) -> Feeds:
    """The feeds with zeros in the middle third of the stream, where masks computed from the data change."""
    silent = dict(feeds)
    for name, role in offline.streams().items():
        if silent[name].dtype.kind == "f" and role.low is None:
            place = [slice(None)] * silent[name].ndim
            place[role.axis] = slice(offline.frames_of(name, frames) // 3, 2 * offline.frames_of(name, frames) // 3)
            silent[name] = silent[name].copy()
            silent[name][tuple(place)] = 0
    return silent


def check_one_shape(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    """Checks that an output has one shape in all windows.

    Errors:
        StreamError: it does not, so its size depends on the data.
    """
    other = next((shape for shape in shapes if shape != shapes[0]), None)
    if other is not None:
        raise StreamError(
            f"the output '{name}' has the shape {list(shapes[0])} for one window and {list(other)} for another",
            hint="a call gives outputs of one shape: export the model up to the node that picks entries by data",
        )


class WindowReference:
    """The offline model over the last ``window`` frames, after every call."""

    def __init__(self, offline: Offline, window: int, chunk: int):
        self.offline, self.window, self.chunk = offline, window, chunk

    def trial(self, frames: int, rng: np.random.Generator) -> ValidationStream | None:
        frames = max(1, frames // self.chunk) * self.chunk
        return self.of(frames, self.offline.draw(frames, rng))

    def of(self, frames: int, feeds: Feeds) -> ValidationStream:
        wants: list[dict[str, Array]] = []
        states = {n: r.output for n, r in self.offline.roles.items() if isinstance(r, StateRole)}
        for end in range(self.chunk, frames + 1, self.chunk):
            wants.append(self.offline.run({n: self.last_frames(n, v, end) for n, v in feeds.items()}))
            feeds |= {name: wants[-1][output] for name, output in states.items()}
        for name in wants[0]:
            check_one_shape(name, [w[name].shape for w in wants])
        want = {name: np.stack([w[name] for w in wants]) for name in wants[0]}
        return ValidationStream(frames, streamed(self.offline, feeds), want)

    def last_frames(self, name: str, value: Array, end: int) -> Array:
        """The window that ends after ``end`` frames of the stream input, with zeros before the first frame."""
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
    """A model whose states are ports already, run chunk by chunk as exported."""

    def __init__(self, offline: Offline, model: Model):
        self.offline = offline
        self.session = session_of(model)
        assert model.signature is not None
        self.chunk = model.signature.smallest

    def trial(self, frames: int, rng: np.random.Generator) -> ValidationStream | None:
        feeds = self.offline.draw(frames, rng)
        for name, role in self.offline.roles.items():
            if isinstance(role, StepRole):
                feeds[name] = np.stack([self.offline.draw_input(name, 1, rng, 1.0) for _ in range(frames)])
        return self.of(frames, feeds)

    def of(self, frames: int, feeds: Feeds) -> ValidationStream:
        feeds = streamed(self.offline, feeds)
        return ValidationStream(frames, feeds, run_stream(self.session, feeds))


def streamed(offline: Offline, feeds: Feeds) -> Feeds:
    """The feeds without the inputs that a compiled model no longer has."""
    return {n: v for n, v in feeds.items() if not isinstance(offline.roles[n], (*TIME_ONLY, StateRole))}


def draw_trials(reference: Reference, spec: ValidateSpec, signature: Signature) -> list[ValidationStream]:
    """Random streams that suit a model: one shorter than its longest context, one over many chunks."""
    longest = max((max(s.init.shape, default=1) for s in signature.states if s.kind in CONTEXTS), default=1)
    lengths = [o.length for o in signature.outputs if o.axis is not None]
    step = max((math.prod(div for _, _, div in length.steps) for length in lengths), default=1)
    ends = Ends(lambda n: tuple(length(n) for length in lengths), signature.smallest, step)
    return draw(reference, spec, ends, longest, int(signature.delay_frames), signature)


def draw_lengths(reference: Reference, spec: ValidateSpec, manifest: Manifest) -> list[ValidationStream]:
    """As ``draw_trials``, for a compiled model. Only its manifest is known."""
    longest = max((max(s.shape, default=1) for s in manifest.states if s.kind in CONTEXTS), default=1)
    delay = max((o.delay for o in manifest.outputs), default=0)
    outputs = [o for o in manifest.outputs if o.axis is not None]
    step = max((math.prod(s.div for s in o.length or []) for o in outputs), default=1)
    ends = Ends(lambda n: tuple(o.length_of(n) for o in outputs), manifest.chunk or manifest.chunk_multiple, step)
    return draw(reference, spec, ends, longest, delay, manifest)


class Bounds(Protocol):
    """The shortest and longest streams of a model."""

    @property
    def min_frames(self) -> int: ...

    @property
    def max_frames(self) -> int | None: ...


@dataclass(frozen=True)
class Ends:
    """Finds lengths of streams that expose a count that is off by one.

    Args:
        lengths: a function that returns the lengths of the outputs for a number of input frames.
        chunk: frames of the smallest call.
        step: input frames after which the lengths of all outputs have changed.
    """

    lengths: Callable[[int], tuple[int, ...]]
    chunk: int
    step: int = 1

    def full(self, near: int) -> int:
        """A length up to ``near`` that is one frame short of another output frame. Its last chunk is over half full."""
        return self.nearest(
            near, lambda n: 2 * (n % self.chunk) > self.chunk and self.lengths(n + 1) != self.lengths(n)
        )

    def begun(self, near: int) -> int:
        """A length up to ``near`` whose last frame added an output frame. At most half of its last chunk is filled."""
        return self.nearest(
            near, lambda n: 0 < 2 * (n % self.chunk) <= self.chunk and self.lengths(n) != self.lengths(n - 1)
        )

    def nearest(self, near: int, fits: Callable[[int], bool]) -> int:
        tried = range(near, max(0, near - max(self.chunk, self.step, LONGEST_STEP)), -1)
        return next((n for n in tried if fits(n)), max(1, near))


def draw(
    reference: Reference, spec: ValidateSpec, ends: Ends, longest: int, delay: int, bounds: Bounds
) -> list[ValidationStream]:
    """Random streams, at drawn lengths that the offline model accepts.

    Unless the spec gives lengths, one stream is shorter than the longest context, and two longer ones end on either
    side of a step in the length of an output.

    Errors:
        ModelError: the offline model accepts none of the lengths, or gives no finite number.
    """
    rng, chunk = np.random.default_rng(spec.seed), ends.chunk
    shortest, most = bounds.min_frames, bounds.max_frames or LONGEST_STREAM
    usual = max(4 * chunk, min(4 * ends.step, LONGEST_FOR_STEPS), min(2 * longest, 2000), 24)
    low, high = spec.frames or (shortest, usual + delay + shortest)
    low, high = min(low, most), min(high, most)
    wishes = [int(rng.integers(low, high + 1)) for _ in range(DRAWS + spec.sequences)]
    if spec.frames is None:
        middle = (low + high) // 2
        short = 2 * min(chunk, longest) // 3 | 1
        wishes[:3] = [max(low, n) for n in (ends.full(high), short, ends.begun(middle))]
    trials: list[ValidationStream] = []
    for wish in wished(wishes, reference.offline):
        if len(trials) == spec.sequences:
            break
        if not shortest <= wish <= most:
            continue
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
    if not any(np.isfinite(v).any() for t in trials for v in t.want.values() if v.dtype.kind in "fiub"):
        raise ModelError(
            "the offline model gives no finite number on random streams, so nothing can be compared",
            hint="give the range of its inputs: stream.inputs.NAME.range",
        )
    return trials


def wished(drawn: Sequence[int], offline: Offline) -> Iterator[int]:
    """The drawn lengths, followed by some that the model is known to accept."""
    yield from drawn
    yield from sorted(offline.some_lengths())
