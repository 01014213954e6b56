"""The settings of a lift: limits on attention, and names of ports."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass


@dataclass(frozen=True)
class AttentionLimit:
    """A limit on an attention.

    Args:
        left: the number of frames before its own that a query may see, at the rate of the layer; None for the model's
            own limit.
        right: the number of frames after its own that a query may see; None for the model's own limit.
        max_frames: the input frames of the longest stream. If the past is unlimited, all of it is cached up to that
            length.
    """

    left: int | None = None
    right: int | None = None
    max_frames: int | None = None


@dataclass(frozen=True)
class LiftOptions:
    """The settings of a lift.

    Args:
        limits: pairs of a shell pattern and a limit. The first pattern that matches the attention's node decides.
        survey: whether to find all attention without a limit, by assuming that its queries see only their own frame.
        ports: a template for the names of state ports, with {node}, {kind}, {layer} (the first number in the node's
            name) and {number} (of the state).
        grid: the number of input frames of which a call may take any multiple; None if all calls take the same chunk.
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
