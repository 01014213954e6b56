"""The two time axes that the operands of a node share."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.stream.facts.stream import Stream


@dataclass(frozen=True)
class Frame:
    """The two time axes that a node's operands share.

    Args:
        rights: the two axes, counted from the right. The axis further left comes first.
        times: the streams on these axes.
    """

    rights: tuple[int, int]
    times: tuple[Stream, Stream]

    def side(self, from_right: int) -> int | None:
        return self.rights.index(from_right) if from_right in self.rights else None
