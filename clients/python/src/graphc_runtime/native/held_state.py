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
    """Sets of buffers that calls write in turn. One is free when no held output refers to it."""

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
    """An output that a runner kept in its runtime.

    Args:
        runner: the runner that can read it.
        holder: the set of buffers, or other object, that contains it.
        name: the name of the ONNX output.
    """

    __slots__ = ("holder", "name", "runner")

    def __init__(self, runner: Reader, holder: Any, name: str):
        self.runner, self.holder, self.name = runner, holder, name

    def read(self) -> Array:
        """Its entries, in the runtime's layout."""
        return self.runner.read(self.holder, self.name)


class Reader(Protocol):
    """A runner that keeps outputs."""

    def read(self, holder: Any, name: str) -> Array: ...


class HeldState:
    """A state as the client carries it: ``np.asarray`` reads it, with the shape and type of the ONNX port.

    Args:
        owner: the session that knows its port and can take it back unread.
        output: the held output with its entries.
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
    """A session over a runner that keeps outputs."""

    def onnx_value(self, output: HeldOutput) -> Array: ...


def read_all(values: Mapping[str, Any]) -> dict[str, Array]:
    """Values with every held state read."""
    return {name: np.asarray(value) if isinstance(value, HeldState) else value for name, value in values.items()}
