"""Writes overlapping frames as a sum of shifted streams. Each stream is one part of every frame, a hop long."""

from __future__ import annotations

import numpy as np

from graphc.ir.graph import Tensor, Variable
from graphc.ir.node_writer import Writer
from graphc.stream.canonical.overlap_add.even_places import EvenPlaces


def overlapped(w: Writer, frames: Tensor, rank: int, places: EvenPlaces) -> Tensor:
    """Adds up frames at their positions on a longer axis. Positions to which nothing is written are 0.

    Args:
        frames: a tensor [..., frames, entries].
        rank: the rank of ``frames``.

    Returns:
        a tensor [..., positions].
    """
    hop, parts = places.hop, places.overlapping
    lead = [0] * (rank - 2)
    laid = in_place(w, frames, rank, places)
    total: Tensor | None = None
    for part in reversed(range(parts)):
        piece = w.one("Slice", laid, [part * hop], [(part + 1) * hop], [rank - 1]) if parts > 1 else laid
        flat = w.one("Reshape", piece, [*lead, -1])
        shifted = padded(w, flat, rank - 1, part * hop, (parts - 1 - part) * hop)
        total = shifted if total is None else w.one("Add", total, shifted)
    assert total is not None
    more = places.behind - (parts * hop - places.width)
    if places.front or more < 0:
        end = more if more < 0 else int(np.iinfo(np.int64).max)
        total = w.one("Slice", total, [places.front], [end], [rank - 2])
    return padded(w, total, rank - 1, 0, max(more, 0))


def length_of(w: Writer, frames: Tensor, places: EvenPlaces) -> Variable:
    """Computes the length of the axis to which overlapping frames are added, int64 [1].

    Args:
        frames: the number of frames, int64 [1].
    """
    more = places.width - places.hop + places.behind - places.front
    return w.one("Add", w.one("Mul", frames, places.hop), more)


def in_place(w: Writer, frames: Tensor, rank: int, places: EvenPlaces) -> Tensor:
    """Moves the entries of each frame to their offsets, with zeros elsewhere, and pads frames to whole hops."""
    entries, size = len(places.offsets), places.overlapping * places.hop
    if places.offsets == tuple(range(entries)):
        return padded(w, frames, rank, 0, size - entries)
    zero = entries
    chosen = np.full(size, zero, np.int64)
    chosen[list(places.offsets)] = np.arange(entries)
    with_zero = padded(w, frames, rank, 0, 1)
    return w.one("Gather", with_zero, chosen, axis=rank - 1)


def padded(w: Writer, tensor: Tensor, rank: int, before: int, after: int) -> Tensor:
    """Pads the last axis of a tensor with ``before`` zeros at its start and ``after`` zeros at its end."""
    if not before and not after:
        return tensor
    amounts = np.zeros((2, rank), np.int64)
    amounts[:, -1] = before, after
    return w.one("Pad", tensor, amounts.ravel())


def written_places(w: Writer, size: Tensor, places: EvenPlaces, trailing: int) -> Tensor:
    """A mask of the positions at which frames are written, bool [positions], followed by ``trailing`` axes of size 1.

    Args:
        size: the size of the axis, int64 [1].
    """
    place = w.span(size, trailing)
    written: Tensor | None = None
    for offset in places.offsets:
        here = w.one("Equal", w.one("Mod", w.one("Sub", place, offset), places.hop), 0)
        if offset >= places.hop:
            here = w.one("And", here, w.one("Greater", place, offset - 1))
        missing = places.behind + places.width - 1 - offset
        if missing >= places.hop:
            here = w.one("And", here, w.one("Less", w.one("Add", place, missing), size))
        written = here if written is None else w.one("Or", written, here)
    assert written is not None
    return written
