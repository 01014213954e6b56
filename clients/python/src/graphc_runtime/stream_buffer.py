"""Buffers one stream: input frames that wait for a call, and output frames that wait for the client."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.contract.first_values import numpy_dtype
from graphc_runtime.contract.manifest import Manifest, PortEntry
from graphc_runtime.errors import InputError, ModelError

Array = NDArray[Any]
Arrays = dict[str, Array]


BUFFERED = ("buffers", "pushed", "values", "given", "returned", "waiting", "fed")


def one_after_the_other(values: list[Array], entry: PortEntry) -> Array:
    """The values of an output without a time axis, one value per call, joined along their first axis."""
    if len(values) == 1:
        return values[0]
    rows = [np.atleast_1d(value) for value in values]
    _, *rest = entry.shape or [1]
    return np.concatenate(rows) if rows else np.zeros([0, *(int(s or 1) for s in rest)], numpy_dtype(entry.dtype))


def values_of(value: Array, entry: PortEntry) -> list[Array]:
    """Splits joined values of an output without a time axis into one value per call."""
    if value.ndim != max(1, len(entry.shape)):
        return [value]
    rows = entry.shape[0] if entry.shape and isinstance(entry.shape[0], int) else 1
    return [value[i : i + rows] if entry.shape else value[i] for i in range(0, len(value), max(1, rows))]


def copied(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: copied(held) for key, held in value.items()}
    return list(value) if isinstance(value, list) else value


def cut(value: Array, frames: int, axis: int) -> tuple[Array, Array]:
    """The first ``frames`` frames of a value, and the rest."""
    before: tuple[slice, ...] = (slice(None),) * axis
    return value[(*before, slice(frames))], value[(*before, slice(frames, None))]


class StreamBuffer:
    """Cuts a stream's frames into calls as the manifest says, and collects the new output frames.

    Args:
        manifest: the manifest of the compiled model.

    Errors:
        ModelError: the manifest names no stream input, or a stream input with 0 frames per call.
    """

    def __init__(self, manifest: Manifest):
        self.manifest = manifest
        self.streams = {i.name: i for i in manifest.inputs if i.is_stream}
        self.statics = {i.name: i for i in manifest.inputs if not i.is_stream}
        self.outputs = {o.name: o for o in manifest.outputs}
        self.dtypes = {i.name: np.dtype(numpy_dtype(i.dtype)) for i in manifest.inputs}
        if not self.streams:
            raise ModelError("the manifest names no stream input")
        self.chunk = manifest.chunk or manifest.chunk_multiple
        self.chunks = {name: self.frames_of(name, self.chunk) for name in self.streams}
        if not all(self.chunks.values()):
            raise ModelError(
                f"the manifest's calls take no frames of {', '.join(n for n, c in self.chunks.items() if not c)}"
            )
        self.empty()

    def empty(self) -> None:
        """Empties all buffers and sets all counters to 0, for another stream."""
        self.buffers: dict[str, list[Array]] = {name: [] for name in self.streams}
        self.pushed = dict.fromkeys(self.streams, 0)
        self.values: Arrays = {}
        self.given = dict.fromkeys(self.outputs, 0)
        self.returned = dict.fromkeys(self.outputs, 0)
        self.waiting: dict[str, list[Array]] = {name: [] for name in self.outputs}
        self.fed = 0

    def kept(self) -> dict[str, Any]:
        """A copy of the buffers and counters. It shares the arrays, which are never changed."""
        return {name: copied(getattr(self, name)) for name in BUFFERED}

    def put_back(self, kept: Mapping[str, Any]) -> None:
        """Restores the buffers and counters from a copy that ``kept`` made."""
        for name in BUFFERED:
            setattr(self, name, copied(kept[name]))

    def named(self, frames: Array | Mapping[str, Array] | None, named: Mapping[str, Array]) -> dict[str, Array]:
        """The arrays by input name, from one array or a mapping, and from keywords."""
        if isinstance(frames, Mapping):
            return {**frames, **named}
        if frames is None:
            return dict(named)
        if len(self.streams) != 1:
            raise InputError(f"there are {len(self.streams)} stream inputs", hint="pass them by name")
        return {next(iter(self.streams)): frames, **named}

    def needed(self, total: int) -> int:
        """The number of input frames of the next call of a flush; 0 if every output is complete.

        This is one chunk, or all frames that are left if calls may have any size.
        """
        lacking = [Fraction(total - self.fed)]
        for entry in self.outputs.values():
            if entry.is_stream:
                lacking.append((entry.delay + entry.length_of(total) - self.given[entry.name]) / entry.pace)
        calls = math.ceil(max(lacking) / self.chunk)
        return max(0, calls if self.dynamic else min(calls, 1)) * self.chunk

    def fitting(self, name: str, value: Array) -> Array:
        """Checks an array for an input, and returns it in the shape in which it is buffered.

        Errors:
            InputError: the name, shape or dtype does not fit.
        """
        entry = self.streams.get(name) or self.statics.get(name)
        if entry is None:
            known = ", ".join([*self.streams, *self.statics])
            raise InputError(f"'{name}' is not an input of the model", hint=f"known: {known}")
        dtype = self.dtypes[name]
        if value.dtype != dtype:
            raise InputError(f"'{name}' is {value.dtype}, but the model takes {dtype}")
        given = list(value.shape)
        if entry.is_step and len(value.shape) == len(entry.shape):
            value = value[None]
        shape: list[int | str | None] = [None, *entry.shape] if entry.is_step else entry.shape
        fits = len(value.shape) == len(shape) and all(
            axis == entry.along or not isinstance(size, int) or size == got
            for axis, (size, got) in enumerate(zip(shape, value.shape, strict=False))
        )
        if not fits:
            frames = ", ".join(["frames", *(str(size) for size in entry.shape)])
            raise InputError(
                f"'{name}' has the shape {given}, but the model takes {entry.shape}",
                hint=f"several frames are one array of [{frames}]" if entry.is_step else None,
            )
        return value

    def all_fitting(self, named: Mapping[str, Array]) -> Arrays:
        """Applies ``fitting`` to several inputs. Buffers nothing, so a refused push changes nothing.

        Errors:
            InputError: an input does not fit.
        """
        return {name: self.fitting(name, np.asarray(value)) for name, value in named.items()}

    def keep(self, given: Mapping[str, Array]) -> None:
        """Buffers frames and values of static inputs that ``fitting`` has checked.

        Errors:
            InputError: there are too many frames, or a static input had another value in earlier calls. Nothing is
                buffered then.
        """
        for name, value in given.items():
            if self.fed and name in self.values and not np.array_equal(self.values[name], value):
                raise InputError(
                    f"the static input '{name}' already has another value", hint="reset() to start another stream"
                )
        frames = {name: value for name, value in given.items() if name in self.streams}
        before = dict(self.pushed)
        for name, value in frames.items():
            self.pushed[name] += value.shape[self.streams[name].along or 0]
        limit = self.manifest.longest
        if limit is not None and self.total_frames(partly=True) > limit:
            self.pushed = before
            raise InputError(
                f"the stream is longer than {limit} frames, the most that this model takes",
                hint="reset() earlier",
            )
        self.values.update({name: value for name, value in given.items() if name in self.statics})
        for name, value in frames.items():
            if value.shape[self.streams[name].along or 0]:
                self.buffers[name].append(value)

    @property
    def dynamic(self) -> bool:
        """Whether a call takes any multiple of the chunk."""
        return self.manifest.chunk is None

    def frames_of(self, name: str, input_frames: int) -> int:
        """The number of frames of the stream input ``name`` in a call of ``input_frames`` frames."""
        entry = self.streams[name]
        if entry.frames is not None:
            return entry.frames * input_frames // self.chunk
        return int(input_frames * entry.pace)

    def total_frames(self, partly: bool = False) -> int:
        """The number of frames pushed so far, in the unit of the manifest's ``chunk``.

        Errors:
            InputError: the stream inputs have reached different times, and ``partly`` is not set.
        """
        counts = {n: Fraction(self.pushed[n] * self.chunk, self.chunks[n]) for n in self.streams}
        if not partly and len(set(counts.values())) > 1:
            raise InputError(f"the stream inputs end at different times: {dict(self.pushed)} frames")
        return math.ceil(max(counts.values()))

    def check_length(self, total: int) -> None:
        """Refuses to end a stream that is too short for the model to stream correctly.

        Errors:
            InputError: names the shortest stream.
        """
        least = self.manifest.min_frames
        gives = any(not entry.is_stream or entry.length_of(total) > 0 for entry in self.outputs.values())
        if 0 < total < least and gives:
            raise InputError(
                f"a stream of {total} frames is too short: the model equals the offline one from {least} frames on",
                hint="drop the stream, or go on with it",
            )

    def ready(self) -> int:
        """The number of input frames of the call that can run now; 0 if the frames do not fill a chunk.

        This is one chunk, or all whole chunks if calls may have any size.
        """
        chunks: int = min(
            sum(p.shape[entry.along or 0] for p in self.buffers[name]) // self.chunks[name]
            for name, entry in self.streams.items()
        )
        return (chunks if self.dynamic else min(chunks, 1)) * self.chunk

    def cut_chunk(self, input_frames: int) -> Arrays:
        """Takes the next frames of every stream input from the buffers, padded with zeros where the stream ends."""
        chunk: Arrays = {}
        for name, entry in self.streams.items():
            frames, axis = self.frames_of(name, input_frames), entry.along or 0
            parts = self.buffers[name]
            if not parts:
                shape = [frames if a == entry.axis else int(s or 1) for a, s in enumerate(entry.shape)]
                chunk[name] = np.zeros(shape, numpy_dtype(entry.dtype))
                continue
            head = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
            if head.shape[axis] > frames:
                head, rest = cut(head, frames, axis)
                self.buffers[name] = [rest]
            else:
                self.buffers[name] = []
            missing = frames - head.shape[axis]
            if missing:
                pads = [(0, missing if a == axis else 0) for a in range(head.ndim)]
                head = np.pad(head, pads)
            chunk[name] = np.ascontiguousarray(head[0] if entry.is_step else head)
        return chunk

    def collect(self, outputs: Arrays, input_frames: int) -> None:
        """Buffers the outputs of a call of ``input_frames`` frames, without the warm-up frames before frame 0."""
        self.fed += input_frames
        for name, value in outputs.items():
            entry = self.outputs[name]
            if entry.along is None:
                self.waiting[name].append(value)
                continue
            value = value[None] if entry.is_step else value
            count = value.shape[entry.along]
            early = min(max(entry.delay - self.given[name], 0), count)
            self.given[name] += count
            if early < count:
                self.waiting[name].append(value.take(range(early, count), axis=entry.along) if early else value)

    def taken_out(self, total: int) -> Arrays:
        """Removes and returns the waiting output frames that exist for certain after ``total`` input frames.

        The other frames keep waiting: if the stream ends here, they do not exist.
        """
        found: Arrays = {}
        for name, entry in self.outputs.items():
            arrays, self.waiting[name] = self.waiting[name], []
            if entry.along is None:
                found[name] = one_after_the_other(arrays, entry)
                continue
            if not arrays:
                shape = [0 if a == entry.axis else int(s or 1) for a, s in enumerate(entry.shape)]
                found[name] = np.zeros([0, *shape] if entry.is_step else shape, numpy_dtype(entry.dtype))
                continue
            whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=entry.along)
            count = min(whole.shape[entry.along], max(0, entry.length_of(total) - self.returned[name]))
            self.returned[name] += count
            if count < whole.shape[entry.along]:
                whole, rest = cut(whole, count, entry.along)
                self.waiting[name] = [rest]
            found[name] = whole
        return found
