"""Tokens as text, and utterances that end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from graphc_runtime.pipeline.manifest import TextEntry

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Transcript:
    """What was understood so far.

    Args:
        text: of the tokens; empty where the pipeline has no table.
        tokens: of this utterance.
        seconds: from the start of the stream to its last token.
        final: whether the utterance has ended; else more may come, and another transcript with all of it.
    """

    text: str
    tokens: tuple[int, ...]
    seconds: float
    final: bool


def text_of(tokens: Sequence[int], entry: TextEntry) -> str:
    """Pieces joined to text; ``<0xNN>`` is a byte of UTF-8."""
    if entry.tokens is None:
        return ""
    pieces = [entry.tokens[t] if t < len(entry.tokens) else "" for t in tokens]
    parts = [bytes([int(m[1], 16)]) if (m := BYTE.fullmatch(p)) else p.encode() for p in pieces]
    return b"".join(parts).decode(errors="replace").replace(entry.space, " ").strip()


class Utterance:
    """The tokens of one utterance, and how long it has been silent.

    Args:
        frame_s: seconds of a frame that is decoded; 0 where nothing says it.
    """

    def __init__(self, entry: TextEntry, frame_s: float):
        self.entry, self.frame_s = entry, frame_s
        self.frames = 0
        self.begin()

    def begin(self) -> None:
        """Begins the next utterance."""
        self.tokens: list[int] = []
        self.last = self.frames
        self.told = 0

    def frame(self, tokens: Sequence[int]) -> None:
        """Takes the tokens of the next frame; none for a blank."""
        self.frames += 1
        if tokens:
            self.tokens += tokens
            self.last = self.frames

    @property
    def ended(self) -> bool:
        """Whether it has been silent for long enough behind a token."""
        silent = (self.frames - self.last) * self.frame_s
        return bool(self.tokens) and self.entry.endpoint_s is not None and silent >= self.entry.endpoint_s

    def transcript(self, final: bool) -> list[Transcript]:
        """The transcript, if it has changed."""
        if not self.tokens or (len(self.tokens) == self.told and not final):
            return []
        self.told = len(self.tokens)
        seconds = self.last * self.frame_s
        return [Transcript(text_of(self.tokens, self.entry), tuple(self.tokens), seconds, final)]
