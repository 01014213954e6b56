"""Ports of a runtime other than onnxruntime, and what runs them."""

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

    A native input is the ONNX value transposed by ``permutation``, reshaped to ``shape`` and cast to ``dtype``; an
    output goes the other way.

    Args:
        name, index: its name and place in the runtime; None for one that the runtime does not use.
        permutation: the order of the ONNX axes; None if it does not change.
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
        """The ONNX value of a native one.

        Errors:
            ValueError: it has another number of entries than the port.
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
        """The port of a runtime that keeps its name and shape, and its dtype unless another is given."""
        return NativePort(self.name, None, dtype or str(self.dtype), self.shape)


class Runner(ABC):
    """An opened model. Values are the runtime's own."""

    @abstractmethod
    def run(self, feeds: Mapping[str, Any]) -> Mapping[str, Any]:
        """One call: native inputs by ONNX name in, native outputs by ONNX name out.

        An output may stay in the runtime as a ``HeldOutput``. The next call takes a held state back in that form.
        """
