"""What elementwise ops do to the reach of a table of two times: which entries are off, zero, one or needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from graphc.graph import Node
from graphc.stream.facts import Array, Fact, Known, Pairs, Reach
from graphc.stream.frame import Frame
from graphc.stream.rule import Facts

OFF = -500.0

ZERO_STAYS = (
    "Identity",
    "Cast",
    "Relu",
    "Abs",
    "Sqrt",
    "Tanh",
    "Erf",
    "Sign",
    "Neg",
    "Gelu",
    "HardSwish",
    "Elu",
    "Dropout",
)
GONE_BELOW = ("Exp", "Sigmoid", "Relu")


def plane(value: Array, frame: Frame, collapse: Callable[..., Array]) -> Array:
    """A constant as [first time or 1, second time or 1], its other axes collapsed."""
    rank = value.ndim
    wide = value.reshape((1,) * max(0, frame.rights[0] - rank) + value.shape)
    axes = [wide.ndim - r for r in frame.rights]
    others = tuple(a for a in range(wide.ndim) if a not in axes)
    flat: Array = collapse(wide, axis=others, keepdims=False)
    return flat


def reach_of(node: Node, facts: Facts, frame: Frame) -> Reach:
    """The reach of an elementwise op's output, from those of its inputs.

    What it cannot tell it calls free, which makes a context larger and never smaller.
    """
    count = len(facts.lengths)
    parts = [one_reach(facts, fact, frame, count) for fact in facts.inputs]
    levels = [list(p.level) for p in parts]
    zeros = [p.zero for p in parts]
    ones = [p.one for p in parts]
    wild = each(disjunction, [p.wild for p in parts])
    free = replace(Reach.free(count), wild=wild, counted=each(disjunction, [p.counted for p in parts]))
    op = node.op
    known = [isinstance(f, Known) for f in facts.inputs]
    if op in ("Add", "Sub", "Sum"):
        sign = -1 if op == "Sub" else 1
        level = tuple(summed([levels[0][i], *(sign * lv[i] for lv in levels[1:])]) for i in range(count))
        found = replace(free, level=level, zero=each(conjunction, zeros))
        return complemented(found, facts, parts) if op == "Sub" else found
    if op == "Mul":
        level = scaled(facts, levels, known, count)
        if len(parts) == 2 and sum(known) == 1:
            level = raised_where_one(level, parts[known.index(True)], parts[known.index(False)])
        return replace(free, level=level, zero=each(disjunction, zeros), one=each(conjunction, ones))
    if op == "Div" and not known[0]:
        return replace(free, level=scaled(facts, levels, known, count, inverse=True), zero=zeros[0])
    if op == "Max" and len(parts) == 2 and any(known):
        return replace(free, level=tuple(np.maximum(levels[0][i], levels[1][i]) for i in range(count)))
    if op == "Clip":
        return replace(free, level=parts[0].level)
    if op == "And":
        return replace(free, zero=each(disjunction, zeros), one=each(conjunction, ones))
    if op == "Or":
        return replace(free, zero=each(conjunction, zeros), one=each(disjunction, ones))
    if op == "Not":
        return replace(free, zero=ones[0], one=zeros[0])
    if op == "Where":
        return chosen(facts, parts, free)
    if op in ZERO_STAYS or op in GONE_BELOW:
        stays, gone = op in ZERO_STAYS, op in GONE_BELOW
        zero = tuple((z & stays) | ((lv <= OFF) & gone) for z, lv in zip(zeros[0], levels[0], strict=True))
        same = op in ("Identity", "Cast", "Dropout")
        return replace(free, zero=zero, **({"level": parts[0].level, "one": ones[0]} if same else {}))
    return free


def each(join: Callable[[Sequence[Array]], Array], parts: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
    """What is known of several operands joined, at each length."""
    return tuple(join(values) for values in zip(*parts, strict=True))


def complemented(found: Reach, facts: Facts, parts: Sequence[Reach]) -> Reach:
    """The reach of one less a table of zeros and ones: both change places."""
    if len(parts) != 2 or not isinstance(facts.inputs[0], Known) or any((v != 1).any() for v in known_values(facts, 0)):
        return found
    zero = tuple(z | o for z, o in zip(found.zero, parts[1].one, strict=True))
    return replace(found, zero=zero, one=parts[1].zero)


def raised_where_one(level: tuple[Array, ...], factor: Reach, table: Reach) -> tuple[Array, ...]:
    """The level of a constant times a table: the constant itself where the table is one."""
    return tuple(np.where(o, f, lv) for lv, f, o in zip(level, factor.level, table.one, strict=True))


def summed(levels: Sequence[Array]) -> Array:
    total = levels[0]
    for level in levels[1:]:
        with np.errstate(invalid="ignore"):
            total = np.nan_to_num(total + level, nan=-inf, posinf=inf, neginf=-inf)
    return total


def conjunction(masks: Sequence[Array]) -> Array:
    found: Array = np.all(np.stack(np.broadcast_arrays(*masks)), axis=0)
    return found


def disjunction(masks: Sequence[Array]) -> Array:
    found: Array = np.any(np.stack(np.broadcast_arrays(*masks)), axis=0)
    return found


def scaled(
    facts: Facts, levels: Sequence[Sequence[Array]], known: Sequence[bool], count: int, inverse: bool = False
) -> tuple[Array, ...]:
    """Levels times (or through) a known factor that is positive; free otherwise."""
    free = Reach.free(count).level
    if len(levels) != 2 or sum(known) != 1:
        return free
    other = known.index(True)
    values = [np.asarray(v, dtype=np.float64) for v in known_values(facts, other)]
    if any((v <= 0).any() for v in values):
        return free
    factors = [v.max(initial=1e-30) if inverse else v.min(initial=1e30) for v in values]
    return tuple(
        level / factor if inverse else level * factor for level, factor in zip(levels[1 - other], factors, strict=True)
    )


def known_values(facts: Facts, index: int) -> tuple[Array, ...]:
    fact = facts.inputs[index]
    assert isinstance(fact, Known)
    return fact.values


def one_reach(facts: Facts, fact: Fact | None, frame: Frame, count: int) -> Reach:
    if isinstance(fact, Pairs):
        return fact.reach
    free = Reach.free(count)
    if not isinstance(fact, Known) or fact.values[0].dtype.kind not in "fiub":
        return free
    level = tuple(plane(v.astype(np.float64), frame, np.max) for v in fact.values)
    zero = tuple(plane(v == 0, frame, np.all) for v in fact.values)
    return replace(free, level=level, zero=zero, one=tuple(plane(v == 1, frame, np.all) for v in fact.values))


def chosen(facts: Facts, parts: Sequence[Reach], free: Reach) -> Reach:
    """The reach of a Where: by its condition, where that is known; else what holds for both choices."""
    always, never = parts[0].one, parts[0].zero

    def pick(kind: str, both: Callable[[Array, Array], Array]) -> tuple[Array, ...]:
        found = []
        for i in range(len(always)):
            a, b = getattr(parts[1], kind)[i], getattr(parts[2], kind)[i]
            found.append(np.where(always[i], a, np.where(never[i], b, both(a, b))))
        return tuple(found)

    found = replace(
        free, level=pick("level", np.maximum), zero=pick("zero", np.logical_and), one=pick("one", np.logical_and)
    )
    return replace(found, wild=pick("wild", np.logical_or)) if isinstance(facts.inputs[0], Known) else found
