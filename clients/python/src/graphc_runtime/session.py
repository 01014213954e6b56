"""The client: feeds a compiled model chunk by chunk, guided only by its manifest."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphc_runtime.calls import calls_of
from graphc_runtime.contract.manifest import Manifest, PortEntry
from graphc_runtime.errors import InputError, ModelError
from graphc_runtime.native.held_state import read_all
from graphc_runtime.open_compiled import Compiled, opened
from graphc_runtime.stream_buffer import Array, Arrays, StreamBuffer, values_of


@dataclass(frozen=True)
class Snapshot:
    """A stream at one moment: the states for the next call, and the frames that the client had buffered."""

    states: Arrays
    flushed: bool
    buffer: Mapping[str, Any]


@dataclass(frozen=True)
class ResetInSilence:
    """Ends a stream in silence and begins another. The push that ends a stream also returns its tail.

    Args:
        below: the root mean square below which frames of the first stream input are silent, or a function that returns
            whether frames are silent.
        after_s: the time before which a stream is not ended, in seconds; None for the manifest's ``reset_s``.
    """

    below: float | Callable[[Array], bool]
    after_s: float | None = None

    def is_silent(self, frames: Array) -> bool:
        if callable(self.below):
            return bool(self.below(frames))
        return bool(np.sqrt(np.mean(np.square(frames.astype(np.float64)))) < self.below)


class StreamSession(StreamBuffer):
    """Runs a compiled model on a stream: buffers frames to chunks, carries states, drops the delay, flushes the tail.

    Args:
        model: the path of a compiled model (whose metadata contains the manifest) or of the manifest in the same
            folder, or an opened model.
        threads: the number of onnxruntime's intra-op threads.
        exact: compute quantized products in float, as ONNX defines them, not in integers.
        target: the runtime that runs the model, one of the spec's ``targets``; None for onnxruntime.
        reset: when to begin another stream in silence, for models that drift; None for never.

    Errors:
        ModelError: the model was not compiled by graphc or not for this target, or its manifest does not fit. Or
            ``reset`` is given, but the duration of a frame or the time to reset after is not known.
        InstallError: the target's runtime is not installed.

    Example:
        session = StreamSession("tagger.stream.onnx")
        for frames in microphone:                  # arrays of any number of frames
            out = session.push(features=frames)    # what is new: {"log_probs": array}
        rest = session.flush()
    """

    def __init__(
        self,
        model: str | Path | Compiled,
        threads: int = 1,
        exact: bool = False,
        target: str | None = None,
        reset: ResetInSilence | None = None,
    ):
        compiled = opened(model, threads, exact, target)
        super().__init__(compiled.manifest)
        self.compiled, self.runner, self.first = compiled, compiled.runner, compiled.first
        self.calls = calls_of(compiled.manifest, compiled.runner)
        self.silence = reset
        self.reset_after_s = math.inf if reset is None else reset_after_s(reset, compiled.manifest)
        self.reset()

    def reset(self) -> None:
        """Begins another stream: sets the states to their first values, and empties the buffers."""
        self.empty()
        self.states: Mapping[str, Any] = dict(self.first)
        self.flushed = False

    def push(self, frames: Array | Mapping[str, Array] | None = None, /, **named: Array) -> Arrays:
        """Adds frames of the stream inputs, runs all full chunks, and returns the new output frames.

        Args:
            frames: an array if there is one stream input, or arrays by input name. Any number of frames.
            named: arrays by input name, as keywords. Static inputs are given once, with the first frames.

        An output without a time axis has one value for each call that ran, joined along its first axis.

        Errors:
            InputError: a name, shape or dtype does not fit, there are too many frames, or the stream was flushed.
        """
        if self.flushed:
            raise InputError("the stream has been flushed", hint="call reset() to start another")
        pushed = self.named(frames, named)
        given = self.all_fitting(pushed)
        self.check_statics(given)
        self.keep(given)
        while ready := self.ready():
            self.run_next(ready, ready)
        new = self.taken_out(self.fed)
        return new if self.silence is None else self.perhaps_reset(new, pushed)

    def perhaps_reset(self, new: Arrays, pushed: Mapping[str, Array]) -> Arrays:
        """The new outputs, followed by the tail of the stream if the stream ends here.

        The stream ends, and a new one begins, if it is long enough and the frames just pushed are silent.
        """
        assert self.silence is not None
        first, total = next(iter(self.streams)), self.total_frames(partly=True)
        heard = pushed.get(first)
        lasted = total * (self.manifest.frame_ms or 0) / 1000
        if heard is None or not np.size(heard) or lasted < self.reset_after_s or total < self.manifest.min_frames:
            return new
        if not self.silence.is_silent(np.asarray(heard)):
            return new
        values, rest = self.values, self.flush()
        self.reset()
        self.values = values
        return {name: joined(new[name], rest[name], entry) for name, entry in self.outputs.items()}

    def flush(self) -> Arrays:
        """Ends the stream: pads the last chunk, feeds zeros until every output is complete, and returns the tail."""
        if self.flushed:
            raise InputError("the stream has been flushed", hint="call reset() to start another")
        total = self.total_frames()
        self.check_length(total)
        self.flushed = True
        while (frames := self.needed(total)) > 0:
            self.run_next(frames, min(max(total - self.fed, 0), frames))
        return self.taken_out(total)

    def snapshot(self) -> Snapshot:
        """A copy of the stream as it is now: its states, and its buffered input and output frames."""
        return Snapshot(read_all(self.states), self.flushed, self.kept())

    def resume(self, snapshot: Snapshot) -> None:
        """Continues from a snapshot of this session, or of another session of the same model.

        Errors:
            InputError: not a snapshot, or the names, shapes or types of its states are not those of this model.
        """
        if not isinstance(snapshot, Snapshot):
            raise InputError(f"expected a snapshot, not a {type(snapshot).__name__}")
        states = {s.input: (tuple(s.shape), s.dtype) for s in self.manifest.states}
        if {n: (v.shape, str(v.dtype)) for n, v in snapshot.states.items()} != states:
            raise InputError("the snapshot is of another model", hint="compile both with the same spec")
        self.states, self.flushed = dict(snapshot.states), snapshot.flushed
        self.put_back(snapshot.buffer)

    def run_next(self, frames: int, valid: int) -> None:
        """Runs the next call on ``frames`` buffered frames. If the call fails, these frames stay in the buffers."""
        waiting = dict(self.buffers)
        try:
            outputs = self.call(self.cut_chunk(frames), valid)
        except BaseException:
            self.buffers = waiting
            raise
        self.collect(outputs, frames)

    def call(self, chunk: Arrays, valid: int) -> Arrays:
        """Runs one call on exactly one chunk. Returns the outputs, and stores the states for the next call."""
        self.check_statics({})
        feeds = {**chunk, **self.values} if self.values else chunk
        results, self.states = self.calls.step(feeds, self.states, [valid] * (self.manifest.streams or 1))
        return results

    def check_statics(self, given: Mapping[str, Array]) -> None:
        """Refuses frames that come before the static inputs.

        Errors:
            InputError: names the static input that is missing.
        """
        for name in self.statics:
            if name not in self.values and name not in given:
                raise InputError(f"the static input '{name}' was not given", hint="pass it with the first frames")

    def run(self, frames: Array | Mapping[str, Array] | None = None, /, **named: Array) -> Arrays:
        """Runs a whole stream: reset, push, flush. Outputs without a time axis are those of the last call."""
        self.reset()
        first = self.push(frames, **named)
        rest = self.flush()
        return {
            name: joined(first[name], rest[name], entry)
            if entry.is_stream
            else (values_of(rest[name], entry) or values_of(first[name], entry) or [first[name]])[-1]
            for name, entry in self.outputs.items()
        }

    def stream(self, source: Iterable[Array | Mapping[str, Array]]) -> Iterator[Arrays]:
        """Pushes each item of an iterable and yields the new outputs. The last outputs are the tail."""
        self.reset()
        for frames in source:
            yield self.push(frames)
        yield self.flush()


def joined(first: Array, rest: Array, entry: PortEntry) -> Array:
    """Frames of an output, joined with the frames that follow them."""
    return np.concatenate([np.atleast_1d(first), np.atleast_1d(rest)], axis=entry.along or 0)


def reset_after_s(reset: ResetInSilence, manifest: Manifest) -> float:
    """The number of seconds after which silence may end a stream.

    Errors:
        ModelError: the duration of a frame or of a stream is not known.
    """
    seconds = manifest.reset_s if reset.after_s is None else reset.after_s
    if manifest.frame_ms is None:
        raise ModelError("the duration of a frame is not known", hint="set stream.frame_ms and compile again")
    if seconds is None:
        raise ModelError("the time to reset after is not known", hint="give ResetInSilence an after_s")
    return float(seconds)
