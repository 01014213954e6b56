"""Lowers ops that keep some moved entries and overwrite the others, as the triangle of a relative shift does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphc.ir.graph import Node
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.scores.score_matrix import emit_nothing

NOWHERE = -1


def blanked(node: Node, facts: Facts) -> Lowering | None:
    """The lowering of a Mul by zeros and ones, a Where or a Trilu on moved entries; None for any other node.

    Entries that the node leaves unchanged keep their origin. The others then have no origin (-1).
    """
    moved = [(i, f) for i, f in enumerate(facts.inputs) if isinstance(f, IndexMap)]
    if len(moved) != 1:
        return None
    index, fact = moved[0]
    kept = kept_entries(node, facts, index, fact)
    if kept is None:
        return None
    maps = []
    for entries, keep in zip(fact.maps, kept, strict=True):
        if np.broadcast_shapes(entries.shape, keep.shape) != entries.shape:
            return None
        maps.append(np.where(keep, entries, NOWHERE))
    return Lowering((replace(fact, maps=tuple(maps)),), emit_nothing(node))


def kept_entries(node: Node, facts: Facts, index: int, moved: IndexMap) -> tuple[Array, ...] | None:
    """Which moved entries a node leaves unchanged, at each evaluated length: bool, broadcastable.

    Returns None for nodes other than the three that ``blanked`` lowers.

    Args:
        index: the index of the input with the moved entries.
    """
    if node.op == "Mul":
        values = values_of(facts[1 - index])
        return tuple(v == 1 for v in values) if values and all(np.isin(v, (0, 1)).all() for v in values) else None
    if node.op == "Where" and index > 0:
        conditions = values_of(facts[0])
        other = values_of(facts[3 - index])
        return tuple(c == (index == 1) for c in conditions) if conditions and other else None
    if node.op == "Trilu":
        diagonals = values_of(facts[1]) or (np.zeros(1, np.int64),) * len(moved.maps)
        cut = np.triu if node.attrs.get("upper", 1) else np.tril
        return tuple(
            cut(np.ones(m.shape[-2:], bool), int(d.ravel()[0])) for m, d in zip(moved.maps, diagonals, strict=True)
        )
    return None


def values_of(fact: Fact | None) -> tuple[Array, ...] | None:
    return fact.values if isinstance(fact, TimeConstant) else None
