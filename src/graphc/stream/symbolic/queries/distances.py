"""Claims about entries that were moved to a score matrix: each depends only on the distance between its two times."""

from __future__ import annotations

from dataclasses import dataclass

from graphc.stream.symbolic.domain.moves import pulled
from graphc.stream.symbolic.domain.space import (
    Expr,
    Region,
    box,
    index,
    indicator,
    lengths,
    nowhere,
    substituted,
)
from graphc.stream.symbolic.domain.tensor import Applied, Formula, Leaf, Number, Piece, Read, merged
from graphc.stream.symbolic.queries.continuing import Lengths, same_along, same_at_next, shifts_along
from graphc.stream.symbolic.queries.differ import Difference


@dataclass(frozen=True, eq=False)
class Columns:
    """The table whose columns lie on the source's wide axis.

    Args:
        column: the table's axis of columns.
        time: the table's axis of time, if each frame has a table of its own; otherwise None.
    """

    table: Formula
    column: int
    time: int | None


def read_in(leaf: Leaf) -> Read | None:
    """The read that a leaf is made from; None unless there is exactly one read."""
    if isinstance(leaf, Read):
        return leaf
    if isinstance(leaf, Applied):
        found = [read for operand in leaf.operands if (read := read_in(operand)) is not None]
        return found[0] if len(found) == 1 else None
    return None


@dataclass(frozen=True)
class ByDistance:
    """Entries read from the frame of their own time are the same at the same distance.

    Args:
        axes: the axis of a frame's own time, and the axis of the other time.
        time, wide: the axes of time and of columns in the source.
    """

    axes: tuple[int, int]
    time: int
    wide: int
    columns: Columns | None

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        reads = own_reads(x, self.axes[0], self.time)
        if self.columns is None:
            found = self.stays(x, known, [Piece(where, Number(read.places[self.wide])) for where, read in reads])
        else:
            found = self.looked_up(x, known, reads, self.columns)
        count = len(reads[0][1].places) if reads else 0
        for axis in range(count):
            if axis not in (self.time, self.wide):
                found = found | self.stays(x, known, [Piece(where, Number(read.places[axis])) for where, read in reads])
        return found

    def stays(self, x: Formula, known: Lengths, pieces: list[Piece], more: tuple[Expr, ...] = ()) -> Difference:
        """The lengths at which entries at the same distance differ, or change at the next length."""
        picked = Formula((*x.sizes, *more), x.dtype, merged(pieces))
        return same_along(picked, dict.fromkeys(self.axes, 1)) | same_at_next(picked, known, self.axes)

    def looked_up(self, x: Formula, known: Lengths, reads: list[tuple[Region, Read]], columns: Columns) -> Difference:
        """What ``stays`` gives for the table's columns that the entries read, over the table's other axes too."""
        table = columns.table
        rest = [a for a in range(table.rank) if a not in (columns.column, columns.time)]
        rank = x.rank + len(rest)
        beside = [index(a, rank) for a in range(x.rank)]
        pieces: list[Piece] = []
        for where, read in reads:
            place_of = {a: index(x.rank + k, rank) for k, a in enumerate(rest)}
            place_of[columns.column] = substituted(read.places[self.wide], beside, rank)
            if columns.time is not None:
                place_of[columns.time] = index(self.axes[0], rank)
            within = substituted(where, beside, rank) & lengths(rank)
            pieces += pulled(table, [place_of[a] for a in range(table.rank)], rank, within)
        return self.stays(x, known, pieces, tuple(table.sizes[a] for a in rest))


def own_reads(x: Formula, axis: int, time: int) -> list[tuple[Region, Read]]:
    """The regions in which entries are read from the frame of their own time, each with its read."""
    found = []
    for piece in x.pieces:
        read = read_in(piece.leaf)
        if read is not None:
            where = piece.where & read.places[time].eq_set(index(axis, x.rank))
            if not where.is_empty():
                found.append((where, read))
    return found


@dataclass(frozen=True)
class OwnTime:
    """The set of entries read from the frame of their own time shifts along the diagonal, and is constant far from it.

    Args:
        axes, time: as in ``ByDistance``.
        period: the number of frames after which the set repeats along the diagonal.
        reach: the distance beyond which the set no longer changes.
    """

    axes: tuple[int, int]
    time: int
    period: int
    reach: int

    def __call__(self, x: Formula, known: Lengths) -> Difference:
        own = nowhere(x.rank)
        for where, _ in own_reads(x, self.axes[0], self.time):
            own = own | where
        everywhere = box(x.sizes)
        mask = Formula(x.sizes, x.dtype, (Piece(everywhere, Number(indicator(own, everywhere, x.rank))),))
        return shifts_along(mask, self.axes, self.period, self.reach, known)
