"""Checks the options of a pass or a target, and reports errors at their place in the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic import ValidationError as PydanticError

from graphc.spec.messages import first_error, plain_words
from graphc.spec.nearest import nearest
from graphc.spec.nested_options import options_at
from graphc.spec.spec_file import SpecFile

Options = TypeVar("Options", bound=BaseModel)


def read_options(
    spec_file: SpecFile, where: tuple[str | int, ...], options: type[Options], given: Mapping[str, Any]
) -> Options:
    """Checks the options under a key of the spec, and returns them as a model.

    Errors:
        SpecError: an option is unknown (names the nearest one), or a value does not fit.
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
