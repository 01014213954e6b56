"""Turns tokens into text, and finds where utterances end."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from graphc_runtime.pipeline.manifest import TextEntry

BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Transcript:
    """What was recognised in an utterance so far.

    Args:
        text: the text of the tokens; empty if the pipeline has no table of tokens.
        tokens: the tokens of this utterance.
        seconds: the time from the start of the stream to the last token.
        final: whether the utterance has ended. If not, a later transcript repeats these tokens and may add more.
    """

    text: str
    tokens: tuple[int, ...]
    seconds: float
    final: bool


def text_of(tokens: Sequence[int], entry: TextEntry) -> str:
    """The joined text of tokens. A token ``<0xNN>`` is a byte of UTF-8."""
    if entry.tokens is None:
        return ""
    pieces = [entry.tokens[t] if t < len(entry.tokens) else "" for t in tokens]
    parts = [bytes([int(m[1], 16)]) if (m := BYTE.fullmatch(p)) else p.encode() for p in pieces]
    return b"".join(parts).decode(errors="replace").replace(entry.space, " ").strip()


class Utterance:
    """The tokens of one utterance, and the time since the last token.

    Args:
        frame_s: the duration of a decoded frame in seconds; 0 if it is not known.
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
        """Adds the tokens of the next frame. A blank frame has none."""
        self.frames += 1
        if tokens:
            self.tokens += tokens
            self.last = self.frames

    @property
    def ended(self) -> bool:
        """Whether there was a token, and then silence for ``endpoint_s`` seconds."""
        silent = (self.frames - self.last) * self.frame_s
        return bool(self.tokens) and self.entry.endpoint_s is not None and silent >= self.entry.endpoint_s

    def transcript(self, final: bool) -> list[Transcript]:
        """A list with the transcript if it is final, or has new tokens since the last one; otherwise an empty list."""
        if not self.tokens or (len(self.tokens) == self.told and not final):
            return []
        self.told = len(self.tokens)
        seconds = self.last * self.frame_s
        return [Transcript(text_of(self.tokens, self.entry), tuple(self.tokens), seconds, final)]
