"""States that stay in a runtime's memory from call to call, and are read only on demand."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
OURS = 3


class BufferSet:
    """The buffers that one call wrote, by the name of the ONNX output."""

    def __init__(self, buffers: dict[str, Any]):
        self.buffers = buffers
        self.in_order = list(buffers.values())


class BufferSets:
    """Sets of buffers that calls write to in turn. A set is free when no held output refers to it."""

    def __init__(self, make: Callable[[], dict[str, Any]]):
        self.make = make
        self.sets: list[BufferSet] = []

    def free(self) -> BufferSet:
        for one in self.sets:
            if sys.getrefcount(one) == OURS:
                return one
        self.sets.append(BufferSet(self.make()))
        return self.sets[-1]


class HeldOutput:
    """An output that a runner left in its runtime.

    Args:
        runner: the runner that can read the output.
        holder: the set of buffers, or other object, that contains the output.
        name: the name of the ONNX output.
    """

    __slots__ = ("holder", "name", "runner")

    def __init__(self, runner: Reader, holder: Any, name: str):
        self.runner, self.holder, self.name = runner, holder, name

    def read(self) -> Array:
        """The values of the output, in the runtime's layout."""
        return self.runner.read(self.holder, self.name)


class Reader(Protocol):
    """A runner that leaves outputs in its runtime."""

    def read(self, holder: Any, name: str) -> Array: ...


class HeldState:
    """A state that the client carries while its values stay in the runtime's memory.

    ``np.asarray`` reads the values, with the shape and type of the ONNX port.

    Args:
        owner: the session that converts the state to the ONNX port, and accepts it in the next call without reading.
        output: the output in the runtime that is the state.
    """

    __slots__ = ("dtype", "output", "owner", "shape", "value")

    def __init__(self, owner: Owner, output: HeldOutput, shape: tuple[int, ...], dtype: np.dtype[Any]):
        self.owner, self.output, self.shape, self.dtype = owner, output, shape, dtype
        self.value: Array | None = None

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> Array:
        if self.value is None:
            self.value = np.array(self.owner.onnx_value(self.output))
        return np.array(self.value, dtype=dtype, copy=copy)


class Owner(Protocol):
    """A session whose runner leaves outputs in its runtime."""

    def onnx_value(self, output: HeldOutput) -> Array: ...


def read_all(values: Mapping[str, Any]) -> dict[str, Array]:
    """The values by name, with an array in place of every held state."""
    return {name: np.asarray(value) if isinstance(value, HeldState) else value for name, value in values.items()}
