"""Tensors whose entries were moved, and may become a score matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.stream.facts.stream import Span, Stream
from graphc.stream.facts.time_constant import Array

Shapes = Mapping[str, tuple[tuple[int, ...], ...]]


@dataclass(frozen=True)
class EntrySource:
    """Where the entries of a moved tensor come from: a tensor over one time and a table of places.

    Args:
        time: the stream of its time.
        axis: its time axis.
        wide: the axis of the table's columns; None if it may be any axis except time.
        shapes: the offline shape at each length.
        columns: builds the requested columns for a span of frames: the source's shape, with these on the wide axis.
            Columns are named as found at the longest length; None stands for any column. If a tensor of places is
            given too, it selects among the requested columns.
        table: the values of the table at a length, as [columns, ...], or [time, columns, ...] if each frame has its
            own; None if the graph makes the columns.
        made: the name of the source tensor, in which no entry has moved yet.
        places: which input of the source's node is the table, and its axes of columns and of time (None if it has no
            time axis).
    """

    time: Stream
    axis: int
    wide: int | None
    shapes: tuple[tuple[int, ...], ...]
    columns: Callable[[Any, Span, int, Sequence[Any], Any], Any] = field(compare=False)
    table: Callable[[int], Array] | None = field(compare=False, default=None)
    made: str = ""
    places: tuple[int, int, int | None] | None = None


@dataclass(frozen=True)
class IndexMap:
    """Entries of a source that were moved, and may become a score matrix.

    Args:
        maps: for each length, the flat index in the source of every entry; -1 for padding.
        refusal: the error to raise if the tensor does not become a score matrix.
    """

    source: EntrySource
    maps: tuple[Array, ...] = field(compare=False)
    dtype: np.dtype[np.generic]
    refusal: Exception | None = field(compare=False, default=None)
