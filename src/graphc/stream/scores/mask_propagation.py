"""The effect of elementwise ops on the masks of a score matrix: which entries are off, zero, one or needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import inf

import numpy as np

from graphc.ir.graph import Node
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.scores import MaskFacts, ScoreMatrix
from graphc.stream.facts.time_axes import Frame
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.node_facts import Facts

OFF = -500.0
FAR_OFF = -1e4

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
    "IsNaN",
    "IsInf",
    "QuantizeLinear",
    "DequantizeLinear",
)
GONE_BELOW = ("Exp", "Sigmoid", "Relu")


def plane(value: Array, frame: Frame, collapse: Callable[..., Array]) -> Array:
    """A constant as [first time or 1, second time or 1], with its other axes reduced by ``collapse``."""
    rank = value.ndim
    wide = value.reshape((1,) * max(0, frame.rights[0] - rank) + value.shape)
    axes = [wide.ndim - r for r in frame.rights]
    others = tuple(a for a in range(wide.ndim) if a not in axes)
    flat: Array = collapse(wide, axis=others, keepdims=False)
    return flat


def mask_facts_of(node: Node, facts: Facts, frame: Frame) -> MaskFacts:
    """The masks of an elementwise op's output, from those of its inputs.

    An entry about which nothing is known is treated as unmasked, which can only make the context larger.
    """
    count = len(facts.lengths)
    parts = [mask_facts_of_operand(facts, fact, frame, count) for fact in facts.inputs]
    uppers, lowers = [list(p.upper) for p in parts], [list(p.lower) for p in parts]
    zeros = [p.zero for p in parts]
    ones = [p.one for p in parts]
    displaced = each(disjunction, [p.displaced for p in parts])
    free = replace(
        MaskFacts.free(count), displaced=displaced, in_softmax=each(disjunction, [p.in_softmax for p in parts])
    )
    op = node.op
    known = [isinstance(f, TimeConstant) for f in facts.inputs]
    if op in ("Add", "Sub", "Sum"):
        sign, more, less = (-1, lowers, uppers) if op == "Sub" else (1, uppers, lowers)
        upper = tuple(summed([uppers[0][i], *(sign * lv[i] for lv in more[1:])]) for i in range(count))
        lower = tuple(summed([lowers[0][i], *(sign * lv[i] for lv in less[1:])]) for i in range(count))
        found = replace(free, upper=upper, lower=lower, zero=each(conjunction, zeros))
        return complemented(found, facts, parts) if op == "Sub" else found
    if op == "Mul":
        upper, lower = scaled(facts, parts, known, count)
        if len(parts) == 2 and sum(known) == 1:
            factor, table = parts[known.index(True)], parts[known.index(False)]
            upper = raised_where_one(upper, factor.upper, table)
            lower = raised_where_one(lower, factor.lower, table)
        return replace(free, upper=upper, lower=lower, zero=each(disjunction, zeros), one=each(conjunction, ones))
    if op == "Div" and not known[0]:
        upper, lower = scaled(facts, parts, known, count, inverse=True)
        return replace(free, upper=upper, lower=lower, zero=zeros[0])
    if op == "Pow" and known[1] and all((v >= 1).all() for v in known_values(facts, 1)):
        return replace(free, zero=zeros[0], one=ones[0])
    if op in ("Max", "Min") and len(parts) == 2 and any(known):
        pick = np.maximum if op == "Max" else np.minimum
        return replace(
            free,
            upper=tuple(pick(uppers[0][i], uppers[1][i]) for i in range(count)),
            lower=tuple(pick(lowers[0][i], lowers[1][i]) for i in range(count)),
        )
    if op == "Clip":
        return clipped(node, facts, parts[0], free)
    if op in ("Greater", "Less"):
        return replace(free, zero=each(conjunction, zeros))
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
        zero = tuple((z & stays) | ((lv <= OFF) & gone) for z, lv in zip(zeros[0], uppers[0], strict=True))
        same = op in ("Identity", "Cast", "Dropout")
        kept = {"upper": parts[0].upper, "lower": parts[0].lower, "one": ones[0]} if same else {}
        return replace(free, zero=zero, **kept)
    return free


def each(join: Callable[[Sequence[Array]], Array], parts: Sequence[tuple[Array, ...]]) -> tuple[Array, ...]:
    """Joins one kind of mask facts of several operands, at each length."""
    return tuple(join(values) for values in zip(*parts, strict=True))


def complemented(found: MaskFacts, facts: Facts, parts: Sequence[MaskFacts]) -> MaskFacts:
    """The mask facts of one minus a table, in which zeros and ones swap; ``found`` for any other Sub."""
    if (
        len(parts) != 2
        or not isinstance(facts.inputs[0], TimeConstant)
        or any((v != 1).any() for v in known_values(facts, 0))
    ):
        return found
    zero = tuple(z | o for z, o in zip(found.zero, parts[1].one, strict=True))
    return replace(found, zero=zero, one=parts[1].zero)


def raised_where_one(upper: tuple[Array, ...], factor: tuple[Array, ...], table: MaskFacts) -> tuple[Array, ...]:
    """The bound of a constant times a table: the constant itself where the table is one."""
    return tuple(np.where(o, f, lv) for lv, f, o in zip(upper, factor, table.one, strict=True))


def clipped(node: Node, facts: Facts, table: MaskFacts, free: MaskFacts) -> MaskFacts:
    """The mask facts of a table after a clip between two constant bounds; ``free`` if a bound is not constant."""
    bounds: list[float] = []
    for index, (name, none) in enumerate((("min", -inf), ("max", inf)), 1):
        fact = facts[index]
        if fact is None:
            bounds.append(float(node.attrs.get(name, none)))
        elif isinstance(fact, TimeConstant) and fact.steady is not None and fact.steady.size == 1:
            bounds.append(float(fact.steady.ravel()[0]))
        else:
            return free
    low, high = bounds
    return replace(
        free,
        upper=tuple(np.clip(lv, low, high) for lv in table.upper),
        lower=tuple(np.clip(lv, low, high) for lv in table.lower),
    )


def summed(uppers: Sequence[Array]) -> Array:
    total = uppers[0]
    for upper in uppers[1:]:
        with np.errstate(invalid="ignore"):
            total = np.nan_to_num(total + upper, nan=-inf, posinf=inf, neginf=-inf)
    return total


def conjunction(masks: Sequence[Array]) -> Array:
    found: Array = np.all(np.stack(np.broadcast_arrays(*masks)), axis=0)
    return found


def disjunction(masks: Sequence[Array]) -> Array:
    found: Array = np.any(np.stack(np.broadcast_arrays(*masks)), axis=0)
    return found


def scaled(
    facts: Facts, parts: Sequence[MaskFacts], known: Sequence[bool], count: int, inverse: bool = False
) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """The upper and lower bounds of a table times (or divided by) known factors; 0 for any other operands.

    Factors may be 0, as those that select entries are, but not negative.
    """
    free = MaskFacts.free(count)
    if len(parts) != 2 or sum(known) != 1:
        return free.upper, free.lower
    other = known.index(True)
    values = [np.asarray(v, dtype=np.float64) for v in known_values(facts, other)]
    if any(not v.size or not np.isfinite(v).all() or v.min() < 0 or (inverse and not v.all()) for v in values):
        return free.upper, free.lower
    table, factor = parts[1 - other], parts[other]
    ends = [(1 / b, 1 / a) if inverse else (a, b) for a, b in zip(factor.lower, factor.upper, strict=True)]
    most = tuple(np.maximum(times(lv, a), times(lv, b)) for lv, (a, b) in zip(table.upper, ends, strict=True))
    lower = tuple(np.minimum(times(lv, a), times(lv, b)) for lv, (a, b) in zip(table.lower, ends, strict=True))
    return most, lower


def times(bound: Array, factor: Array) -> Array:
    """A bound times a factor that is not negative; 0, the bound of unmasked entries, if it is infinity times 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray(np.nan_to_num(bound * factor, nan=0.0, posinf=inf, neginf=-inf))


def known_values(facts: Facts, index: int) -> tuple[Array, ...]:
    fact = facts.inputs[index]
    assert isinstance(fact, TimeConstant)
    return fact.values


def mask_facts_of_operand(facts: Facts, fact: Fact | None, frame: Frame, count: int) -> MaskFacts:
    if isinstance(fact, ScoreMatrix):
        return fact.masks
    free = MaskFacts.free(count)
    if not isinstance(fact, TimeConstant) or fact.values[0].dtype.kind not in "fiub":
        return free
    upper = tuple(plane(v.astype(np.float64), frame, np.max) for v in fact.values)
    lower = tuple(plane(v.astype(np.float64), frame, np.min) for v in fact.values)
    zero = tuple(plane(v == 0, frame, np.all) for v in fact.values)
    return replace(
        free, upper=upper, lower=lower, zero=zero, one=tuple(plane(v == 1, frame, np.all) for v in fact.values)
    )


def chosen(facts: Facts, parts: Sequence[MaskFacts], free: MaskFacts) -> MaskFacts:
    """The mask facts of a Where: those of the chosen operand if the condition is known, else what holds for both."""
    always, never = parts[0].one, parts[0].zero

    def pick(kind: str, both: Callable[[Array, Array], Array]) -> tuple[Array, ...]:
        found = []
        for i in range(len(always)):
            a, b = getattr(parts[1], kind)[i], getattr(parts[2], kind)[i]
            found.append(np.where(always[i], a, np.where(never[i], b, both(a, b))))
        return tuple(found)

    found = replace(
        free,
        upper=pick("upper", np.maximum),
        lower=pick("lower", np.maximum),
        zero=pick("zero", np.logical_and),
        one=pick("one", np.logical_and),
    )
    return (
        replace(found, displaced=pick("displaced", np.logical_or))
        if isinstance(facts.inputs[0], TimeConstant)
        else found
    )
