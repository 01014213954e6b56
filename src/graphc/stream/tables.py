"""Constant tables of which longer streams read more rows: rows that are not as those read so far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from graphc.graph import Constant, Node, constant_of
from graphc.stream.decisions import Operands
from graphc.stream.facts import Array


@dataclass(frozen=True)
class Read:
    """The rows of a table that a node reads at each length: from ``first`` to before ``last``, along an axis."""

    axis: int
    first: Sequence[int]
    last: Sequence[int]


def margins_of_table(node: Node, runs: Sequence[Operands]) -> Iterator[list[Array]]:
    """Margins, one for each length, of the rows from which on a table is not what it was."""
    table = node.inputs[0] if node.inputs else None
    if node.op not in ("Slice", "Gather") or not isinstance(table, Constant):
        return
    for read in reads_of(node, runs, tuple(table.shape)):
        rows = constant_of(table)
        if rows is None:
            return
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


def reads_of(node: Node, runs: Sequence[Operands], shape: tuple[int, ...]) -> Iterator[Read]:
    if node.op == "Gather":
        axis = int(node.attrs.get("axis", 0)) % len(shape)
        places = [given.number(1) for given in runs]
        found = [np.where(p < 0, p + shape[axis], p) for p in places if p is not None and p.size]
        if len(found) == len(runs):
            yield Read(axis, [int(p.min()) for p in found], [int(p.max()) + 1 for p in found])
        return
    starts, ends = ([v.ravel() for given in runs if (v := given.number(i)) is not None] for i in (1, 2))
    axes, steps = runs[0].number(3), runs[0].number(4)
    if not len(starts) == len(ends) == len(runs) or (steps is not None and (steps < 0).any()):
        return
    for index in range(starts[0].size):
        axis = index if axes is None else int(axes.ravel()[index]) % len(shape)
        first, last = ([place_in(v[index], shape[axis]) for v in bounds] for bounds in (starts, ends))
        if max(last) > min(first):
            yield Read(axis, first, last)


def place_in(bound: float, size: int) -> int:
    """A start or end of a Slice as a place among so many rows."""
    return int(np.clip(bound + size if bound < 0 else bound, 0, size))


def next_break(rows: Array, seen: int) -> int | None:
    """The first row, beyond those seen, that does not go on as the later half of these: the same, or again and again.

    None where these follow no period, or the whole table does.
    """
    half = seen // 2
    for period in range(1, half + 1):
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
