"""Makes dataclasses from untrusted JSON data.

Each field is checked against its type and bounds. The only conversion is from int to float.
"""

from __future__ import annotations

import types
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Made = TypeVar("Made")


@dataclass(frozen=True)
class Bounds:
    """The smallest and the largest allowed value of a number."""

    least: float
    most: float = float("inf")


class DataError(Exception):
    """A field of the wrong type or value. The text begins with the place of the field, such as ``inputs.0.axis``."""


def checked(kind: type[Made], data: object, place: str = "") -> Made:
    """Makes a dataclass from JSON data. Unknown names are ignored.

    Args:
        place: where ``data`` is in the file, for messages.

    Errors:
        DataError: a field is missing, or has another type.
    """
    if not isinstance(data, dict):
        raise DataError(f"{place or 'the file'}: {named(data)}, expected an object")
    hints, found = hints_of(kind), {}  # type: ignore[arg-type]
    for field in fields(kind):  # type: ignore[arg-type]
        here = f"{place}.{field.name}" if place else field.name
        if field.name in data:
            found[field.name] = value_of(hints[field.name], data[field.name], here)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise DataError(f"{here}: it is missing")
    return kind(**found)


@cache
def hints_of(kind: type[Any]) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def value_of(hint: Any, data: object, place: str) -> Any:
    """Converts JSON data to a type: a number, a text, a dataclass, or lists, mappings and alternatives of these.

    Errors:
        DataError: the data is not of that type.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        value = value_of(parts[0], data, place)
        if value is not None and not parts[1].least <= value <= parts[1].most:
            raise DataError(f"{place}: {value} is out of range")
        return value
    if origin in (Union, types.UnionType):
        return alternative(parts, data, place)
    if origin is Literal:
        if isinstance(data, str) and data in parts:
            return data
        raise DataError(f"{place}: {named(data)}, expected one of {', '.join(parts)}")
    if origin in (list, tuple):
        if not isinstance(data, list) or (origin is tuple and len(data) != len(parts)):
            raise DataError(f"{place}: {named(data)}, expected a list")
        kinds = parts if origin is tuple else parts * len(data)
        made = [value_of(kind, item, f"{place}.{i}") for i, (kind, item) in enumerate(zip(kinds, data, strict=True))]
        return tuple(made) if origin is tuple else made
    if origin is dict:
        if not isinstance(data, dict):
            raise DataError(f"{place}: {named(data)}, expected an object")
        return {key: value_of(parts[1], item, f"{place}.{key}") for key, item in data.items()}
    if hasattr(hint, "__dataclass_fields__"):
        return checked(hint, data, place)
    return plain(hint, data, place)


def alternative(kinds: tuple[Any, ...], data: object, place: str) -> Any:
    """Converts JSON data to the first of several types that fits. If none fits, the error is that of the last type."""
    if data is None and type(None) in kinds:
        return None
    wanted = [kind for kind in kinds if kind is not type(None)]
    for kind in wanted[:-1]:
        try:
            return value_of(kind, data, place)
        except DataError:
            continue
    return value_of(wanted[-1], data, place)


def plain(kind: type, data: object, place: str) -> object:
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if isinstance(data, kind) and not (isinstance(data, bool) and kind is not bool):
        return data
    raise DataError(f"{place}: {named(data)}, expected {kind.__name__}")


def named(data: object) -> str:
    """A value, shortened for a message."""
    text = repr(data)
    return text if len(text) <= 40 else f"{text[:37]}..."
