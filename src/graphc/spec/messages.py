"""Rewords pydantic's errors for the author of a spec."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

WORDS = {
    "model_type": "expected a mapping of options",
    "model_attributes_type": "expected a mapping of options",
    "dict_type": "expected a mapping",
    "list_type": "expected a list, as in [a, b]",
    "tuple_type": "expected a list, as in [a, b]",
    "bool_type": "expected true or false",
    "string_type": "expected text",
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "float_type": "expected a number",
    "finite_number": "expected a finite number",
}


def first_error(errors: Sequence[Any]) -> Any:
    """The error to report. An unknown key comes before a missing key, because it may be a misspelling of that key."""
    return sorted(errors, key=lambda e: (e["type"] == "missing", e["type"] != "extra_forbidden"))[0]


def plain_words(error: Any) -> str:
    """A pydantic error in plain words, as a clause of a message."""
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
        return f"{given} is too small: expected a number {'above' if 'gt' in error['ctx'] else 'of at least'} {bound}"
    message = WORDS.get(error["type"], error["msg"].removeprefix("Value error, "))
    if error["type"] == "bool_type" and str(given).lower() in ("yes", "no", "on", "off"):
        message += f": YAML reads {given} as text"
    return f"{message[:1].lower()}{message[1:]}"
