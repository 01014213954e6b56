"""Measures how the channels of tensors correlate while a model streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.ir.model import Model
from graphc.measure.calibration import Runner, Streams

Array = NDArray[Any]
Progress = Callable[[int, int], None]


@dataclass
class Moments:
    """Sums over all rows of the product of each pair of channels (the last axis).

    Rows are stored until there are more rows than channels, so that short sequences take little memory.
    """

    rows: dict[str, list[Array]] = field(default_factory=dict)
    sums: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, value: Array) -> None:
        rows = np.asarray(value, np.float32).reshape(-1, value.shape[-1])
        held = self.rows.setdefault(name, [])
        held.append(rows[np.isfinite(rows).all(axis=1)])
        if sum(len(r) for r in held) > value.shape[-1]:
            self.settle(name)

    def settle(self, name: str) -> None:
        """Replaces the stored rows of a tensor by sums."""
        rows = np.concatenate(self.rows.pop(name))
        add(self.sums, name, rows.T @ rows)

    def taken(self, name: str) -> Array:
        """Returns the sums of a tensor, and removes them from this object."""
        if name in self.rows:
            self.settle(name)
        return self.sums.pop(name)


def add(sums: dict[str, Array], name: str, more: Array) -> None:
    if name in sums:
        sums[name] += more
    else:
        sums[name] = more


def second_moments(
    model: Model, names: Sequence[str], streams: Streams, progress: Progress = lambda done, total: None
) -> dict[str, Array]:
    """The second moments of tensors over all sequences, each float32 [channels, channels].

    Args:
        names: the names of the tensors. Their last axis holds the channels.

    Errors:
        ModelError: the model does not run on the sequences.
    """
    runner = Runner(model, names)
    found: dict[str, Array] = {}
    for one in streams.collect(runner, names, Moments, progress):
        for name in names:
            add(found, name, one.taken(name))
    return found
