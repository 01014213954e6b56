"""Constant score matrices, cut to the frames of a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np

from graphc.errors import AbsoluteTableError, TooShortError
from graphc.ir.graph import Tensor, label
from graphc.ir.masked_scale import scale_beside_masks
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.call_writer import frames_in_chunk
from graphc.stream.lowering.constant_operands import cut_to_chunk
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.scores.dynamic_masks import Spans, rectangle

CLOSE, NOISE = 1e-5, 1e-6


def lowest_of(dtype: np.dtype[Any]) -> Array:
    """The lowest finite number of a dtype: beside any usual score, a softmax turns this number into zero."""
    return np.asarray(np.finfo(dtype).min, dtype=dtype)


def noise_of(table: Array) -> float:
    """The absolute error of small entries of a table that rounding may cause, from the largest entries beside masks."""
    scale = scale_beside_masks(table) if table.dtype.kind in "fc" else 0.0
    return CLOSE * min(scale, 1.0) + NOISE * scale


def close(a: Array, b: Array, noise: float) -> bool:
    """Whether two parts of a table are equal except for rounding, as one table computed at two lengths is.

    Args:
        noise: the absolute error that is allowed (``noise_of`` the table).
    """
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    x, y = a.astype(wide), b.astype(wide)
    with np.errstate(invalid="ignore"):
        near = np.abs(x - y) <= CLOSE * np.maximum(np.abs(x), np.abs(y)) + noise
    near &= np.isfinite(x) & np.isfinite(y)
    return bool((near | (x == y) | np.isnan(x) & np.isnan(y)).all())


Build = Callable[[Builder, Spans], Tensor]
Piece = Callable[[Builder, Spans], Tensor | None]


def known_piece(facts: Facts, index: int, frame: Frame) -> Piece:
    """Returns a function that builds the part of a constant that one call needs.

    This is all of it, a slice if it has one time axis, or a rectangle if it has two.
    """
    known = facts[index]
    assert isinstance(known, TimeConstant)
    own = own_times(known, frame)
    name = f"{facts.names[index]}/chunk"
    if not own:
        value = facts.array(index, f"its input {index}")
        return lambda b, spans: b.constant(np.asarray(value), name)
    if len(own) == 1:
        time = frame.times[own[0]]
        aligned = stream_at(time, frame.rights[own[0]])
        cut_to_chunk(facts, index, aligned)

        def one_sided(b: Builder, spans: Spans) -> Tensor:
            span = spans[own[0]]
            value, _ = cut_to_chunk(facts, index, aligned.at(span.offset), span.extra)
            return b.constant(value, name)

        return one_sided

    def both_sided(b: Builder, spans: Spans) -> Tensor:
        key = ("rectangle", known.digest, facts.grid, frame.rights, spans)
        if key not in facts.memo:
            facts.memo[key] = rectangle_of(facts, index, frame, spans)
        return rectangle(b, facts.memo[key], frame, spans, name)

    return both_sided


def stream_at(time: Stream, from_right: int) -> Stream:
    """A stream over the same time, with its axis ``from_right`` places from the right."""
    return replace(time, axis=0, shape=(-1,) + (1,) * (from_right - 1))


def rectangle_of(facts: Facts, index: int, frame: Frame, spans: Spans) -> Array:
    """The part of a table over two times that the smallest call needs; it must be the same for every call.

    Refuses a table that does not shift with the chunk along its diagonal.

    Errors:
        ChunkMisfitError: the table would shift with a chunk of another size.
        TooShortError: the lengths evaluated do not show the whole rectangle.
    """
    known = facts[index]
    assert isinstance(known, TimeConstant)
    c = frames_in_chunk(facts.grid, frame.times[0])
    sizes = [c + s.extra for s in spans]
    offsets = [s.offset for s in spans]
    axes = [known.values[0].ndim - r for r in frame.rights]
    tables = [np.moveaxis(v, axes, (0, 1)) for v in known.values]
    found = np.zeros((sizes[0], sizes[1], *tables[0].shape[2:]), tables[0].dtype)
    seen = np.zeros((sizes[0], sizes[1]), bool)
    for table in sorted(tables, key=np.size, reverse=True):
        noise = noise_of(table)
        for start in range(0, max(table.shape[0] + offsets[0], table.shape[1] + offsets[1]), c):
            rows, columns = (part(start - o, n, size) for o, n, size in zip(offsets, sizes, table.shape, strict=False))
            if rows is None or columns is None:
                continue
            (ri, rt), (ci, ct) = rows, columns
            have, new = found[ri, ci], table[rt, ct]
            known_already = seen[ri, ci]
            if known_already.any() and not close(
                np.where(over_other_axes(known_already, have), have, 0),
                np.where(over_other_axes(known_already, have), new, 0),
                noise,
            ):
                misfit(facts, index, frame, tables, c)
            found[ri, ci] = np.where(over_other_axes(known_already, have), have, new)
            seen[ri, ci] = True
    if not seen.all() and len(facts.lengths) > 1:
        raise TooShortError(
            "one call needs more of its score matrix than the longest stream that the model could be run on shows",
            max(t.shape[1] for t in tables),
            label(facts.node),
        )
    return np.moveaxis(found, (0, 1), axes)


def over_other_axes(mask: Array, like: Array) -> Array:
    return mask.reshape(mask.shape + (1,) * (like.ndim - 2))


def part(start: int, count: int, size: int) -> tuple[slice, slice] | None:
    """The frames of [start, start + count) that a table of ``size`` frames has, or None.

    Returns their slice in the range, and their slice in the table.
    """
    low, high = max(start, 0), min(start + count, size)
    return (slice(low - start, high - start), slice(low, high)) if low < high else None


def repeats(table: Array, period: int, noise: float) -> bool:
    """Whether a score matrix, on its first two axes, equals itself ``period`` frames further along the diagonal."""
    return close(table[period:, period:], table[:-period, :-period], noise)


def misfit(facts: Facts, index: int, frame: Frame, tables: Sequence[Array], c: int) -> NoReturn:
    """Raises the error that names the chunk that would fit a table, or a refusal if no chunk fits."""
    longest = max(tables, key=np.size)
    noise = noise_of(longest)
    for period in range(1, min(longest.shape[:2]) // 2):
        if c % period and repeats(longest, period, noise):
            facts.misfit(
                period,
                frame.times[0],
                f"its mask or table repeats every {period} frames, but a chunk has {c} frames here",
            )
    raise AbsoluteTableError(
        facts.names[index],
        frame.times,
        f"its input {index} is a score matrix that does not depend on the distance between query and key alone",
        node=label(facts.node),
        hint="use a mask or positions that depend on that distance alone, or that repeat with a fixed period",
    )


def own_times(known: TimeConstant, frame: Frame) -> list[int]:
    """The indices of the times of ``frame`` along which a constant has an entry for every frame."""
    rank = known.values[0].ndim
    return [s for s, r in enumerate(frame.rights) if rank >= r and any(v.shape[rank - r] != 1 for v in known.values)]
