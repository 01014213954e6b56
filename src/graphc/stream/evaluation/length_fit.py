"""Finds the function of the input length that gives the sizes seen at the evaluated lengths."""

from __future__ import annotations

from collections.abc import Sequence

from graphc.contract.length import Length
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.node_facts import Facts

TRIED_LENGTHS = range(1, 2000)
LARGEST_STEP = 64


def explained(facts: Facts, x: Stream, sizes: Sequence[int]) -> Length | None:
    """The length of a tensor that is computed from ``x`` and has the given sizes; None if no function fits.

    The candidates are the length of ``x`` plus or minus a constant, and the lengths of other streams of the same rate.
    If several candidates fit and differ, the last one is returned. If none fits, the length of ``x`` in whole steps is
    tried: ``step * floor((length + a) / step) + b``. The result is None if two functions of this form fit and differ.

    Args:
        sizes: the number of frames of the tensor, at each evaluated length.
    """
    found = [length for length in [shifted(facts, x, sizes), *others(facts, x, sizes)] if length is not None]
    if found:
        return found[0] if all(same(found[0], f) for f in found) else found[-1]
    rounded = [length for step in range(2, LARGEST_STEP + 1) for length in rounded_to(facts, x, sizes, step)]
    return rounded[0] if rounded and all(same(rounded[0], r) for r in rounded) else None


def shifted(facts: Facts, x: Stream, sizes: Sequence[int]) -> Length | None:
    more = {size - x.length(n) for n, size in zip(facts.lengths, sizes, strict=True)}
    return x.length.then(1, more.pop(), 1) if len(more) == 1 else None


def others(facts: Facts, x: Stream, sizes: Sequence[int]) -> list[Length]:
    return [
        length
        for length in facts.known_lengths
        if length.rate == x.rate and all(length(n) == size for n, size in zip(facts.lengths, sizes, strict=True))
    ]


def rounded_to(facts: Facts, x: Stream, sizes: Sequence[int], step: int) -> list[Length]:
    """The functions ``step * floor((length + phase) / step) + b`` that fit the sizes, for all phases.

    Functions that round the length of ``x`` to the same value at every evaluated length are left out.
    """
    lengths = [x.length(n) for n in facts.lengths]
    found: list[Length] = []
    for phase in range(step):
        rounded = [step * ((length + phase) // step) for length in lengths]
        more = {size - r for size, r in zip(sizes, rounded, strict=True)}
        if len(more) == 1 and len(set(rounded)) > 1:
            found.append(x.length.then(1, phase, step).then(step, more.pop(), 1))
    return found


def same(one: Length, other: Length) -> bool:
    return all(one(n) == other(n) for n in TRIED_LENGTHS)
