"""Tensors that do not depend on the data, with their values at the evaluated lengths."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


@dataclass(frozen=True)
class TimeConstant:
    """A tensor that does not depend on the data, with its value at each evaluated length.

    Args:
        name: the name of the tensor in the graph; empty if a rule made the values.
    """

    values: tuple[Array, ...]
    name: str = ""

    @cached_property
    def steady(self) -> Array | None:
        """The value, if it is the same at every length; otherwise None."""
        first = self.values[0]
        same = all(
            v.shape == first.shape and np.array_equal(v, first, equal_nan=v.dtype.kind in "fc") for v in self.values
        )
        return first if same else None

    @cached_property
    def digest(self) -> bytes:
        """A hash of the values, with their types and shapes."""
        found = hashlib.blake2b(digest_size=16)
        for value in self.values:
            found.update(f"{value.dtype}{value.shape}".encode())
            found.update(np.ascontiguousarray(value).tobytes())
        return found.digest()


class GraphConstant(TimeConstant):
    """A constant of the graph. Its value is loaded only when a rule reads it."""

    load: Callable[[], Array]
    count: int

    def __init__(self, load: Callable[[], Array], count: int):
        object.__setattr__(self, "name", "")
        object.__setattr__(self, "load", load)
        object.__setattr__(self, "count", count)

    @cached_property
    def values(self) -> tuple[Array, ...]:
        return (self.load(),) * self.count

    @property
    def steady(self) -> Array:
        return self.values[0]
