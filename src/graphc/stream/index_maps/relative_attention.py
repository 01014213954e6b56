"""Recognises relative attention: turns moved entries with two time axes into a score matrix by distance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.index_map import EntrySource, IndexMap
from graphc.stream.facts.scores import Law, MaskFacts, ScoreMatrix
from graphc.stream.facts.stream import Span
from graphc.stream.facts.time_constant import Array
from graphc.stream.index_maps.data_movement import content_of
from graphc.stream.index_maps.index_maps import refuse
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.call_writer import frames_in_chunk
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.scores.constant_scores import close, noise_of
from graphc.stream.scores.dynamic_masks import Spans, stretched_places
from graphc.stream.symbolic.domain.space import NoFormulaError
from graphc.stream.symbolic.queries.distances import ByDistance, Columns, OwnTime


@dataclass(frozen=True)
class EntryOrigin:
    """Where the entries of a score matrix come from, at one length. Both arrays are [source's own time, other time].

    Args:
        columns: the column of the source's table from which each entry comes.
        valid: whether each entry comes from its own frame, and from the same column in every batch and head.
    """

    columns: Array
    valid: Array


def resolved(facts: Facts, moved: IndexMap) -> ScoreMatrix:
    """The score matrix that moved entries form.

    Refuses entries that are not a function of the distance between the two times.
    """
    key = (
        "resolved",
        moved.source.shapes,
        moved.source.axis,
        moved.source.wide,
        *(content_of(m, facts.memo) for m in moved.maps),
    )
    if key not in facts.memo:
        facts.memo[key] = places_of(facts, moved)
    found = facts.memo[key]
    if found is None:
        refuse(facts, moved)
    (axis, other), wide, origins = found
    source = moved.source
    longest = max(range(len(facts.lengths)), key=lambda i: origins[i].columns.size)
    name = facts.node.inputs[next(i for i, f in enumerate(facts.inputs) if f is moved)].name
    proved, laws = laws_of(facts, name, source, (axis, other), wide)
    found_distances = (
        distances_at(source, origins[longest], longest) if proved else distances_of(facts, source, origins, longest)
    )
    if found_distances is None:
        refuse(facts, moved)
    distances = found_distances
    first, second = sorted((axis, other))
    time = source.time
    swapped = axis > other
    shapes = [m.shape for m in moved.maps]
    shape = tuple(-1 if a in (axis, other) else s for a, s in enumerate(shapes[0]))
    leads = [s for a, s in enumerate(shapes[0]) if a not in (axis, other)]

    def build(b: Builder, spans: Spans) -> Tensor:
        key = ("moved", name, spans)
        if key not in b.memo:
            own, across = (spans[1], spans[0]) if swapped else spans
            b.memo[key] = shifted(b, source, wide, distances, own, across, leads, (axis, other), len(shape))
        found: Tensor = b.memo[key]
        return found

    displaced = tuple(~(o.valid.T if swapped else o.valid) for o in origins)
    free = MaskFacts.free(len(facts.lengths))
    return ScoreMatrix(
        (first, second), (time, time.at(0)), shape, moved.dtype, build, replace(free, displaced=displaced), laws=laws
    )


def laws_of(
    facts: Facts, name: str, source: EntrySource, axes: tuple[int, int], wide: int
) -> tuple[bool, tuple[Law, ...]]:
    """Makes two claims about every length: distance decides each entry, and positions of displaced entries shift along.

    Returns whether the first claim is proved at the evaluated lengths, and a law that makes the second claim later.
    """
    proof = facts.proof
    if proof is None:
        return False, ()
    proved = False
    try:
        table = None
        if source.places is not None:
            node = proof.formulas.made_by[source.made]
            table = Columns(proof.formulas.of(node.inputs[source.places[0]]), *source.places[1:])
        proved = proof.claim(name, ByDistance(axes, source.axis, wide, table))
    except NoFormulaError as err:
        proof.doubt(name, str(err))

    def claim(period: int, masks: int) -> None:
        proof.claim(name, OwnTime(axes, source.axis, period, masks))

    return proved, (claim,)


def settled_inputs(facts: Facts) -> Facts:
    """The facts of a node, with every input of moved entries replaced by the score matrix that they form."""
    return replace(facts, inputs=tuple(resolved(facts, f) if isinstance(f, IndexMap) else f for f in facts.inputs))


def places_of(facts: Facts, moved: IndexMap) -> tuple[tuple[int, int], int, list[EntryOrigin]] | None:
    """Finds the time axes, the column axis and the origins of moved entries; None if they do not form a score matrix.

    Returns the two time axes (the source's own first), the column axis of the source, and one ``EntryOrigin`` for each
    evaluated length.
    """
    source = moved.source
    rank = moved.maps[0].ndim
    best: tuple[int, tuple[int, int], int, list[EntryOrigin]] | None = None
    wides = [source.wide] if source.wide is not None else [a for a in range(len(source.shapes[0])) if a != source.axis]
    several = len(facts.lengths) > 1
    for axis in range(rank):
        for other in range(rank):
            if axis == other or not all(
                m.shape[a] == source.time.length(n)
                for a in (axis, other)
                for n, m in zip(facts.lengths, moved.maps, strict=True)
            ):
                continue
            for wide in wides:
                origins = [
                    origin_of(source, s, m, axis, other, wide) for s, m in zip(source.shapes, moved.maps, strict=True)
                ]
                if any(o is None for o in origins):
                    continue
                found = [o for o in origins if o is not None]
                score = sum(int(o.valid.sum()) for o in found)
                if best is None or score > best[0]:
                    best = score, (axis, other), wide, found
    if best is None or (several and not all(o.valid.any() for o in best[3])):
        return None
    return best[1:]


def origin_of(
    source: EntrySource, shape: tuple[int, ...], entries: Array, axis: int, other: int, wide: int
) -> EntryOrigin | None:
    """The origins of moved entries at one length; None if their batches and heads are not as many as in the source.

    Args:
        shape: the shape of the source.
        entries: the flat index of each entry in the source.
        axis: the axis of the source's own time in ``entries``.
        other: the other time axis in ``entries``.
        wide: the column axis of the source.
    """
    last = np.moveaxis(entries, (axis, other), (-2, -1))
    flat = last.reshape(-1, *last.shape[-2:])
    inside = flat >= 0
    coordinates = np.unravel_index(np.where(inside, flat, 0), shape)
    leads = [a for a in range(len(shape)) if a not in (source.axis, wide)]
    if len(flat) != math.prod(shape[a] for a in leads):
        return None
    lead = np.zeros_like(flat)
    for a in leads:
        lead = lead * shape[a] + coordinates[a]
    own = coordinates[source.axis] == np.arange(flat.shape[1])[:, None]
    valid = inside & own & (lead == np.arange(len(flat))[:, None, None])
    columns = coordinates[wide]
    same = valid & (columns == columns[:1])
    return EntryOrigin(columns[0], same.all(axis=0))


def distances_at(source: EntrySource, origin: EntryOrigin, index: int) -> dict[int, Any]:
    """The result of ``distances_of``, read from one length only.

    The result is right only if entries at equal distances are proved to be equal.
    """
    table = source.table(index) if source.table is not None else None
    own_time = table is not None and own_times(source, table, index)
    rows, others = np.nonzero(origin.valid)
    distances, firsts = np.unique(others - rows, return_index=True)
    columns = origin.columns[rows[firsts], others[firsts]].tolist()
    places = zip(rows[firsts].tolist(), columns, strict=True) if own_time else columns
    return dict(zip(distances.tolist(), places, strict=True))


def distances_of(
    facts: Facts, source: EntrySource, origins: Sequence[EntryOrigin], longest: int
) -> dict[int, Any] | None:
    """For each distance (other time - own time), what to request from ``EntrySource.columns``.

    This is a column at the longest length, or a frame and a column if each frame has a table of its own. The result is
    None if entries at the same distance differ, at one length or between lengths.
    """
    found: dict[int, Any] = {}
    values: dict[int, Array] = {}
    for index in sorted(range(len(origins)), key=lambda i: i != longest):
        origin = origins[index]
        table = source.table(index) if source.table is not None else None
        noise = noise_of(table) if table is not None else 0.0
        own_time = table is not None and own_times(source, table, index)
        rows, columns = origin.valid.shape
        for distance in range(1 - rows, columns):
            place = np.arange(max(0, -distance), min(rows, columns - distance))
            place = place[origin.valid[place, place + distance]]
            if not place.size:
                continue
            picked = origin.columns[place, place + distance]
            if table is not None and own_time:
                held = table[place, picked]
                if not close(held, np.broadcast_to(held[:1], held.shape), noise):
                    return None
            elif (picked != picked[0]).any():
                return None
            if table is None:
                if found.setdefault(distance, int(picked[0])) != int(picked[0]):
                    return None
                continue
            value = table[place[0], picked[0]] if own_time else table[picked[0]]
            if distance in values:
                if not close(values[distance], value, noise):
                    return None
            else:
                values[distance] = value
                found[distance] = (int(place[0]), int(picked[0])) if own_time else int(picked[0])
    return found


def own_times(source: EntrySource, table: Array, index: int) -> bool:
    """Whether each frame of the source has a table of its own."""
    shape = source.shapes[index]
    assert source.wide is not None
    return table.shape[:2] == (shape[source.axis], shape[source.wide]) and table.ndim > 2


def shifted(
    b: Builder,
    source: EntrySource,
    wide: int,
    distances: dict[int, Any],
    own: Span,
    across: Span,
    leads: Sequence[int],
    axes: tuple[int, int],
    rank: int,
) -> Tensor:
    """Builds the score matrix of one call, in which each row starts one distance before the row above.

    With rows of ``n`` distances, entry (i, j) is column ``j - i + rows - 1``. In the flattened table, this is index
    ``i * (n - 1) + j + rows - 1``, so a Reshape to rows of n - 1 entries aligns the entries.
    """
    c, smallest = b.frames(source.time), frames_in_chunk(b.grid or b.chunk, source.time)
    rows, width = c + own.extra, c + across.extra
    spare = 0 if b.grid is None else 1
    lowest = own.offset - across.offset - (smallest + own.extra - 1)
    picked = [distances.get(lowest + k) for k in range(2 * smallest + own.extra + across.extra - 1)]
    places = None if b.grid is None else stretched_places(b, len(picked), smallest, rows + width)
    columns = source.columns(b, own, wide, picked, places)
    source_rank = len(source.shapes[0])
    others = [a for a in range(source_rank) if a not in (source.axis, wide)]
    order = [*others, source.axis, wide]
    if order != list(range(source_rank)):
        columns = b.one("Transpose", columns, perm=order, hint="distances_last")
    count = rows + width - 1 + spare
    if rows > 1 or spare:
        flat = b.one("Reshape", columns, b.constant([*leads, rows * count]), hint="flat")
        kept = b.slice(flat, len(leads), rows - 1, rows - 1 + rows * (count - 1), hint="shifted")
        table = b.one("Reshape", kept, b.constant([*leads, rows, count - 1]), hint="rows")
        if count - 1 > width or spare:
            table = b.slice(table, len(leads) + 1, 0, width, hint="window")
    else:
        table = b.one("Reshape", columns, b.constant([*leads, rows, width]), hint="rows")
    free = iter(range(len(leads)))
    order = [len(leads) if a == axes[0] else len(leads) + 1 if a == axes[1] else next(free) for a in range(rank)]
    if order != list(range(rank)):
        table = b.one("Transpose", table, perm=order, hint="in_place")
    return table
