"""A client that runs several streams in one call. Each stream begins and ends at its own time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphc_runtime.calls import Rows, calls_of
from graphc_runtime.contract.manifest import Manifest
from graphc_runtime.errors import InputError, ModelError
from graphc_runtime.open_compiled import Compiled, opened
from graphc_runtime.stream_buffer import Array, Arrays, StreamBuffer


class Slot(StreamBuffer):
    """One slot of the batch: contains a stream, or is empty."""

    def __init__(self, manifest: Manifest):
        super().__init__(manifest)
        self.open = self.finished = False

    def next_call(self) -> tuple[int, int]:
        """The number of input frames of this stream's next call, and how many of them are not padding.

        (0, 0) if the stream takes no part in the next call.
        """
        if not self.open:
            return 0, 0
        if self.finished:
            total = self.total_frames()
            frames = self.needed(total)
            return frames, min(max(total - self.fed, 0), frames)
        ready = self.ready()
        return ready, ready


class BatchSession:
    """Runs a model that was compiled with ``stream.clocks: own`` on several streams at once.

    A stream takes part in a call if it has frames for it; the states of the other streams do not change. Each stream
    gives the same outputs as it would alone.

    Args:
        model: the path of a compiled model or of its manifest, or an opened model.
        threads: the number of onnxruntime's intra-op threads.

    Errors:
        ModelError: the model was not compiled by graphc, its calls may have any size, or its streams share a clock.

    Example:
        session = BatchSession("tagger.stream.onnx")
        one = session.open()
        session.push(one, features=frames)      # [1, any number of frames, 40]
        for slot, new in session.step().items():
            print(slot, new["log_probs"])
        session.finish(one)                     # the next steps return its tail and free its slot; drop(one): no tail
    """

    def __init__(self, model: str | Path | Compiled, threads: int = 1):
        compiled = opened(model, threads)
        manifest = compiled.manifest
        if manifest.streams is None or manifest.chunk is None:
            raise ModelError(
                "its calls are of any size, or its streams share a clock and begin together",
                hint="compile it with a chunk and `stream: {batch: N, clocks: own}`, or use StreamSession",
            )
        self.manifest, self.runner, self.first = manifest, compiled.runner, compiled.first
        self.calls = calls_of(manifest, compiled.runner)
        self.states: Mapping[str, Any] = {name: value.copy() for name, value in compiled.first.items()}
        self.slots = [Slot(manifest.of_one()) for _ in range(manifest.streams)]
        self.axes = {e.name: e.batch_axis for e in [*manifest.inputs, *manifest.outputs]}
        self.axes |= {s.input: s.batch_axis for s in manifest.states}

    @property
    def free(self) -> int:
        """The number of slots without a stream."""
        return sum(not slot.open for slot in self.slots)

    def open(self) -> int:
        """Begins a stream and returns the number of its slot.

        Errors:
            InputError: every slot is taken.
        """
        for number, slot in enumerate(self.slots):
            if not slot.open:
                slot.empty()
                slot.open, slot.finished = True, False
                self.states = self.calls.with_rows(self.states, self.first, self.places({number}))
                return number
        raise InputError(
            f"all {len(self.slots)} streams of the batch are in use", hint="finish a stream, or compile a larger batch"
        )

    def push(self, number: int, frames: Array | Mapping[str, Array] | None = None, /, **named: Array) -> None:
        """Buffers frames of one stream, with a batch axis of size 1. ``step`` runs them.

        Errors:
            InputError: the stream does not exist or is finished, or the arrays do not fit.
        """
        slot = self.stream(number)
        if slot.finished:
            raise InputError(f"stream {number} has been finished", hint="open() begins another")
        slot.keep(slot.all_fitting(slot.named(frames, named)))

    def finish(self, number: int) -> None:
        """Ends a stream: no more frames will come. The next steps return its tail and then free its slot.

        Errors:
            InputError: the stream does not exist, its inputs end at different times, it is too short, or a static
                input was not given.
        """
        slot = self.stream(number)
        slot.check_length(slot.total_frames())
        self.check_statics({number})
        slot.finished = True

    def drop(self, number: int) -> None:
        """Frees the slot of a stream at once. Its tail is lost.

        Errors:
            InputError: the stream does not exist.
        """
        self.stream(number).open = False

    def step(self) -> dict[int, Arrays]:
        """Runs one call for all streams that have a chunk or are finished. Returns their new outputs by slot.

        If the call fails, every stream still has its frames: drop() the stream that is at fault, and step again.
        """
        calls = [slot.next_call() for slot in self.slots]
        taking = {number for number, (frames, _) in enumerate(calls) if frames}
        if taking:
            waiting = [dict(slot.buffers) for slot in self.slots]
            try:
                results, states = self.calls.step(self.feeds(taking), self.states, [real for _, real in calls])
            except BaseException:
                for slot, buffers in zip(self.slots, waiting, strict=True):
                    slot.buffers = buffers
                raise
            self.states = self.carried(self.states, states, taking)
            for number in taking:
                self.slots[number].collect(self.rows(results, number), calls[number][0])
        new = {n: slot.taken_out(self.seen(slot)) for n, slot in enumerate(self.slots) if n in taking or slot.finished}
        for slot in self.slots:
            if slot.open and slot.finished and not slot.needed(slot.total_frames()):
                slot.open = slot.finished = False
        return new

    def stream(self, number: int) -> Slot:
        if not (0 <= number < len(self.slots) and self.slots[number].open):
            raise InputError(f"there is no stream {number}", hint="open() begins one")
        return self.slots[number]

    @staticmethod
    def seen(slot: Slot) -> int:
        """The number of input frames that the stream has for certain, which decides which output frames exist."""
        return slot.total_frames() if slot.finished else slot.fed

    def feeds(self, taking: set[int]) -> Arrays:
        """The inputs of a call, with zeros in the rows of streams that take no part."""
        self.check_statics(taking)
        rows = [
            {**slot.cut_chunk(slot.chunk), **slot.values} if number in taking else {}
            for number, slot in enumerate(self.slots)
        ]
        known = rows[min(taking)]
        blank = {name: np.zeros_like(value) for name, value in known.items()}
        return {
            name: value
            if (axis := self.axes[name]) is None
            else np.concatenate([row.get(name, blank[name]) for row in rows], axis=axis)
            for name, value in known.items()
        }

    def check_statics(self, taking: set[int]) -> None:
        """Refuses streams that lack a static input, or that have different values of a static input that all share.

        Errors:
            InputError: names the stream and the input.
        """
        first = self.slots[min(taking)]
        for number in sorted(taking):
            slot = self.slots[number]
            absent = next((name for name in slot.statics if name not in slot.values), None)
            if absent is not None:
                raise InputError(
                    f"the static input '{absent}' of stream {number} was not given",
                    hint="push it, or drop() the stream",
                )
            for name in [n for n in slot.statics if self.axes[n] is None]:
                if not np.array_equal(slot.values[name], first.values[name]):
                    raise InputError(
                        f"all streams share the static input '{name}', and stream {number} has another value",
                        hint="give it an axis for the batch in the model, or run such streams in separate batches",
                    )

    def rows(self, results: Arrays, number: int) -> Arrays:
        return {name: self.split(name, value)[number] for name, value in results.items()}

    def split(self, name: str, value: Array) -> list[Array]:
        axis = self.axes[name]
        return [value] * len(self.slots) if axis is None else np.split(value, len(self.slots), axis=axis)

    def carried(self, old: Mapping[str, Any], new: Mapping[str, Any], taking: set[int]) -> Mapping[str, Any]:
        """The states after a call: the new states of streams that took part, and the old states of the others.

        If every state has a batch axis, the rows of the smaller of these two sets are copied.
        """
        others = set(range(len(self.slots))) - taking
        if len(taking) < len(others) and all(self.axes[s.input] is not None for s in self.manifest.states):
            return self.calls.with_rows(old, new, self.places(taking))
        return self.calls.with_rows(new, old, self.places(others)) if others else new

    def places(self, numbers: set[int]) -> Rows:
        """For each state with a batch axis, the slices of the state that belong to the streams in these slots."""
        found: dict[str, list[tuple[slice, ...]]] = {}
        for state in self.manifest.states:
            axis = self.axes[state.input]
            if axis is not None:
                rows = int(state.shape[axis]) // len(self.slots)
                before = (slice(None),) * axis
                found[state.input] = [(*before, slice(n * rows, (n + 1) * rows)) for n in sorted(numbers)]
        return found
