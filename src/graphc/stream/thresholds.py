"""Lengths from which on a graph may do something else, beyond those at which it was evaluated.

What depends on the length is judged by its values at some lengths. A place that is clamped at 500, or a mask that opens
after frame 500, shows only beyond. So every margin of the time-only nodes (`decisions.py`) is followed over the lengths
evaluated, and the length at which it will be zero is foretold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from graphc.graph import Constant, Graph, Node, constant_of, label, reads, subgraphs
from graphc.stream.decisions import PLACING, SMOOTH, Operands, limits_of, margins_of, wholes_of
from graphc.stream.facts import Array, Known
from graphc.stream.foretold import Course, Zero
from graphc.stream.inner_constants import value_in
from graphc.stream.tables import margins_of_table
from graphc.stream.time_only import TimeOnly

if TYPE_CHECKING:
    from graphc.stream.evaluate import Evaluation

NO_STREAM = 9 * 10**8
MOST_CLOCKS = 8
ROUNDING = 1e-6
MOST_FOLLOWED = 1024
LARGEST_CONSTANT = 2**20
BYTES_AT_ONCE = 2**28
CORNERS = (0, 1, -2, -1)
SMALL = 64


@dataclass(frozen=True, order=True)
class Change:
    """A length, in input frames, from which on a node may do something else.

    Args:
        exact: whether nothing happens before ``earliest``; else the length is an estimate.
        earliest: the least that it can be.
    """

    frames: int
    node: str
    exact: bool
    earliest: int


def changes_of_graph(evaluation: Evaluation, slowest: int) -> list[Change]:
    """The changes that lie beyond the lengths evaluated, before them, or among the longer ones, in order.

    Args:
        slowest: input frames to one frame of the slowest tensor.

    Errors:
        ModelError: onnxruntime does not run the time-only part.
    """
    found = {*changes_of_margins(evaluation), *numbers_of_bodies(evaluation, slowest)}
    return sorted(c for c in found if c.frames < NO_STREAM)


def changes_of_margins(evaluation: Evaluation) -> Iterator[Change]:
    carried = evaluation.carried
    nodes = [n for n in evaluation.graph.nodes if n.op in PLACING or not any(t.name in carried for t in n.outputs)]
    read = {id(n): [t.name for t in n.inputs if t.name not in carried and not isinstance(t, Constant)] for n in nodes}
    made = {id(n): [t.name for t in n.outputs if t.name and t.name not in carried] for n in nodes}
    time = TimeOnly(evaluation, sorted({name for n in nodes for name in (*read[id(n)], *made[id(n)]) if name}))
    narrow = {name for name, dtype in time.types.items() if limits_of(dtype) is not None}
    wanted = {
        id(n): [
            *(t for t in read[id(n)] if t in time.types and n.op not in SMOOTH),
            *(t for t in made[id(n)] if t in narrow),
        ]
        for n in nodes
    }
    clocks = clocks_of(evaluation)
    for group in groups(nodes, wanted, max(evaluation.lengths)):
        values = time.values(sorted({name for n in group for name in wanted[id(n)]}))
        for node in group:
            if wanted[id(node)] or node.op in PLACING:
                for zero in changes_of(evaluation, node, values, clocks):
                    yield Change(rounded_up(zero.frames), label(node), zero.exact, rounded_up(zero.earliest))


def groups(nodes: Sequence[Node], wanted: dict[int, list[str]], longest: int) -> Iterator[list[Node]]:
    """Nodes whose operands are held at one time, tables of two times among them."""
    most = max(8, BYTES_AT_ONCE // (8 * longest * longest))
    group: list[Node] = []
    names: set[str] = set()
    for node in nodes:
        if group and len(names | set(wanted[id(node)])) > most:
            yield group
            group, names = [], set()
        group.append(node)
        names |= set(wanted[id(node)])
    if group:
        yield group


@np.errstate(all="ignore")
def changes_of(
    evaluation: Evaluation, node: Node, values: dict[str, tuple[Array, ...]], clocks: Sequence[tuple[int, ...]]
) -> list[Zero]:
    """The lengths at which one node is going to do something else, or does something else before."""
    runs = [operands_at(evaluation, node, values, index) for index in range(len(evaluation.lengths))]
    margins = [margins_of(node, given) for given in runs]
    wholes = [wholes_of(node, given) for given in runs]
    for tensor in node.outputs:
        limits = limits_of(values[tensor.name][0].dtype) if tensor.name in values else None
        for limit in limits or ():
            for index, found in enumerate(margins):
                found.append(values[tensor.name][index] - limit)
    foretold: list[Zero] = []
    for of_one in (*zip(*margins, strict=True), *margins_of_table(node, runs)):
        foretold += zeros_of(clocks, of_one, whole=False)
    for of_one in zip(*wholes, strict=True):
        foretold += zeros_of(clocks, of_one, whole=True)
    return foretold


def rounded_up(frames: float) -> int:
    return math.ceil(frames * (1 - ROUNDING))


def operands_at(evaluation: Evaluation, node: Node, values: dict[str, tuple[Array, ...]], index: int) -> Operands:
    found: list[Array | None] = []
    shapes: list[tuple[int, ...] | None] = []
    for tensor in node.inputs:
        value: Array | None = None
        if tensor.name in values:
            value = values[tensor.name][index]
        elif isinstance(tensor, Constant) and math.prod(tensor.shape) <= LARGEST_CONSTANT:
            value = constant_of(tensor)
        sizes = evaluation.shapes.get(tensor.name)
        known = tuple(tensor.shape) if isinstance(tensor, Constant) else None
        found.append(value)
        shapes.append(value.shape if value is not None else sizes[index] if sizes is not None else known)
    return Operands(found, shapes)


def clocks_of(evaluation: Evaluation) -> list[tuple[int, ...]]:
    """The lengths, and the lengths that tensors of data have at these: the sizes of their axes that change."""
    found = dict.fromkeys([evaluation.lengths])
    for shapes in evaluation.shapes.values():
        for sizes in zip(*shapes, strict=False):
            if len(set(sizes)) > 1 and len(found) < MOST_CLOCKS:
                found.setdefault(sizes)
    return list(found)


def zeros_of(clocks: Sequence[tuple[int, ...]], margins: Sequence[Array], whole: bool) -> list[Zero]:
    """The lengths at which entries of a margin are zero, beyond and before those seen; of ``whole`` numbers, whole."""
    seen = [(n, m) for n, m in zip(zip(*clocks, strict=True), margins, strict=True) if m.size]
    if len({m.ndim for _, m in seen}) != 1 or len(seen) < 2:
        return []
    shapes = [m.shape for _, m in seen]
    grown = [a for a in range(len(shapes[0])) if len({s[a] for s in shapes}) > 1]
    followed = np.stack([entries(m, grown) for _, m in seen])
    followed = np.unique(followed[:, np.isfinite(followed).all(axis=0)], axis=1)
    course = Course(list(zip(*(n for n, _ in seen), strict=True)))
    foretell = course.other_wholes if whole else course.zeros
    return [zero for column in followed.T for zero in foretell(column)]


def entries(margin: Array, grown: Sequence[int]) -> Array:
    """Entries to follow over the lengths, [count]: the extremes over the axes that grow, and those at their ends."""
    kept = [a for a in range(margin.ndim) if a not in grown]
    table = margin.transpose(*grown, *kept).astype(np.float64, copy=False)
    table = table.reshape(*(margin.shape[a] for a in grown), -1)
    if table.shape[-1] > MOST_FOLLOWED:
        table = np.stack([table.min(axis=-1), table.max(axis=-1)], axis=-1)
    if not grown:
        return table.ravel()
    over = tuple(range(len(grown)))
    found = [table.min(axis=over), table.max(axis=over)]
    for corner in product(CORNERS, repeat=len(grown)):
        place = tuple(min(c, n - 1) if c >= 0 else max(c, -n) for c, n in zip(corner, table.shape, strict=False))
        found.append(table[place])
    return np.concatenate(found)


def numbers_of_bodies(evaluation: Evaluation, slowest: int) -> Iterator[Change]:
    """Time-only nodes with bodies may do something else from the sum of all numbers on that they hold or read."""
    nodes = [n for n in evaluation.time_nodes if next(subgraphs(n), None) is not None]
    time = TimeOnly(evaluation, sorted({t.name for n in nodes for t in reads(n) if not isinstance(t, Constant)}))
    for node in nodes:
        numbers = [n for inner in subgraphs(node) for n in numbers_in(inner)]
        for values in time.values([t.name for t in reads(node) if t.name in time.types]).values():
            if Known(values).steady is not None:
                numbers += sizes_of(values[0])
        if numbers:
            frames = slowest * math.ceil(sum(numbers))
            yield Change(frames, label(node), exact=False, earliest=frames)


def numbers_in(body: Graph) -> Iterator[float]:
    """The sizes of the numbers that a body holds."""
    for node in body.nodes:
        for tensor in [*node.inputs, *node.outputs]:
            value = value_in(tensor)
            if value is not None:
                yield from sizes_of(np.asarray(value))
        for inner in subgraphs(node):
            yield from numbers_in(inner)


def sizes_of(value: Array) -> list[float]:
    """The sizes of numbers, but for those that no stream reaches; of large tables the largest."""
    if value.dtype.kind not in "iuf" or not value.size:
        return []
    sizes = np.abs(value.astype(np.float64)).ravel()
    sizes = sizes[np.isfinite(sizes) & (sizes < NO_STREAM)]
    return list(sizes) if sizes.size <= SMALL else [float(sizes.max())]
