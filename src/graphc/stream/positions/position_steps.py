"""The nodes that compute a constant from the clock in every call, and what they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.frame_by_frame import with_clamped_indices
from graphc.stream.lowering.lowering import Lowering


@dataclass(frozen=True)
class Clamped:
    """Indices that are clamped to the ends of a table, as frames that do not exist may lie beyond them.

    Args:
        rows: the number of entries of the table.
        dtype: the dtype of the indices.
    """

    rows: int
    dtype: np.dtype[Any]


@dataclass(frozen=True)
class Position:
    """One node of the offline graph that computes a position constant, as a node on streams.

    Args:
        step: the lowering of the node; None if the node's own rule gives it.
        values: the values of the time-only tensors, at the evaluated lengths.
        clamped: how the node's own lowering clamps its indices; None if it does not.
    """

    node: Node
    step: Lowering | None
    inputs: list[Tensor]
    facts: list[Fact | None]
    outputs: list[Tensor]
    values: Mapping[str, TimeConstant]
    clamped: Clamped | None = None

    def clamps(self, step: Lowering) -> Lowering:
        """The node's own lowering, with its indices clamped if they have to be."""
        if self.clamped is None:
            return step
        rows, dtype = self.clamped.rows, self.clamped.dtype
        return replace(step, emit=with_clamped_indices(step.emit, -rows, rows - 1, dtype))


@dataclass
class Made:
    """A constant as a stream.

    Args:
        name: the name of the stream.
        steps: the nodes that compute the stream, in order.
        bounds: pairs of a length and the largest number of frames of that length for which a table has entries.
    """

    name: str
    steps: list[Position] = field(default_factory=list)
    bounds: list[tuple[Length, int]] = field(default_factory=list)
