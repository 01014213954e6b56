"""Split and merged axes of a Reshape: which axes have the same entries before and after, and where each entry goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from graphc.stream.symbolic.domain.space import (
    Expr,
    NoFormulaError,
    Region,
    constant,
    index,
    is_same,
    lengths,
    number_of,
    over,
    quotient,
    remainder,
    scaled,
    some_entries,
    tidy,
    unequal,
)

MOST_CASES = 64


@dataclass(frozen=True, eq=False)
class Volume:
    """A number of entries, as a product of a fixed factor and of the sizes that depend on the length."""

    fixed: int
    moving: tuple[Expr, ...]

    def expression(self) -> Expr:
        if len(self.moving) > 1:
            raise NoFormulaError("it multiplies two sizes that both depend on the stream's length")
        return scaled(self.moving[0], self.fixed) if self.moving else constant(self.fixed, 0)

    def equals(self, other: Volume, some: Region) -> bool:
        """Whether two numbers of entries are the same at the lengths in ``some``."""
        if len(self.moving) <= 1 and len(other.moving) <= 1:
            return is_same(self.expression(), other.expression(), some)
        left = list(other.moving)
        for size in self.moving:
            same = next((s for s in left if is_same(s, size, some)), None)
            if same is None:
                return False
            left.remove(same)
        return not left and self.fixed == other.fixed


def volume_of(sizes: Sequence[Expr]) -> Volume:
    numbers = [number_of(s) for s in sizes]
    fixed = prod(int(n) for n in numbers if n is not None)
    return Volume(fixed, tuple(s for s, n in zip(sizes, numbers, strict=True) if n is None))


Groups = list[tuple[list[int], list[int]]]


def fitting(before: Sequence[Expr], after: Sequence[Expr]) -> Region:
    """The lengths at which two shapes have the same number of entries; a Reshape between them runs at no others.

    Errors:
        NoFormulaError: more than one size of a shape depends on the length, apart from sizes that both shapes have.
    """
    some = some_entries([*before, *after])
    one, other = volume_of(before), volume_of(after)
    rest, left = [], list(other.moving)
    for size in one.moving:
        same = next((s for s in left if is_same(s, size, some)), None)
        if same is None:
            rest.append(size)
        else:
            left.remove(same)
    sides = (Volume(one.fixed, tuple(rest)).expression(), Volume(other.fixed, tuple(left)).expression())
    return some - unequal(*sides)


def groups_of(before: Sequence[Expr], after: Sequence[Expr], some: Region) -> Groups:
    """The smallest groups of axes that have the same entries before and after, at the lengths in ``some``."""
    groups: Groups = []
    i = j = 0
    while i < len(before) or j < len(after):
        olds, news = ([i] if i < len(before) else []), ([j] if j < len(after) else [])
        while True:
            one, other = volume_of([before[a] for a in olds]), volume_of([after[a] for a in news])
            if one.equals(other, some):
                break
            fewer = (len(one.moving), one.fixed) < (len(other.moving), other.fixed)
            next_old, next_new = i + len(olds), j + len(news)
            if next_old < len(before) and (fewer or next_new >= len(after)):
                olds.append(next_old)
            elif next_new < len(after):
                news.append(next_new)
            else:
                raise NoFormulaError("its sizes before and after cannot be matched")
        groups.append((olds, news))
        i, j = i + len(olds), j + len(news)
    return groups


def regroup(
    places: list[Expr], old_sizes: list[Expr], olds: list[int], new_sizes: list[Expr], news: list[int], rank: int
) -> None:
    """Sets ``places``, the index on each old axis of a group, to expressions of the indices on the new axes.

    One old size and one new size may depend on the length.
    """
    flat = flat_place(new_sizes, news, rank)
    _, moving, outer = sides_of(old_sizes)
    stride = 1
    block: Expr | None = None
    if moving is not None:
        behind = prod(int(number_of(s) or 1) for s in old_sizes[moving + 1 :])
        block = scaled(over(old_sizes[moving], rank), behind)
    rest, fronts = flat, {a: constant(0, rank) for a in outer}
    if block is not None and prod(int(number_of(old_sizes[a]) or 1) for a in outer) > 1:
        rest, fronts = split_in_front(flat, block, [int(number_of(old_sizes[a]) or 1) for a in outer], outer, rank)
    for k in reversed(range(len(olds))):
        if k in fronts:
            places[olds[k]] = fronts[k]
            continue
        number = number_of(old_sizes[k])
        if number == 1:
            continue
        place = quotient(rest, stride)
        first = k == moving or (moving is None and all(number_of(s) == 1 for s in old_sizes[:k]))
        places[olds[k]] = place if first or number is None else remainder(place, int(number))
        stride *= int(number) if number is not None else 1


def sides_of(sizes: Sequence[Expr]) -> tuple[list[int], int | None, list[int]]:
    """The axes after the axis whose size depends on the length, that axis, and the axes before it.

    If no size depends on the length, all axes come first, then None and no axes.
    """
    moving = next((k for k, s in enumerate(sizes) if number_of(s) is None), None)
    if moving is None:
        return list(range(len(sizes))), None, []
    return list(range(moving + 1, len(sizes))), moving, list(range(moving))


def flat_place(sizes: Sequence[Expr], axes: Sequence[int], rank: int) -> Expr:
    """The flat index of an entry; it has a case for each position on axes before a size that depends on the length."""
    inner, moving, outer = sides_of(sizes)
    flat: Expr = constant(0, rank)
    stride = 1
    for k in reversed(inner if moving is None else [moving, *inner]):
        number = number_of(sizes[k])
        if number != 1:
            flat = flat + scaled(index(axes[k], rank), stride)
        stride *= int(number) if number is not None else 1
    if moving is None:
        return flat
    block = scaled(over(sizes[moving], rank), stride)
    counts = [int(number_of(sizes[k]) or 1) for k in outer]
    if prod(counts) == 1:
        return flat
    total: Expr | None = None
    for case in cases_of(counts):
        here = lengths(rank)
        number = 0
        for k, at, count in zip(outer, case, counts, strict=True):
            here = here & index(axes[k], rank).eq_set(constant(at, rank))
            number = number * count + at
        part = (flat + scaled(block, number) if number else flat).intersect_domain(here)
        total = part if total is None else total.union_add(part)
    assert total is not None
    return tidy(total)


def cases_of(counts: Sequence[int]) -> list[tuple[int, ...]]:
    if prod(counts) > MOST_CASES:
        raise NoFormulaError("it merges an axis that depends on the length with too many entries in front of it")
    return list(product(*(range(n) for n in counts)))


def split_in_front(
    flat: Expr, block: Expr, counts: Sequence[int], outer: Sequence[int], rank: int
) -> tuple[Expr, dict[int, Expr]]:
    """Splits a flat index into the index within its block, and the block's index on each of the axes ``outer``.

    All results are piecewise expressions with one piece for each block.
    """
    rest: Expr | None = None
    fronts: dict[int, Expr] = {}
    for number, case in enumerate(cases_of(counts)):
        start = scaled(block, number) if number else constant(0, rank)
        here = flat.ge_set(start) & flat.lt_set(start + block)
        part = (flat - start).intersect_domain(here)
        rest = part if rest is None else rest.union_add(part)
        for k, at in zip(outer, case, strict=True):
            place = constant(at, rank).intersect_domain(here)
            fronts[k] = place if k not in fronts else fronts[k].union_add(place)
    assert rest is not None
    return tidy(rest), {k: tidy(v) for k, v in fronts.items()}
