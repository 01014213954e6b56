"""Converts a stream signature to plain data and arrays, and back. The data cannot name code to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from graphc.contract.length import Length
from graphc.contract.signature import (
    Signature,
    StatePack,
    StatePart,
    StatePort,
    StateScale,
    StreamInput,
    StreamOutput,
)

TYPES = {
    t.__name__: t for t in (Length, Signature, StatePack, StatePart, StatePort, StateScale, StreamInput, StreamOutput)
}
PLAIN = (str, int, float, bool, type(None))


def encoded(value: Any, arrays: list[np.ndarray]) -> Any:
    """A value as JSON data. Arrays are added to a list, and referred to by index.

    Errors:
        TypeError: a value of a type that no signature has.
    """
    if isinstance(value, np.ndarray):
        arrays.append(value)
        return {"array": len(arrays) - 1}
    if isinstance(value, Fraction):
        return {"fraction": [value.numerator, value.denominator]}
    if isinstance(value, tuple | list):
        return {"tuple": [encoded(v, arrays) for v in value]}
    if isinstance(value, Mapping):
        return {"map": [[encoded(k, arrays), encoded(v, arrays)] for k, v in value.items()]}
    if is_dataclass(value) and type(value).__name__ in TYPES:
        return {type(value).__name__: {f.name: encoded(getattr(value, f.name), arrays) for f in fields(value)}}
    if type(value) in PLAIN:
        return value
    if isinstance(value, np.generic):
        return encoded(value.item(), arrays)
    raise TypeError(f"a signature holds no {type(value).__name__}")


def decoded(data: Any, arrays: Sequence[np.ndarray]) -> Any:
    """The inverse of ``encoded``.

    Errors:
        KeyError, ValueError, TypeError, IndexError: ``encoded`` did not write the data.
    """
    if not isinstance(data, dict):
        return data
    ((kind, held),) = data.items()
    if kind == "array":
        return arrays[held]
    if kind == "fraction":
        return Fraction(*held)
    if kind == "tuple":
        return tuple(decoded(v, arrays) for v in held)
    if kind == "map":
        return {decoded(k, arrays): decoded(v, arrays) for k, v in held}
    return TYPES[kind](**{name: decoded(v, arrays) for name, v in held.items()})
