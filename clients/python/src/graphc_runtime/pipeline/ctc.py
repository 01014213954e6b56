"""Greedy decoding of frames with a score for each token (connectionist temporal classification)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc_runtime.pipeline.manifest import CtcEntry


class GreedyCtc:
    """Takes the likeliest token of each frame, and leaves out repetitions and blanks (Graves et al., 2006).

    Args:
        entry: which token is the blank.
    """

    def __init__(self, entry: CtcEntry):
        self.entry = entry
        self.begin()

    def begin(self) -> None:
        """Begins another utterance."""
        self.before = self.entry.blank

    def tokens(self, frame: NDArray[Any]) -> list[int]:
        """The tokens of the next frame: one, or none."""
        token = int(np.argmax(frame))
        new = token not in (self.entry.blank, self.before)
        self.before = token
        return [token] if new else []
