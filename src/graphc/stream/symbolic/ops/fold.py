"""Reshape: axes are split and merged. Two growing axes may be reshaped to rows of another width, as in relative shift.

If rows of width W are reshaped to rows of width E, entry (i, j) is at ``i * E + j + offset`` of the flat tensor. This
equals ``i * W + (i * (E - W) + j + offset)``. If E - W is a number, the term in parentheses is quasi-affine, and isl
finds how many rows of width W that term is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphc.stream.symbolic.domain.lists import listed
from graphc.stream.symbolic.domain.moves import moved, pulled
from graphc.stream.symbolic.domain.regroup import Groups, Volume, fitting, groups_of, regroup, volume_of
from graphc.stream.symbolic.domain.space import (
    LONGEST,
    Expr,
    NoFormulaError,
    box,
    constant,
    index,
    is_same,
    most,
    number_of,
    number_within,
    over,
    quotient,
    scaled,
    some_entries,
    substituted,
    tidy,
)
from graphc.stream.symbolic.domain.tensor import Formula, Piece, merged
from graphc.stream.symbolic.registry import Operands, formula_of

ROWS_OFF = range(-3, 4)
FACTORS = range(2, 65)


@dataclass(frozen=True, eq=False)
class Folded:
    """Entries of two axes, reshaped to rows of another width.

    Args:
        base: the tensor before the Reshape.
        axis: the first of the two axes, before and after the Reshape.
        offset: the number of flat entries that were cut off at the start, an expression of T.
    """

    base: Formula
    axis: int
    offset: Expr

    def cut(self, tensor: Formula, axis: int, start: Expr, count: Expr, step: int) -> Formula:
        """The tensor after whole rows are cut off at the start or at the end."""
        first = number_of(start)
        whole = first == 0 and step == 1 and is_same(count, tensor.sizes[axis], some_entries(tensor.sizes))
        if whole:
            return tensor
        if axis != self.axis or step != 1 or first is None or first < 0:
            raise NoFormulaError("it slices a tensor reshaped to rows of another width, and not by whole rows")
        sizes = [count if a == axis else s for a, s in enumerate(tensor.sizes)]
        offset = tidy(self.offset + scaled(tensor.sizes[axis + 1], int(first))) if first else self.offset
        folded = Folded(self.base, self.axis, offset)
        return Formula(tuple(sizes), tensor.dtype, (), folded, tensor.outside, tensor.rounded)

    def laid_out(self, sizes: Sequence[Expr]) -> Formula:
        """The tensor with these entries, reshaped once more to the row width in ``sizes``."""
        base, first, rank = self.base, self.axis, len(sizes)
        width, before = sizes[first + 1], base.sizes[first + 1]
        some = some_entries([*sizes, *base.sizes]) - base.outside - base.past
        wider = number_within(width - before, some)
        if wider is None:
            raise NoFormulaError("the difference between the old and the new width of its rows depends on the length")
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
            raise NoFormulaError(f"it moves entries by more than {max(ROWS_OFF)} rows")
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


def wanted(tensor: Formula, sizes: list[Expr], zero_is_zero: bool) -> list[Expr]:
    """The output sizes of a Reshape: 0 means that the axis keeps its size, and -1 means the remaining size."""
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
            raise NoFormulaError("its size of -1 stands for a quotient of sizes that depend on the length")
    left = Volume(fixed, tuple(moving)).expression()
    return tidy(quotient(left, divisor))


def multiple_of(size: Expr, other: Expr) -> int | None:
    """The number n for which a size is n times ``other`` at every length; None if there is none."""
    some = some_entries([size, other])
    if is_same(size, other, some):
        return 1
    return next((n for n in FACTORS if is_same(size, scaled(other, n), some)), None)


def laid_out(tensor: Formula, sizes: list[Expr]) -> Formula:
    """The tensor reshaped to ``sizes``; lengths at which the numbers of entries differ are added to ``outside``.

    Errors:
        NoFormulaError: an axis that depends on the length is merged after another, or split within; or the entries fit
            only up to some length, so that trying lengths is faster than a formula.
    """
    some = some_entries([*tensor.sizes, *sizes])
    try:
        groups = groups_of(tensor.sizes, sizes, some)
    except NoFormulaError:
        fits = fitting(tensor.sizes, sizes)
        if most(fits) < LONGEST // 2:
            raise
        groups = groups_of(tensor.sizes, sizes, fits)
        tensor = replace(tensor, outside=(tensor.outside | (some - fits)).coalesce())
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


def folded(tensor: Formula, sizes: list[Expr], groups: Groups) -> Formula:
    """The tensor with two axes that depend on the length reshaped to rows of another width; other axes stay."""
    for olds, news in groups:
        pair = len(olds) == len(news) == 2
        if olds != news or not (pair or len(olds) == 1):
            raise NoFormulaError("it merges two axes that both depend on the length")
    (axis,) = (olds[0] for olds, _ in groups if len(olds) == 2)
    return Formula(tuple(sizes), tensor.dtype, (), Folded(tensor, axis, constant(0, 0)), tensor.outside, tensor.rounded)


def of_folded(tensor: Formula, sizes: list[Expr], groups: Groups) -> Formula:
    fold: Folded = tensor.folded
    if [olds for olds, _ in groups] != [news for _, news in groups] or len(sizes) != tensor.rank:
        raise NoFormulaError("it merges two axes that both depend on the length")
    some = some_entries([*tensor.sizes, *sizes])
    if all(is_same(a, b, some) for a, b in zip(tensor.sizes, sizes, strict=True)):
        return tensor
    return fold.laid_out(sizes)
