"""What pydantic says of a value, in words for the writer of a spec."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

WORDS = {
    "model_type": "a mapping of options is needed",
    "model_attributes_type": "a mapping of options is needed",
    "dict_type": "a mapping is needed",
    "list_type": "a list is needed, as in [a, b]",
    "tuple_type": "a list is needed, as in [a, b]",
    "bool_type": "true or false is needed",
    "string_type": "text is needed",
    "int_type": "a whole number is needed",
    "int_from_float": "a whole number is needed",
    "float_type": "a number is needed",
    "finite_number": "a finite number is needed",
}


def first_error(errors: Sequence[Any]) -> Any:
    """The error to tell: a key that does not exist, before one that is missing, which it may have been meant for."""
    return sorted(errors, key=lambda e: (e["type"] == "missing", e["type"] != "extra_forbidden"))[0]


def plain_words(error: Any) -> str:
    """One pydantic error as a clause."""
    given = error.get("input")
    if error["type"] == "literal_error":
        known = [k.strip("' ") for k in str(error["ctx"]["expected"]).replace(" or ", ", ").split(",")]
        near = difflib.get_close_matches(str(given).lower(), known, 1)
        said = f"'{given}' is not known; known: {', '.join(known)}"
        return f"{said}; did you mean '{near[0]}'?" if near else said
    if error["type"] == "missing":
        return f"the key '{error['loc'][-1]}' is missing"
    if error["type"] in ("greater_than", "greater_than_equal") and isinstance(given, int | float):
        bound = error["ctx"].get("gt", error["ctx"].get("ge"))
        return f"{given} is too small: a number {'above' if 'gt' in error['ctx'] else 'of at least'} {bound} is needed"
    message = WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] == "bool_type" and str(given).lower() in ("yes", "no", "on", "off"):
        message += f": YAML reads {given} as text"
    return f"{message[:1].lower()}{message[1:]}"
