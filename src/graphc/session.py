"""The client: feeds a compiled model chunk by chunk by its manifest, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc.errors import InputError, ModelError
from graphc.manifest import METADATA_KEY, InputEntry, Manifest, OutputEntry, first_value, numpy_dtype, parse_manifest
from graphc.model import Model
from graphc.runtime import RunError, Session, open_model

Array = NDArray[Any]
Arrays = dict[str, Array]
MANIFEST_SUFFIX = ".manifest.json"


class StreamSession:
    """Runs a compiled model on a stream: buffers frames to chunks, carries states, drops the delay, flushes the tail.

    Args:
        path: the compiled model (its manifest stands in its metadata) or the manifest beside it.
        threads: onnxruntime's intra-op threads.

    Errors:
        ModelError: no compiled model, or a manifest that does not fit it.

    Example:
        session = StreamSession("tagger.stream.onnx")
        for frames in microphone:                  # arrays of any number of frames
            out = session.push(features=frames)    # what is new: {"log_probs": array}
        rest = session.flush()
    """

    def __init__(self, path: str | Path, threads: int = 1):
        manifest, folder, model_path = locate(Path(path))
        runner = open_model(model_path, str(model_path), threads)
        self.start(manifest, runner, {s.input: first_value(s, folder) for s in manifest.states})

    @classmethod
    def of(cls, manifest: Manifest, runner: Session, first: Arrays) -> StreamSession:
        """A session over a model in memory; ``first`` holds the first value of every state."""
        session = cls.__new__(cls)
        session.start(manifest, runner, first)
        return session

    def start(self, manifest: Manifest, runner: Session, first: Arrays) -> None:
        self.manifest = manifest
        self.runner = runner
        self.first = first
        self.streams = {i.name: i for i in manifest.inputs if i.axis is not None}
        self.statics = {i.name: i for i in manifest.inputs if i.axis is None}
        self.outputs = {o.name: o for o in manifest.outputs}
        missing = {s.input for s in manifest.states} | set(self.streams) | set(self.statics)
        lost = (missing - set(runner.input_names)) | ({s.output for s in manifest.states} | set(self.outputs)) - set(
            runner.output_names
        )
        if lost:
            raise ModelError(f"the manifest names ports that the model does not have: {', '.join(sorted(lost))}")
        if not self.streams:
            raise ModelError("the manifest names no stream input")
        self.chunk = manifest.chunk or manifest.chunk_multiple
        for inputs in manifest.inputs:
            check_frames(inputs, runner, self.dynamic)
        for outputs in manifest.outputs:
            check_frames(outputs, runner, self.dynamic)
        self.reset()

    def reset(self) -> None:
        """Forgets the stream: states at their first values, buffers empty."""
        self.states = dict(self.first)
        self.buffers: dict[str, list[Array]] = {name: [] for name in self.streams}
        self.pushed = dict.fromkeys(self.streams, 0)
        self.values: Arrays = {}
        self.given = dict.fromkeys(self.outputs, 0)
        self.returned = dict.fromkeys(self.outputs, 0)
        self.waiting: dict[str, list[Array]] = {name: [] for name in self.outputs}
        self.fed = 0
        self.flushed = False

    def push(self, frames: Array | Mapping[str, Array] | None = None, /, **named: Array) -> Arrays:
        """Takes frames of the stream inputs and returns the output frames that are new.

        Args:
            frames: an array, where there is one stream input, or arrays by input name. Any number of frames.
            named: the same by keyword. Static inputs are given once, with the first frames.

        Errors:
            InputError: a name, shape or dtype that does not fit, too many frames, or frames after the flush.
        """
        if self.flushed:
            raise InputError("the stream has been flushed", hint="call reset() to start another")
        for name, value in self.named(frames, named).items():
            self.take(name, np.asarray(value))
        while ready := self.ready():
            self.collect(self.call(self.cut_chunk(ready), ready))
        return self.taken_out(self.fed)

    def flush(self) -> Arrays:
        """Ends the stream: pads the last chunk, feeds zeros until every output is whole, and returns the rest."""
        if self.flushed:
            raise InputError("the stream has been flushed", hint="call reset() to start another")
        total = self.total_frames()
        self.flushed = True
        while (frames := self.needed(total)) > 0:
            left = max(total - self.fed, 0)
            self.collect(self.call(self.cut_chunk(frames), min(left, frames)))
        return self.taken_out(total)

    def needed(self, total: int) -> int:
        """Frames of the next call of the flush: the chunk, or all at once where calls differ; 0 where nothing lacks."""
        lacking = [Fraction(total - self.fed)]
        for entry in self.outputs.values():
            if entry.axis is not None:
                lacking.append((entry.delay + entry.length_of(total) - self.given[entry.name]) / entry.pace)
        calls = math.ceil(max(lacking) / self.chunk)
        return max(0, calls if self.dynamic else min(calls, 1)) * self.chunk

    def run(self, frames: Array | Mapping[str, Array] | None = None, /, **named: Array) -> Arrays:
        """A whole stream from its start: reset, push, flush. Outputs without time are those of the last call."""
        self.reset()
        first = self.push(frames, **named)
        rest = self.flush()
        return {
            name: np.concatenate([first[name], rest[name]], axis=entry.axis)
            if entry.axis is not None
            else (rest[name] if rest[name].size else first[name])
            for name, entry in self.outputs.items()
        }

    def stream(self, source: Iterable[Array | Mapping[str, Array]]) -> Iterator[Arrays]:
        """Pushes what comes from an iterable and yields what is new; the last item is the tail."""
        self.reset()
        for frames in source:
            yield self.push(frames)
        yield self.flush()

    def named(self, frames: Array | Mapping[str, Array] | None, named: Mapping[str, Array]) -> dict[str, Array]:
        if isinstance(frames, Mapping):
            return {**frames, **named}
        if frames is None:
            return dict(named)
        if len(self.streams) != 1:
            raise InputError(f"there are {len(self.streams)} stream inputs", hint="pass them by name")
        return {next(iter(self.streams)): frames, **named}

    def take(self, name: str, value: Array) -> None:
        entry = self.streams.get(name) or self.statics.get(name)
        if entry is None:
            known = ", ".join([*self.streams, *self.statics])
            raise InputError(f"'{name}' is no input of the model", hint=f"known: {known}")
        dtype = np.dtype(numpy_dtype(entry.dtype))
        if value.dtype != dtype:
            raise InputError(f"'{name}' is {value.dtype}, where the model takes {dtype}")
        fits = len(value.shape) == len(entry.shape) and all(
            axis == entry.axis or not isinstance(size, int) or size == got
            for axis, (size, got) in enumerate(zip(entry.shape, value.shape, strict=False))
        )
        if not fits:
            raise InputError(f"'{name}' has the shape {list(value.shape)}, where the model takes {entry.shape}")
        if entry.axis is None:
            self.values[name] = value
            return
        self.pushed[name] += value.shape[entry.axis]
        limit = self.manifest.max_frames
        if limit is not None and self.total_frames(partly=True) > limit:
            raise InputError(f"a stream of more than {limit} frames", hint="this model is bounded; reset() in time")
        if value.shape[entry.axis]:
            self.buffers[name].append(value)

    @property
    def dynamic(self) -> bool:
        """Whether a call takes any multiple of the chunk."""
        return self.manifest.chunk is None

    def frames_of(self, name: str, input_frames: int) -> int:
        """Frames of a stream input in a call of so many input frames."""
        entry = self.streams[name]
        if entry.frames is not None:
            return entry.frames * input_frames // self.chunk
        return int(input_frames * entry.pace)

    def frames_a_chunk(self, name: str) -> int:
        return self.frames_of(name, self.chunk)

    def total_frames(self, partly: bool = False) -> int:
        """Frames so far, counted in frames of the chunk.

        Errors:
            InputError: the stream inputs have come to different times, and ``partly`` is not set.
        """
        counts = {n: -(-self.pushed[n] * self.chunk // self.frames_a_chunk(n)) for n in self.streams}
        if not partly and len(set(counts.values())) > 1:
            raise InputError(f"the stream inputs end at different times: {dict(self.pushed)} frames")
        return max(counts.values())

    def ready(self) -> int:
        """Input frames of the call that can be made now: a chunk, or all whole chunks where calls differ; or 0."""
        chunks: int = min(
            sum(p.shape[entry.axis or 0] for p in self.buffers[name]) // self.frames_a_chunk(name)
            for name, entry in self.streams.items()
        )
        return (chunks if self.dynamic else min(chunks, 1)) * self.chunk

    def cut_chunk(self, input_frames: int) -> Arrays:
        """The next frames of every stream input, padded with zeros where the stream ends."""
        chunk: Arrays = {}
        for name, entry in self.streams.items():
            frames, axis = self.frames_of(name, input_frames), entry.axis or 0
            parts = self.buffers[name]
            if not parts:
                shape = [frames if a == axis else int(s or 1) for a, s in enumerate(entry.shape)]
                chunk[name] = np.zeros(shape, numpy_dtype(entry.dtype))
                continue
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=axis)
            head, rest = np.split(whole, [min(frames, whole.shape[axis])], axis=axis)
            self.buffers[name] = [rest] if rest.shape[axis] else []
            missing = frames - head.shape[axis]
            if missing:
                pads = [(0, missing if a == axis else 0) for a in range(head.ndim)]
                head = np.pad(head, pads)
            chunk[name] = np.ascontiguousarray(head)
        return chunk

    def call(self, chunk: Arrays, valid: int) -> Arrays:
        """One call: exactly a chunk in, the outputs out, the states carried."""
        absent = [name for name in self.statics if name not in self.values]
        if absent:
            raise InputError(f"the static input '{absent[0]}' was not given", hint="pass it with the first frames")
        feeds = {**chunk, **self.values, **self.states}
        if self.manifest.valid_frames is not None:
            feeds[self.manifest.valid_frames] = np.array([valid], np.int64)
        try:
            results = self.runner.run(feeds)
        except RunError as err:
            raise ModelError(f"the compiled model does not run: {err}") from err
        self.states = {s.input: results[s.output] for s in self.manifest.states}
        name, frames = next(iter(chunk.items()))
        self.fed += frames.shape[self.streams[name].axis or 0] * self.chunk // self.frames_a_chunk(name)
        return {name: results[name] for name in self.outputs}

    def collect(self, outputs: Arrays) -> None:
        """Keeps a call's outputs, without the frames that stand before frame 0."""
        for name, value in outputs.items():
            entry = self.outputs[name]
            if entry.axis is None:
                self.waiting[name] = [value]
                continue
            count = value.shape[entry.axis]
            early = min(max(entry.delay - self.given[name], 0), count)
            self.given[name] += count
            if early < count:
                self.waiting[name].append(value.take(range(early, count), axis=entry.axis) if early else value)

    def taken_out(self, total: int) -> Arrays:
        """The frames that wait and surely exist after ``total`` input frames; others may yet be cut by the end."""
        found: Arrays = {}
        for name, entry in self.outputs.items():
            arrays, self.waiting[name] = self.waiting[name], []
            if entry.axis is None:
                found[name] = arrays[-1] if arrays else np.zeros(0, numpy_dtype(entry.dtype))
                continue
            if not arrays:
                shape = [0 if a == entry.axis else int(s or 1) for a, s in enumerate(entry.shape)]
                found[name] = np.zeros(shape, numpy_dtype(entry.dtype))
                continue
            whole = arrays[0] if len(arrays) == 1 else np.concatenate(arrays, axis=entry.axis)
            count = min(whole.shape[entry.axis], max(0, entry.length_of(total) - self.returned[name]))
            self.returned[name] += count
            if count < whole.shape[entry.axis]:
                whole, rest = np.split(whole, [count], axis=entry.axis)
                self.waiting[name] = [rest]
            found[name] = whole
        return found


def check_frames(entry: InputEntry | OutputEntry, runner: Session, dynamic: bool) -> None:
    """Refuses a port whose frames contradict its shape, or whose shape the model does not have.

    Errors:
        ModelError: names the port.
    """
    if entry.axis is not None and (
        entry.axis >= len(entry.shape) or entry.shape[entry.axis] != entry.frames or (entry.frames is None) != dynamic
    ):
        raise ModelError(f"the manifest's port '{entry.name}' has the shape {entry.shape} and {entry.frames} frames")
    declared = runner.shapes.get(entry.name)
    if declared and not (
        len(declared) == len(entry.shape)
        and all(not isinstance(d, int) or d == s for d, s in zip(declared, entry.shape, strict=True))
    ):
        raise ModelError(f"the manifest says that '{entry.name}' has the shape {entry.shape}, the model {declared}")


def locate(path: Path) -> tuple[Manifest, Path, Path]:
    """The manifest, its folder and the model of a path to either.

    Errors:
        ModelError: neither is there.
    """
    if path.name.endswith(MANIFEST_SUFFIX):
        try:
            text = path.read_bytes()
        except OSError as err:
            raise ModelError(f"the manifest cannot be read: {err.strerror}", where=str(path)) from err
        model_path = path.with_name(path.name.removesuffix(MANIFEST_SUFFIX) + ".onnx")
        return parse_manifest(text, str(path)), path.parent, model_path
    return manifest_in(path), path.parent, path


def manifest_in(path: Path) -> Manifest:
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except OSError as err:
        raise ModelError(f"the model cannot be read: {err.strerror}", where=str(path)) from err
    except Exception as err:
        raise ModelError("not an ONNX file, or a truncated one", where=str(path)) from err
    for prop in proto.metadata_props:
        if prop.key == METADATA_KEY:
            return parse_manifest(prop.value, str(path))
    raise ModelError("not a model compiled by graphc: it holds no manifest", where=str(path))


def first_values(model: Model) -> Arrays:
    assert model.signature is not None
    return {s.input: s.init for s in model.signature.states}
