"""Makes text from untrusted files safe for a terminal: no cursor moves, no new lines, no reversed text."""

from __future__ import annotations

from typing import Any


def one_line(text: str) -> str:
    """The text with all characters that are not printable escaped: ``\\n``, ``\\x1b``, ``\\u202e``, ``\\udcff``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def printable(data: Any) -> Any:
    """The same data with every string escaped by ``one_line``."""
    if isinstance(data, str):
        return one_line(data)
    if isinstance(data, dict):
        return {key: printable(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [printable(value) for value in data]
    return data
