"""Constant tables of which longer streams read more rows: rows that are not as those read so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.graph import Constant, Node, is_sparse
from graphc.stream.decisions import Operands, cut_of
from graphc.stream.facts import Array

STEP_DIGITS = 6


@dataclass(frozen=True)
class Read:
    """The rows of a table that a node reads at each length: from ``first`` to before ``last``, along an axis."""

    axis: int
    first: Sequence[int]
    last: Sequence[int]


def margins_of_table(node: Node, runs: Sequence[Operands]) -> Iterator[list[Array]]:
    """Margins, one for each length, of the rows from which on a table is not what it was."""
    table = table_of(node, runs)
    if table is None:
        return
    for read in reads_of(node, runs, tuple(table.shape)):
        rows = np.asarray(table.values) if isinstance(table, Constant) else table
        rows = np.moveaxis(rows, read.axis, 0)
        first, last = min(read.first), max(read.last)
        if len(set(read.last)) > 1:
            place = next_break(rows[first:], last - first)
            if place is not None:
                yield [np.asarray(float(end - first - place)) for end in read.last]
        if len(set(read.first)) > 1:
            place = next_break(rows[last - 1 :: -1], last - first)
            if place is not None:
                yield [np.asarray(float(last - start - place)) for start in read.first]


def table_of(node: Node, runs: Sequence[Operands]) -> Constant | Array | None:
    """What a node reads rows of, where that is the same at every length."""
    if node.op not in ("Slice", "Gather"):
        return None
    table = node.inputs[0]
    if isinstance(table, Constant):
        return None if is_sparse(table) else table
    values = [given.values[0] for given in runs]
    first = values[0]
    same = first is not None and all(v is not None and np.array_equal(v, first) for v in values)
    return first if same else None


def reads_of(node: Node, runs: Sequence[Operands], shape: tuple[int, ...]) -> Iterator[Read]:
    if node.op == "Gather":
        axis = int(node.attrs.get("axis", 0)) % len(shape)
        places = [given.number(1) for given in runs]
        found = [np.where(p < 0, p + shape[axis], p) for p in places if p is not None and p.size]
        if len(found) == len(runs):
            yield Read(axis, [int(p.min()) for p in found], [int(p.max()) + 1 for p in found])
        return
    cuts = [cut for given in runs if (cut := cut_of(given)) is not None]
    steps = runs[0].number(4)
    if len(cuts) < len(runs) or (steps is not None and (steps < 0).any()):
        return
    for index, axis in enumerate(cuts[0].axes):
        first = [int(np.clip(cut.first[index], 0, shape[axis])) for cut in cuts]
        last = [int(np.clip(cut.last[index], 0, shape[axis])) for cut in cuts]
        if max(last) > min(first):
            yield Read(axis, first, last)


def next_break(rows: Array, seen: int) -> int | None:
    """The first row, beyond those seen, that does not go on as the later half of these.

    None where these are not alike, follow no period and no step, or where the whole table does.
    """
    place = next_odd(rows, seen)
    if place is None and rows.dtype.kind in "iuf" and seen > 1:
        steps = np.diff(rows.astype(np.float64), axis=0)
        place = next_odd(np.round(steps, STEP_DIGITS), seen - 1, longest_period=1)
        return None if place is None else place + 1
    return place


def next_odd(rows: Array, seen: int, longest_period: int | None = None) -> int | None:
    """The first row, beyond those seen, that breaks the period of the later half of these."""
    half = seen // 2
    for period in range(1, (longest_period or half) + 1):
        if half - period < 0:
            return None
        if alike(rows[half:seen], rows[half - period : seen - period]).all():
            goes_on = alike(rows[seen:], rows[seen - period : len(rows) - period])
            return None if goes_on.all() else seen + int(np.argmin(goes_on))
    return None


def alike(rows: Array, others: Array) -> Array:
    """Which rows are equal, [rows]."""
    same: Array = rows == others
    if rows.dtype.kind == "f":
        same |= np.isnan(rows) & np.isnan(others)
    return np.asarray(same.all(axis=tuple(range(1, rows.ndim))))
