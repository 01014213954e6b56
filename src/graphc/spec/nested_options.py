"""Options that hold further ones: found by their path, and listed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def options_at(config: type[BaseModel], keys: Sequence[str | int]) -> list[str]:
    """The options that a path within others may hold."""
    for key in keys:
        field = next((f for name, f in config.model_fields.items() if (f.alias or name) == key), None)
        config = (field and inner_options(field)) or config
    return [field.alias or name for name, field in config.model_fields.items()]


def inner_options(field: FieldInfo) -> type[BaseModel] | None:
    """The options that an option holds, where it is a mapping of further ones."""
    return model_in(field.annotation)


def model_in(hint: Any) -> type[BaseModel] | None:
    """The first model that a type is made of: of alternatives, of a mapping's values, or itself."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint
    return next((found for part in get_args(hint) if (found := model_in(part)) is not None), None)


def option_lines(options: type[BaseModel], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    """Depth, name with default, and what it is, of each option and of those within it."""
    for name, field in options.model_fields.items():
        inner = inner_options(field)
        default = field.get_default(call_default_factory=True)
        shown = "" if field.is_required() or inner is not None else f" (default {json.dumps(default, default=str)})"
        yield depth, f"{name}{shown}", described(field)
        if inner is not None:
            yield from option_lines(inner, depth + 1)


def described(field: FieldInfo) -> str:
    """The description of an option, or its allowed words."""
    if field.description is not None:
        return field.description
    kinds = [field.annotation, *get_args(field.annotation)]
    words = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    return ", ".join(map(str, words))
