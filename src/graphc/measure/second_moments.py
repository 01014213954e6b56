"""How the channels of tensors correlate while a model streams."""

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
    """Sums of the products of each two channels, the last axis, over all rows.

    Rows are held as they came until they are more than the channels, so that short sequences take little memory.
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
        """Turns the rows of a tensor into sums."""
        rows = np.concatenate(self.rows.pop(name))
        add(self.sums, name, rows.T @ rows)

    def taken(self, name: str) -> Array:
        """The sums of a tensor, which are then released."""
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
    """The second moments of tensors over all sequences, [channels, channels] float32 each.

    Args:
        names: of tensors whose last axis holds the channels.

    Errors:
        ModelError: the model does not run on the sequences.
    """
    runner = Runner(model, names)
    found: dict[str, Array] = {}
    for one in streams.collect(runner, names, Moments, progress):
        for name in names:
            add(found, name, one.taken(name))
    return found
