"""The two time axes that the operands of a node share."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.stream.facts.stream import Stream


@dataclass(frozen=True)
class Frame:
    """The two time axes that a node's operands share, counted from the right, the one further left first."""

    rights: tuple[int, int]
    times: tuple[Stream, Stream]

    def side(self, from_right: int) -> int | None:
        return self.rights.index(from_right) if from_right in self.rights else None
