"""Wording for messages."""

from __future__ import annotations


def counted(count: int, what: str) -> str:
    """A number with its noun: ``1 frame``, ``2 frames``."""
    return f"{count} {what}" + "s" * (count != 1)
