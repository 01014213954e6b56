"""The settings of a lift: limits on attention, and names of ports."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionLimit:
    """A limit on an attention.

    Args:
        left: frames of the layer before a query's own that it may see; None for the model's own limit.
        right: frames after it; None likewise.
        max_frames: input frames of the longest stream, for which an unlimited past is kept whole.
    """

    left: int | None = None
    right: int | None = None
    max_frames: int | None = None


@dataclass(frozen=True)
class LiftOptions:
    """The settings of a lift.

    Args:
        limits: (pattern, limit) in order; the first whose pattern fits the attention's node, as a shell pattern, holds.
        survey: assumes that attention sees its own frame only where nothing limits it, to find every such place.
        ports: a template for the names of state ports, of {node}, {kind}, {layer} (the first number in the node's name)
            and {number} (of the port).
        grid: calls take any multiple of so many input frames; None where all take the same chunk.
    """

    limits: tuple[tuple[str, AttentionLimit], ...] = ()
    survey: bool = False
    grid: int | None = None
    ports: str = "{node}_{kind}"

    def limit(self, node: str) -> AttentionLimit:
        return next((limit for pattern, limit in self.limits if fnmatch.fnmatchcase(node, pattern)), AttentionLimit())

    @property
    def max_frames(self) -> int | None:
        return max((limit.max_frames for _, limit in self.limits if limit.max_frames), default=None)


DEFAULT = LiftOptions()
ONE_SIZE_HINT = "give the frames of one call instead of chunk: dynamic"
