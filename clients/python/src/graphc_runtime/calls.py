"""Calls a compiled model and passes its states to the next call: as arrays, or in buffers if all sizes are fixed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from graphc_runtime.contract.first_values import numpy_dtype
from graphc_runtime.contract.manifest import Manifest, PortEntry, StateEntry
from graphc_runtime.errors import ModelError, RunError, first_line
from graphc_runtime.native.held_state import BufferSet, BufferSets
from graphc_runtime.ort_model import Array, OrtModel, Runs, value_over
from graphc_runtime.stream_buffer import Arrays

BOUND_KINDS = "fiub"
Rows = Mapping[str, Sequence[tuple[slice, ...]]]


class Calls(Protocol):
    """A model that is called with chunks and states."""

    def step(
        self, feeds: Mapping[str, Array], states: Mapping[str, Any], valid: Sequence[int]
    ) -> tuple[Arrays, Mapping[str, Any]]:
        """Runs one call. Returns the outputs and the states for the next call.

        Args:
            feeds: the stream inputs and the static inputs.
            valid: the number of frames of the call that are not padding, for each stream of a batch.

        Errors:
            ModelError: the model does not run.
        """
        ...

    def with_rows(self, states: Mapping[str, Any], source: Mapping[str, Any], rows: Rows) -> Mapping[str, Any]:
        """The states with some rows taken from ``source``. ``states`` may be changed in place, ``source`` is not."""
        ...


def calls_of(manifest: Manifest, runner: Runs) -> Calls:
    """The fastest implementation of calls that works for a model."""
    if type(runner) is OrtModel and BoundCalls.fits(manifest):
        return BoundCalls(manifest, runner)
    return PlainCalls(manifest, runner)


class PlainCalls:
    """Calls with states as arrays, or as values in the memory of a runtime other than onnxruntime."""

    def __init__(self, manifest: Manifest, runner: Runs):
        self.manifest, self.runner = manifest, runner

    def step(
        self, feeds: Mapping[str, Array], states: Mapping[str, Any], valid: Sequence[int]
    ) -> tuple[Arrays, Mapping[str, Any]]:
        manifest = self.manifest
        counts = {} if manifest.valid_frames is None else {manifest.valid_frames: np.array(valid, np.int64)}
        try:
            results = self.runner.run({**feeds, **states, **counts})
        except RunError as err:
            raise ModelError(f"the compiled model does not run: {err}") from err
        return {o.name: results[o.name] for o in manifest.outputs}, {
            s.input: results[s.output] for s in manifest.states
        }

    def with_rows(self, states: Mapping[str, Any], source: Mapping[str, Any], rows: Rows) -> Mapping[str, Any]:
        made = {name: writable(value) for name, value in states.items()}
        for name, places in rows.items():
            put(made[name], np.asarray(source[name]), places)
        return made


class BoundCalls:
    """Calls on buffers that are bound once.

    A call reads the states from one set of buffers and writes them to another, so that states are never copied. Each
    pair of sets has its own binding. More than two sets are needed only if the client keeps earlier states.
    """

    def __init__(self, manifest: Manifest, runner: OrtModel):
        self.session = runner.ort
        self.states = [(s.input, s.output, tuple(s.shape), np.dtype(numpy_dtype(s.dtype))) for s in manifest.states]
        self.taken = {i.name: blank(i.shape, i.dtype) for i in manifest.inputs}
        self.given = {o.name: blank(o.shape, o.dtype) for o in manifest.outputs}
        self.count = None if manifest.valid_frames is None else np.zeros(manifest.streams or 1, np.int64)
        self.bound = {name: value_over(array) for name, array in (*self.taken.items(), *self.given.items())}
        if manifest.valid_frames is not None and self.count is not None:
            self.bound[manifest.valid_frames] = value_over(self.count)
        self.inputs = [*self.taken, *([manifest.valid_frames] if manifest.valid_frames is not None else [])]
        self.sets = BufferSets(partial(new_set, self.states))
        self.bindings: dict[tuple[int, int], Any] = {}

    @staticmethod
    def fits(manifest: Manifest) -> bool:
        """Whether every port has a fixed size and a type that numpy shares with onnxruntime."""
        ports: list[PortEntry | StateEntry] = [*manifest.inputs, *manifest.outputs, *manifest.states]
        sized = all(isinstance(size, int) and size > 0 for port in ports for size in port.shape)
        return sized and all(np.dtype(numpy_dtype(port.dtype)).kind in BOUND_KINDS for port in ports)

    def step(
        self, feeds: Mapping[str, Array], states: Mapping[str, Any], valid: Sequence[int]
    ) -> tuple[Arrays, Mapping[str, Any]]:
        holder = states.holder if type(states) is BoundStates and states.owner is self else self.filled(states)
        written = self.sets.free()
        for name, buffer in self.taken.items():
            buffer[...] = feeds[name]
        if self.count is not None:
            self.count[:] = valid
        binding = self.bindings.get((id(holder), id(written))) or self.binding(holder, written)
        try:
            self.session.run_with_iobinding(binding)
        except Exception as err:
            raise ModelError(f"the compiled model does not run: {first_line(err)}") from err
        return {name: buffer.copy() for name, buffer in self.given.items()}, BoundStates(self, written)

    def with_rows(self, states: Mapping[str, Any], source: Mapping[str, Any], rows: Rows) -> Mapping[str, Any]:
        holder = states.holder if type(states) is BoundStates and states.owner is self else self.filled(states)
        for name, places in rows.items():
            given = source.holder.buffers[name][0] if type(source) is BoundStates else source[name]
            put(holder.buffers[name][0], given, places)
        return BoundStates(self, holder)

    def filled(self, states: Mapping[str, Any]) -> BufferSet:
        """A free buffer set, filled with states that this object did not write."""
        one = self.sets.free()
        for name, (array, _) in one.buffers.items():
            array[...] = states[name]
        return one

    def binding(self, holder: BufferSet, written: BufferSet) -> Any:
        """Makes the binding of a call that reads states from ``holder`` and writes them to ``written``.

        Sets are never freed, so their ids are unique.
        """
        made = self.session.io_binding()
        for name in self.inputs:
            made.bind_ortvalue_input(name, self.bound[name])
        for name in self.given:
            made.bind_ortvalue_output(name, self.bound[name])
        for taken, given, _, _ in self.states:
            made.bind_ortvalue_input(taken, holder.buffers[taken][1])
            made.bind_ortvalue_output(given, written.buffers[taken][1])
        self.bindings[id(holder), id(written)] = made
        return made


class BoundStates(Mapping[str, Array]):
    """The states that a call wrote, by input name. Reading one copies it."""

    __slots__ = ("holder", "owner")

    def __init__(self, owner: BoundCalls, holder: BufferSet):
        self.owner, self.holder = owner, holder

    def __getitem__(self, name: str) -> Array:
        array: Array = self.holder.buffers[name][0]
        return array.copy()

    def __iter__(self) -> Iterator[str]:
        return iter(self.holder.buffers)

    def __len__(self) -> int:
        return len(self.holder.buffers)


def writable(value: Any) -> Array:
    """A writable array: the value itself if it is writable, otherwise a copy."""
    array = np.asarray(value)
    return array if array.flags.writeable else array.copy()


def put(array: Array, source: Array, places: Sequence[tuple[slice, ...]]) -> None:
    for place in places:
        array[place] = source[place]


def new_set(states: Sequence[tuple[str, str, tuple[int, ...], np.dtype[Any]]]) -> dict[str, Any]:
    """Buffers for the states that a call writes. They do not refer to the session, so that it can be freed."""
    arrays = {taken: np.zeros(shape, dtype) for taken, _, shape, dtype in states}
    return {name: (array, value_over(array)) for name, array in arrays.items()}


def blank(shape: Sequence[int | str | None], dtype: str) -> Array:
    return np.zeros([int(size or 1) for size in shape], numpy_dtype(dtype))
