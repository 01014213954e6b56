"""Ports of a model in a runtime other than onnxruntime, and the interface of the runners of such runtimes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class NativePort:
    """A port of the ONNX model as the runtime has it.

    A native input is the ONNX value transposed by ``permutation``, reshaped to ``shape`` and cast to ``dtype``. A
    native output is converted to the ONNX value in reverse.

    Args:
        name, index: the name and the index of the port in the runtime; None for whichever the runtime does not use.
        permutation: the order of the ONNX axes in the native value; None if the order does not change.
    """

    name: str | None
    index: int | None
    dtype: str
    shape: tuple[int, ...]
    permutation: tuple[int, ...] | None = None

    def to_native(self, value: Array) -> Array:
        if self.permutation is None and value.shape == self.shape and value.dtype == self.dtype:
            return np.ascontiguousarray(value)
        moved = value if self.permutation is None else np.transpose(value, self.permutation)
        return np.ascontiguousarray(moved.reshape(self.shape), dtype=self.dtype)

    def from_native(self, value: Array, shape: Sequence[int], dtype: np.dtype[Any]) -> Array:
        """Converts a native value to a value of the ONNX port.

        Args:
            shape: the shape of the ONNX port.

        Errors:
            ValueError: the value has another number of entries than the port.
        """
        if self.permutation is None and value.shape == shape and value.dtype == dtype:
            return value
        if self.permutation is None:
            return np.asarray(value).reshape(shape).astype(dtype, copy=False)
        moved = np.asarray(value).reshape([shape[axis] for axis in self.permutation])
        return np.transpose(moved, np.argsort(self.permutation)).astype(dtype, copy=False)


@dataclass(frozen=True)
class OnnxPort:
    """A port of the compiled model: every size is fixed."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    def native(self, dtype: str | None = None) -> NativePort:
        """The native port with the same name and shape, and with the same dtype unless another one is given."""
        return NativePort(self.name, None, dtype or str(self.dtype), self.shape)


class Runner(ABC):
    """An opened model of a runtime. Its inputs and outputs are native values."""

    @abstractmethod
    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        """Runs one call on native inputs, and returns native outputs. Both are keyed by the names of the ONNX ports.

        An output may stay in the runtime, as a ``HeldOutput``. The next call accepts a state in that form.
        """
