"""The settings of a lift: limits on attention, and names of ports."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionLimit:
    """A limit on an attention.

    Args:
        left: frames of the layer before a query's own that it may see; None for the model's own limit.
        right: frames after its own that it may see; None for the model's own limit.
        max_frames: input frames of the longest stream; an unlimited past is kept whole up to that length.
    """

    left: int | None = None
    right: int | None = None
    max_frames: int | None = None


@dataclass(frozen=True)
class LiftOptions:
    """The settings of a lift.

    Args:
        limits: pairs of a shell pattern and a limit. The first pattern that matches the attention's node decides.
        survey: whether to assume that attention without a limit sees only its own frame, to find all such attention.
        ports: a template for the names of state ports, with {node}, {kind}, {layer} (the first number in the node's
            name) and {number} (of the port).
        grid: calls take any multiple of this many input frames; None if all take the same chunk.
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
ONE_SIZE_HINT = "set stream.chunk to a number of frames instead of dynamic"
