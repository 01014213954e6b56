"""Reshape: axes split and merged. Rows of two growing axes may be laid out anew, as a relative shift does.

With a rows of width W laid out as rows of width E, entry (i, j) stands at ``i * E + j + offset`` of the flat tensor,
which is ``i * W + (i * (E - W) + j + offset)``: where E - W is a number the remainder is quasi-affine, and isl tells by
how many rows of width W it is off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from graphc.stream.symbolic.registry import Operands, formula_of
from graphc.stream.symbolic.space import (
    Expr,
    NoFormulaError,
    Region,
    box,
    constant,
    index,
    is_same,
    lengths,
    number_of,
    number_within,
    over,
    quotient,
    remainder,
    scaled,
    some_entries,
    substituted,
    tidy,
)
from graphc.stream.symbolic.tensor import Formula, Piece, listed, merged, moved, pulled

ROWS_OFF = range(-3, 4)
FACTORS = range(2, 65)
MOST_CASES = 64


@dataclass(frozen=True, eq=False)
class Folded:
    """Entries of two axes laid out in rows of another width.

    Args:
        base: the tensor before.
        axis: the first of the two axes, before and after.
        offset: flat entries that were cut off in front, an expression of T.
    """

    base: Formula
    axis: int
    offset: Expr

    def cut(self, tensor: Formula, axis: int, start: Expr, count: Expr, step: int) -> Formula:
        """Rows cut off in front or behind."""
        first = number_of(start)
        whole = first == 0 and step == 1 and is_same(count, tensor.sizes[axis], some_entries(tensor.sizes))
        if whole:
            return tensor
        if axis != self.axis or step != 1 or first is None or first < 0:
            raise NoFormulaError("rows that were laid out anew are cut within")
        sizes = [count if a == axis else s for a, s in enumerate(tensor.sizes)]
        offset = tidy(self.offset + scaled(tensor.sizes[axis + 1], int(first))) if first else self.offset
        folded = Folded(self.base, self.axis, offset)
        return Formula(tuple(sizes), tensor.dtype, (), folded, tensor.outside, tensor.rounded)

    def laid_out(self, sizes: Sequence[Expr]) -> Formula:
        """The entries in rows of the width that sizes have."""
        base, first, rank = self.base, self.axis, len(sizes)
        width, before = sizes[first + 1], base.sizes[first + 1]
        some = some_entries([*sizes, *base.sizes]) - base.outside
        wider = number_within(width - before, some)
        if wider is None:
            raise NoFormulaError("rows whose widths grow apart")
        row, column = index(first, rank), index(first + 1, rank)
        flat = scaled(row, int(wider)) + column + over(self.offset, rank)
        held, everywhere = over(before, rank), box(sizes) & substituted(some, [], rank)
        pieces: list[Piece] = []
        missing = everywhere
        for off in ROWS_OFF:
            start = scaled(held, off) if off else constant(0, rank)
            here = everywhere & flat.ge_set(start) & flat.lt_set(start + held)
            if here.is_empty():
                continue
            places = [index(a, rank) for a in range(rank)]
            places[first], places[first + 1] = row + constant(off, rank), flat - start
            pieces += pulled(base, places, rank, here)
            missing = missing - here
        if not missing.is_empty():
            raise NoFormulaError("rows that are laid out very far from where they were")
        return Formula(tuple(sizes), base.dtype, merged(pieces), None, base.outside, base.rounded)


@formula_of("Reshape", "Flatten")
def reshape(operands: Operands) -> list[Formula]:
    tensor = operands[0]
    if operands.node.op == "Flatten":
        axis = int(operands.attribute("axis", 1)) % (tensor.rank + 1)
        sides = (tensor.sizes[:axis], tensor.sizes[axis:])
        want = [volume_of(side).expression() for side in sides]
    else:
        want = wanted(tensor, listed(operands[1]), bool(operands.attribute("allowzero", 0)))
    return [laid_out(tensor, want)]


@dataclass(frozen=True, eq=False)
class Volume:
    """A number of entries: a fixed factor, and the sizes that follow the length."""

    fixed: int
    moving: tuple[Expr, ...]

    def expression(self) -> Expr:
        if len(self.moving) > 1:
            raise NoFormulaError("a product of two sizes that follow the length")
        return scaled(self.moving[0], self.fixed) if self.moving else constant(self.fixed, 0)

    def equals(self, other: Volume, some: Region) -> bool:
        """Whether two numbers of entries are the same at the lengths at which there are any."""
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


def wanted(tensor: Formula, sizes: list[Expr], zero_is_zero: bool) -> list[Expr]:
    """The sizes that a Reshape asks for: 0 is the size there before, -1 what is left."""
    found = [tensor.sizes[a] if number_of(s) == 0 and not zero_is_zero else s for a, s in enumerate(sizes)]
    holes = [a for a, s in enumerate(found) if number_of(s) == -1]
    if holes:
        rest = [s for a, s in enumerate(found) if a != holes[0]]
        found[holes[0]] = what_is_left(volume_of(tensor.sizes), volume_of(rest))
    return found


def what_is_left(whole: Volume, rest: Volume) -> Expr:
    fixed, moving = whole.fixed, list(whole.moving)
    divisor = rest.fixed
    for size in rest.moving:
        for held in moving:
            times = multiple_of(held, size)
            if times is not None:
                moving.remove(held)
                fixed *= times
                break
            part = multiple_of(size, held)
            if part is not None:
                moving.remove(held)
                divisor *= part
                break
        else:
            raise NoFormulaError("a size that is left over from others that follow the length")
    left = Volume(fixed, tuple(moving)).expression()
    return tidy(quotient(left, divisor))


def multiple_of(size: Expr, other: Expr) -> int | None:
    """How many times another size one is, at every length."""
    some = some_entries([size, other])
    if is_same(size, other, some):
        return 1
    return next((n for n in FACTORS if is_same(size, scaled(other, n), some)), None)


def laid_out(tensor: Formula, sizes: list[Expr]) -> Formula:
    """A tensor with its entries in the same order, in other axes.

    Errors:
        NoFormulaError: an axis that follows the length is merged behind another, or split within.
    """
    groups = groups_of(tensor.sizes, sizes)
    if tensor.folded is not None:
        return of_folded(tensor, sizes, groups)
    rank = len(sizes)
    places: list[Expr] = [constant(0, rank)] * tensor.rank
    for olds, news in groups:
        if len(olds) == len(news) == 1:
            places[olds[0]] = index(news[0], rank)
        elif any(
            len(volume_of([of[a] for a in axes]).moving) > 1 for of, axes in ((tensor.sizes, olds), (sizes, news))
        ):
            return folded(tensor, sizes, groups)
        else:
            regroup(places, [tensor.sizes[a] for a in olds], olds, [sizes[a] for a in news], news, rank)
    return moved(tensor, places, sizes)


Groups = list[tuple[list[int], list[int]]]


def groups_of(before: Sequence[Expr], after: Sequence[Expr]) -> Groups:
    """Axes before and after that hold the same entries, as few together as can be."""
    groups: Groups = []
    some = some_entries([*before, *after])
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
                raise NoFormulaError("a Reshape whose sizes do not match")
        groups.append((olds, news))
        i, j = i + len(olds), j + len(news)
    return groups


def regroup(
    places: list[Expr], old_sizes: list[Expr], olds: list[int], new_sizes: list[Expr], news: list[int], rank: int
) -> None:
    """Places in some axes, from the flat place in others; in each one may follow the length."""
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
    """The axes behind the one that follows the length, that axis, and those in front of it."""
    moving = next((k for k, s in enumerate(sizes) if number_of(s) is None), None)
    if moving is None:
        return list(range(len(sizes))), None, []
    return list(range(moving + 1, len(sizes))), moving, list(range(moving))


def flat_place(sizes: Sequence[Expr], axes: Sequence[int], rank: int) -> Expr:
    """The flat place of an entry; axes in front of one that follows the length by cases."""
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
        raise NoFormulaError("folds an axis that follows the length behind many others")
    return list(product(*(range(n) for n in counts)))


def split_in_front(
    flat: Expr, block: Expr, counts: Sequence[int], outer: Sequence[int], rank: int
) -> tuple[Expr, dict[int, Expr]]:
    """The place within a block, and which block on each axis in front, by cases."""
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


def folded(tensor: Formula, sizes: list[Expr], groups: Groups) -> Formula:
    """Two axes that follow the length, in rows of another width; all others stay."""
    for olds, news in groups:
        pair = len(olds) == len(news) == 2
        if olds != news or not (pair or len(olds) == 1):
            raise NoFormulaError("merges two axes that follow the length")
    (axis,) = (olds[0] for olds, _ in groups if len(olds) == 2)
    return Formula(tuple(sizes), tensor.dtype, (), Folded(tensor, axis, constant(0, 0)), tensor.outside, tensor.rounded)


def of_folded(tensor: Formula, sizes: list[Expr], groups: Groups) -> Formula:
    fold: Folded = tensor.folded
    if [olds for olds, _ in groups] != [news for _, news in groups] or len(sizes) != tensor.rank:
        raise NoFormulaError("merges two axes that follow the length")
    some = some_entries([*tensor.sizes, *sizes])
    if all(is_same(a, b, some) for a, b in zip(tensor.sizes, sizes, strict=True)):
        return tensor
    return fold.laid_out(sizes)
