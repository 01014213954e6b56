"""Tensors whose entries were moved by Reshape, Slice or Gather, and may become a score matrix."""

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
    """The tensor from which the entries of a moved tensor come. It has a time axis and an axis of table columns.

    Args:
        time: the stream whose frames lie on the time axis.
        axis: the time axis of the source.
        wide: the axis of the source on which the table's columns lie; None if it may be any axis except time.
        shapes: the offline shape of the source, at each evaluated length.
        columns: builds the source for a span of frames, with only the requested columns on the wide axis. A column is
            requested by its index at the longest length; None requests any column. If a tensor of indices is given too,
            it selects among the requested columns.
        table: returns the values of the table at the evaluated length with a given index, as [columns, ...], or
            [time, columns, ...] if each frame has a table of its own. None if the graph computes the columns.
        made: the name of the source, in which no entry has moved yet.
        places: for the node that computes the source, the index of the input that is the table, and the table's axes of
            columns and of time (None if it has no time axis).
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
    """A tensor of moved entries, which may become a score matrix.

    Args:
        maps: the flat index of every entry in the source, at each evaluated length; -1 for padding.
        refusal: the error to raise if the tensor does not become a score matrix.
    """

    source: EntrySource
    maps: tuple[Array, ...] = field(compare=False)
    dtype: np.dtype[np.generic]
    refusal: Exception | None = field(compare=False, default=None)
