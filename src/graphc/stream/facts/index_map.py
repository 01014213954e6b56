"""Entries in other places, on their way to a score matrix."""

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
        wide: the axis of the table; None where any other axis may be it.
        shapes: the offline shape at each length.
        columns: builds for a span of frames the columns that are asked for (as found at the longest length; None: any),
            or of those the ones whose places a tensor gives: the source's shape with these on the wide axis.
        table: the values of the table at a length, as [columns, ...], or [time, columns, ...] where each frame has its
            own; None where the graph makes the columns.
        made: the tensor that has the entries where the source has them.
        places: which input of its node is the table, and the axes of columns and of time there (None without).
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
    """Entries of a source in other places, on their way to a score matrix.

    Args:
        maps: for each length the flat index in the source of every entry; -1 for padding.
        refusal: why the tensor cannot be a stream, where it turns out to be no score matrix.
    """

    source: EntrySource
    maps: tuple[Array, ...] = field(compare=False)
    dtype: np.dtype[np.generic]
    refusal: Exception | None = field(compare=False, default=None)
