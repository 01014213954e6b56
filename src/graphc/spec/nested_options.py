"""Finds options inside other options by their path, and lists them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def options_at(config: type[BaseModel], keys: Sequence[str | int]) -> list[str]:
    """The options that are allowed at a path inside other options."""
    for key in keys:
        field = next((f for name, f in config.model_fields.items() if (f.alias or name) == key), None)
        config = (field and inner_options(field)) or config
    return [field.alias or name for name, field in config.model_fields.items()]


def inner_options(field: FieldInfo) -> type[BaseModel] | None:
    """The options inside an option, if it is a mapping of options; else None."""
    return model_in(field.annotation)


def model_in(hint: Any) -> type[BaseModel] | None:
    """The first pydantic model in a type: the type itself, an alternative, or the type of a mapping's values."""
    if isinstance(hint, type) and issubclass(hint, BaseModel):
        return hint
    return next((found for part in get_args(hint) if (found := model_in(part)) is not None), None)


def option_lines(options: type[BaseModel], depth: int = 0) -> Iterator[tuple[int, str, str]]:
    """Depth, name with default, and description of each option and of the options inside it."""
    for name, field in options.model_fields.items():
        inner = inner_options(field)
        default = field.get_default(call_default_factory=True)
        shown = "" if field.is_required() or inner is not None else f" (default {json.dumps(default, default=str)})"
        yield depth, f"{name}{shown}", described(field)
        if inner is not None:
            yield from option_lines(inner, depth + 1)


def described(field: FieldInfo) -> str:
    """The description of an option, or else its allowed values."""
    if field.description is not None:
        return field.description
    kinds = [field.annotation, *get_args(field.annotation)]
    words = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    return ", ".join(map(str, words))
