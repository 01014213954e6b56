"""Checks that the rewrites of normalisations over the last axis share."""

from __future__ import annotations

import numpy as np

from graphc.api import Match, value_of


def is_of_last(shape: tuple[int, ...], width: object, rank: int) -> bool:
    """Whether a constant of this shape, broadcast to ``rank`` axes, has ``width`` entries on the last axis only."""
    return 0 < len(shape) <= rank and shape[-1] == width and all(d == 1 for d in shape[:-1])


def means_over_last(found: Match, rank: int) -> bool:
    """Whether every ReduceMean of a match works along the last axis only, and keeps that axis."""
    for node in found.nodes:
        if node.op != "ReduceMean":
            continue
        axes = node.attrs.get("axes") if len(node.inputs) < 2 else value_of(node.inputs[1])
        if axes is None or [int(a) % rank for a in np.ravel(axes)] != [rank - 1] or not node.attrs.get("keepdims", 1):
            return False
    return True
