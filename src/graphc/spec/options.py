"""The options of a pass or a target, checked and told at their place in the spec."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

from graphc.spec.messages import first_error, plain_words
from graphc.spec.nearest import nearest
from graphc.spec.spec_file import SpecFile

Options = TypeVar("Options", bound=BaseModel)


def read_options(
    spec_file: SpecFile, where: tuple[str | int, ...], options: type[Options], given: Mapping[str, Any]
) -> Options:
    """The options under a key of the spec.

    Errors:
        SpecError: an unknown option, with the nearest one, or a value that does not fit.
    """
    try:
        return options.model_validate(given)
    except PydanticError as err:
        first = first_error(err.errors(include_url=False))
        keys = (*where, *first["loc"])
        if first["type"] == "extra_forbidden":
            known = options_at(options, first["loc"][:-1])
            raise spec_file.error(keys, "unknown option", nearest(str(first["loc"][-1]), known)) from None
        raise spec_file.error(keys, plain_words(first)) from None


def options_at(config: type[BaseModel], keys: Sequence[str | int]) -> list[str]:
    """The options that may stand under a path within others."""
    for key in keys:
        field = config.model_fields.get(str(key))
        config = (field and inner_options(field)) or config
    return list(config.model_fields)


def inner_options(field: FieldInfo) -> type[BaseModel] | None:
    """The options that an option holds, where it is a mapping of further ones."""
    kinds = get_args(field.annotation) or (field.annotation,)
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


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
    """What an option is; where it is one of a few words, those."""
    if field.description is not None:
        return field.description
    kinds = [field.annotation, *get_args(field.annotation)]
    words = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    return ", ".join(map(str, words))
