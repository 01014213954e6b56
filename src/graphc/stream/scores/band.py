"""Which keys a query sees, read from the entries of a score matrix that are zero for any data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from graphc.errors import TooShortError
from graphc.ir.graph import label, name_of
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Span, Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.node_facts import Facts

ROWS_TO_TELL = 3
UNLIMITED = (
    "limit it in the model, or set `lift_state: {attention: {left: N, right: N}}` to limit it in the compiled model "
    "and in its reference"
)
ALL_PAST = "set `lift_state: {attention: {max_frames: N}}` to keep all the past of streams of up to N frames"


@dataclass(frozen=True)
class Band:
    """How many frames before and after its own a query sees, indexed by query position modulo the period.

    A number is negative if the query does not see its own frame.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]

    @property
    def period(self) -> int:
        return len(self.left)


def reached(
    facts: Facts, zero: Sequence[Array], sizes: Sequence[tuple[int, int]], query: Stream
) -> tuple[Band, int | None]:
    """The band of an attention under the user's settings, and the longest stream for which it holds (None: any length).

    Errors:
        StreamError: no mask limits the context.
        TooShortError: the lengths evaluated do not show a limit.
    """
    limit = facts.settings.limit(name_of(facts.node)).max_frames
    try:
        return band_of(facts, zero, sizes), None
    except TooShortError:
        if facts.settings.survey:
            return Band((0,), (0,)), None
        if limit is None or max(facts.lengths) < limit:
            raise
        bounded = [z | later(size, query.length(limit)) for z, size in zip(zero, sizes, strict=True)]
        return band_of(facts, bounded, sizes), limit


def later(size: tuple[int, int], frames: int) -> Array:
    """A mask [queries, keys] of the keys that lie at least ``frames`` frames before the query.

    A stream of up to ``frames`` frames has no such keys.
    """
    place: Array = np.arange(size[0])[:, None] - np.arange(size[1])[None, :] >= frames
    return place


def band_of(facts: Facts, zero: Sequence[Array], sizes: Sequence[tuple[int, int]]) -> Band:
    """The smallest band, repeating along the diagonal, that contains every entry that may be nonzero.

    Args:
        zero: the entries that are zero for any data, as [queries or 1, keys or 1], for each length.
        sizes: the number of queries and of keys, for each length.

    Errors:
        StreamError: no mask limits the context.
        TooShortError: the lengths evaluated do not show a limit.
    """
    bare = all(z.shape[1] == 1 for z in zero)
    if bare and not facts.settings.survey:
        facts.refuse("attends to all frames of the stream, past and future: no mask limits it", UNLIMITED)
    seen = [extents(z, size) for z, size in zip(zero, sizes, strict=True)]
    longest = max(range(len(sizes)), key=lambda i: sizes[i][0])
    rows = sizes[longest][0]
    blind = "past and future"
    for period in range(1, max(2, rows // ROWS_TO_TELL)):
        left, right = (fitted(side, period, seen, longest) for side in ("left", "right"))
        if left is None or right is None:
            continue
        if None not in left and None not in right:
            return Band(tuple(v for v in left if v is not None), tuple(v for v in right if v is not None))
        blind = " and ".join(name for name, found in (("past", left), ("future", right)) if None in found)
        break
    raise TooShortError(
        f"attends to all {blind} frames: no limit shows in {rows} frames",
        max(sizes[longest]),
        label(facts.node),
        way_out(facts, blind),
    )


def way_out(facts: Facts, blind: str) -> str:
    """The hint for an attention that sees all frames on the side ``blind``; only softmax weights can be limited."""
    limited = any(isinstance(f, ScoreMatrix) and f.sites for f in facts.inputs)
    if blind != "past":
        return UNLIMITED
    return f"{UNLIMITED}; or {ALL_PAST}" if limited else f"limit it in the model, or {ALL_PAST}"


@dataclass(frozen=True)
class Extents:
    """For each query, how many frames it sees on each side, and how many frames the table has on that side (``room``).

    The number of frames that a query sees is negative if the query does not see its own frame.
    """

    left: Array
    right: Array
    left_room: Array
    right_room: Array


def extents(zero: Array, size: tuple[int, int]) -> Extents:
    on = np.broadcast_to(~zero, size)
    queries, keys = size
    place = np.arange(queries)
    some = on.any(axis=1)
    first = np.where(some, on.argmax(axis=1), place + 1)
    last = np.where(some, keys - 1 - on[:, ::-1].argmax(axis=1), place - 1)
    return Extents(place - first, last - place, place, keys - 1 - place)


def fitted(side: str, period: int, seen: Sequence[Extents], longest: int) -> list[int | None] | None:
    """For each phase of a period, how many frames its queries see on one side; None if the period does not fit.

    A phase is None if too few rows show its number. Rows with enough room see exactly that many frames. Rows near an
    end of the table see at most that many.

    Args:
        side: "left" or "right".
        longest: the index in ``seen`` of the largest table.
    """
    sides = [(getattr(table, side), getattr(table, f"{side}_room")) for table in seen]
    most, room = sides[longest]
    limits = np.array([most[phase::period].max() for phase in range(period)])
    for values, space in sides:
        limit = limits[np.arange(len(values)) % period]
        if not np.where(space >= limit, values == limit, values <= limit).all():
            return None
    shown = [int((room[phase::period] >= limits[phase]).sum()) for phase in range(period)]
    return [int(limit) if count >= ROWS_TO_TELL else None for limit, count in zip(limits, shown, strict=True)]


@dataclass(frozen=True)
class Placed:
    """Where a call reads queries and keys: the keys' delay, and the spans of both."""

    key_delay: int
    queries: Span
    keys: Span

    @property
    def delay(self) -> int:
        """The delay of the queries."""
        return self.queries.offset


def placed(facts: Facts, band: Band, query: Stream, key: Stream, infinite: bool) -> Placed:
    """Where a call reads queries and keys, at the smallest query delay at which all keys that queries see have arrived.

    Args:
        infinite: whether keys that do not exist may be infinite or NaN. Keys past the end must then be masked, even if
            no query sees them.

    Errors:
        ChunkMisfitError: the chunk is not a multiple of the band's period.
    """
    c = facts.frames(query)
    if c % band.period:
        facts.misfit(
            band.period,
            query,
            f"its attention mask has blocks of {band.period} frames, but a chunk has {c} frames here",
        )
    ends = infinite or max(band.right) > 0 or any(query.length(n) > key.length(n) for n in facts.lengths)
    key_delay = max(key.delay, key.length.lag(facts.grid) if ends else 0, 0)
    delay = max(query.delay, 0)
    while True:
        phases = [(i - delay) % band.period for i in range(c)]
        last = max(i + band.right[p] for i, p in enumerate(phases))
        if last - delay <= c - 1 - key_delay:
            break
        delay += 1
    offset = delay + max(band.left[p] - i for i, p in enumerate(phases))
    count = last - delay + 1 + offset
    return Placed(key_delay, Span(delay, 0), Span(offset, count - c, ends))
