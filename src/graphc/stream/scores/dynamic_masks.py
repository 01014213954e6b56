"""Score matrices for calls whose size is any multiple of the smallest chunk, made from the table of the smallest call.

A block is one smallest chunk of queries. Queries of block ``b`` see the keys that the table of the smallest call shows,
``b`` chunks further on. All other keys are outside the band: ``beyond_window`` marks them, and the values of tables
there do not matter.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from graphc.ir.graph import Tensor
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Span, Stream
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.call_writer import frames_in_chunk
from graphc.stream.lowering.options import ONE_SIZE_HINT
from graphc_runtime.errors import StreamError

Spans = tuple[Span, Span]


def rectangle(b: Builder, value: Array, frame: Frame, spans: Spans, name: str) -> Tensor:
    """A constant score matrix for one call, made from ``value``, the matrix of the smallest call."""
    if b.grid is None:
        return b.constant(value, name)
    axes = [value.ndim - r for r in frame.rights]
    places = places_in_smallest(b, frame, spans)
    last = np.moveaxis(value, axes, (-2, -1))
    flat = b.constant(np.ascontiguousarray(last).reshape(*last.shape[:-2], -1), name)
    table: Tensor = b.one("Gather", flat, places, axis=last.ndim - 2, hint="stretched")
    if axes != [value.ndim - 2, value.ndim - 1]:
        order = [*(a for a in range(value.ndim) if a not in axes), *axes]
        table = b.one("Transpose", table, perm=[order.index(a) for a in range(value.ndim)], hint="stretched")
    return table


def beyond_window(b: Builder, table: ScoreMatrix, key: int, spans: Spans) -> Tensor | None:
    """A mask of the entries outside the band, aligned with the call's table; None if all calls have the same size."""
    if b.grid is None:
        return None
    frame = Frame(table.from_right, table.times)
    side = 1 - key

    def make() -> Tensor:
        width = smallest(b, frame.times[key]) + spans[key].extra
        columns = columns_in_block(b, frame, spans, side)
        early = b.one("Less", columns, b.constant([0]), hint="beyond")
        late = b.one("Less", b.constant([width - 1]), columns, hint="beyond")
        return oriented(b, b.one("Or", early, late, hint="beyond"), frame, side)

    return b.remember(("beyond", frame.rights, rates(frame), spans, side), make)


def stretched_places(b: Builder, count: int, chunk: int, wanted: int) -> Tensor:
    """For each of the ``wanted`` distances of a call, the nearest of the ``count`` distances of the smallest call."""

    def make() -> Tensor:
        more = b.one("Sub", b.multiples, b.constant([1]), hint="blocks")
        start = b.one("Mul", more, b.constant([chunk]), hint="shift")
        steps = b.one("Sub", b.constant(np.arange(wanted)), start, hint="distance")
        return b.clipped(steps, 0, count - 1)

    return b.remember(("stretched", count, chunk, wanted), make)


def smallest(b: Builder, time: Stream) -> int:
    assert b.grid is not None
    return frames_in_chunk(b.grid, time)


def rates(frame: Frame) -> tuple[object, ...]:
    return frame.times[0].rate, frame.times[1].rate


def query_side(b: Builder, frame: Frame, spans: Spans) -> int:
    """The index in ``frame.times`` of the queries' time: the time whose span is exactly the chunk.

    Errors:
        StreamError: neither span is the chunk, or the two times have different rates.
    """
    if frame.times[0].rate != frame.times[1].rate or all(s.extra for s in spans):
        refuse(b)
    return 0 if spans[0].extra == 0 else 1


def refuse(b: Builder) -> NoReturn:
    raise StreamError(
        "its score matrix does not have one query for each frame of a call, as chunk: dynamic requires",
        node=b.node,
        hint=ONE_SIZE_HINT,
    )


def block_starts(b: Builder, frame: Frame, side: int) -> Tensor:
    """For each query of the call, the index of the first query of its block, int64 [queries, 1]."""

    def make() -> Tensor:
        chunk = smallest(b, frame.times[side])
        rows = b.constant(np.arange(b.frames(frame.times[side]), dtype=np.int64).reshape(-1, 1), "rows")
        number = b.one("Div", rows, b.constant([chunk]), hint="block")
        return b.one("Mul", number, b.constant([chunk]), hint="block")

    return b.remember(("block_starts", frame.times[side].rate), make)


def columns_in_block(b: Builder, frame: Frame, spans: Spans, side: int) -> Tensor:
    """Each key's index in the key window of each query's block, int64 [queries, keys]; out of range if outside it."""

    def make() -> Tensor:
        count = b.frames(frame.times[1 - side]) + spans[1 - side].extra
        columns = b.constant(np.arange(count, dtype=np.int64), "columns")
        return b.one("Sub", columns, block_starts(b, frame, side), hint="column")

    return b.remember(("columns_in_block", rates(frame), spans[1 - side].extra), make)


def oriented(b: Builder, table: Tensor, frame: Frame, side: int) -> Tensor:
    """The table [queries, keys] with its axes in the order of ``frame``: [first time, 1, ..., second time, 1, ...]."""
    if side == 1:
        table = b.one("Transpose", table, perm=[1, 0], hint="turned")
    first, second = frame.rights
    between = first - second - 1
    ones = [*range(1, 1 + between), *range(2 + between, first)]
    return b.one("Unsqueeze", table, b.constant(ones), hint="aligned") if ones else table


def places_in_smallest(b: Builder, frame: Frame, spans: Spans) -> Tensor:
    """For each entry of a call's table, its index in the flat table of the smallest call, int64 [first, second]."""
    side = query_side(b, frame, spans)

    def make() -> Tensor:
        width = smallest(b, frame.times[1 - side]) + spans[1 - side].extra
        columns = b.clipped(columns_in_block(b, frame, spans, side), 0, width - 1)
        rows = b.constant(np.arange(b.frames(frame.times[side]), dtype=np.int64).reshape(-1, 1), "rows")
        own = b.one("Sub", rows, block_starts(b, frame, side), hint="row")
        if side == 0:
            return b.one("Add", b.one("Mul", own, b.constant([width]), hint="row"), columns, hint="place")
        height = smallest(b, frame.times[side])
        flat = b.one("Add", b.one("Mul", columns, b.constant([height]), hint="column"), own, hint="place")
        return b.one("Transpose", flat, perm=[1, 0], hint="place")

    return b.remember(("places_in_smallest", rates(frame), spans, side), make)
