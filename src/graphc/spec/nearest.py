"""Finds the known name that an unknown name was probably meant to be."""

from __future__ import annotations

import difflib


def nearest(name: str, known: list[str]) -> str | None:
    """A hint that names the closest known name, or else lists all known names. None if ``known`` is empty."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"known: {', '.join(known)}" if known else None
