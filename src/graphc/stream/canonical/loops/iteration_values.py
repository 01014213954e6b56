"""Computes the integer tensors in the body of a Loop, with each entry as an affine function of the iteration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.ir.graph import Graph, Node, Tensor, normalised, standard
from graphc.stream.canonical.constants_behind_nodes import value_in
from graphc.stream.canonical.loops.iteration_affine import Line, fitted
from graphc.stream.canonical.loops.iteration_ops import MOST_ENTRIES, OPS, Entries, entries, filled, line, plain
from graphc.stream.canonical.loops.plain_loops import ENDLESS

TURN = Line(Fraction(1), Fraction(0), Fraction(0))
COUNT = Line(Fraction(0), Fraction(1), Fraction(0))
Dims = tuple[Line, ...]


@dataclass(frozen=True)
class Ramp:
    """The numbers 0, 1, 2 and so on, up to ``below - 1``, which depends on the number of iterations."""

    below: Line


class IterationValues:
    """Computes the values and shapes of tensors in the body of a Loop, where they are known.

    Args:
        counts: the number of iterations, at each evaluated length.
        shapes: the shapes of tensors outside the body, at each evaluated length.
        known: the values of tensors outside the body, at each evaluated length.
        carried: the shapes of the carried values whose shape is the same in every iteration, by name.
    """

    def __init__(
        self,
        body: Graph,
        counts: Sequence[int],
        shapes: Mapping[str, Sequence[tuple[int, ...]]],
        known: Sequence[Mapping[str, NDArray[np.generic]]],
        carried: Mapping[str, Dims],
    ):
        self.body, self.counts, self.shapes, self.known, self.carried = body, counts, shapes, known, carried
        self.made_by = {t.name: n for n in body.nodes for t in n.outputs if t.name}
        self.found: dict[str, Entries | Ramp | None] = {}

    def read_outside(self, tensors: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Finds the tensors outside the body from which some tensors in the body are computed.

        Returns two lists: the tensors whose values are read, and the tensors whose shapes are read.
        """
        waiting = [(tensor, False) for tensor in tensors]
        seen = set[tuple[str, bool]]()
        read: dict[str, Tensor] = {}
        measured: dict[str, Tensor] = {}
        while waiting:
            tensor, is_shape = waiting.pop()
            if (tensor.name, is_shape) in seen or not tensor.name:
                continue
            seen.add((tensor.name, is_shape))
            node = self.made_by.get(tensor.name)
            if node is None and is_shape:
                measured |= {tensor.name: tensor} if tensor.name in self.shapes else {}
            elif node is None:
                read |= {tensor.name: tensor} if any(tensor.name in values for values in self.known) else {}
            elif is_shape:
                waiting += [(t, place == 0) for place, t in enumerate(node.inputs)]
            else:
                waiting += [(t, node.op == "Shape") for t in node.inputs]
        return [*read.values()], [*measured.values()]

    def of(self, tensor: Tensor) -> Entries | Ramp | None:
        """The entries of a tensor, each a ``Line``, or a ``Ramp``; None if they are not affine or not known."""
        if not tensor.name:
            return None
        if tensor.name not in self.found:
            self.found[tensor.name] = None
            self.found[tensor.name] = self.worked_out(tensor)
        return self.found[tensor.name]

    def constant(self, tensor: Tensor) -> NDArray[np.int64] | None:
        """The value of an integer tensor that is equal in all iterations and at all lengths; None for other tensors."""
        held = self.of(tensor)
        if not isinstance(held, np.ndarray) or not all(line.is_plain for line in held.ravel()):
            return None
        return np.array([int(line.rest) for line in held.ravel()], np.int64).reshape(held.shape)

    def dims(self, tensor: Tensor) -> Dims | None:
        """The shape of a tensor; None if it is not known."""
        if tensor.name in self.carried:
            return self.carried[tensor.name]
        if tensor.name in self.shapes and tensor.name not in self.made_by:
            return lines_of(self.shapes[tensor.name], self.counts)
        node = self.made_by.get(tensor.name)
        if node is not None and node.op in ("Slice", "Gather", "Identity") and standard(node):
            before = self.dims(node.inputs[0])
            if before is not None:
                return self.dims_behind(node, before)
        held = self.of(tensor)
        if isinstance(held, Ramp):
            return (held.below,)
        return None if held is None else tuple(line(size) for size in held.shape)

    def dims_behind(self, node: Node, before: Dims) -> Dims | None:
        """The output shape of a Slice, Gather or Identity whose input has the shape ``before``; None if unknown."""
        if node.op == "Identity":
            return before
        if node.op == "Gather":
            axis = normalised(int(node.attrs.get("axis", 0)), len(before))
            picked = self.dims(node.inputs[1])
            return None if picked is None else (*before[:axis], *picked, *before[axis + 1 :])
        cuts = self.cuts(node, len(before))
        if cuts is None:
            return None
        sizes = list(before)
        for axis, cut in cuts.items():
            if cut is None:
                continue
            size, offset = cut[1].minus(cut[0]), offset_of(cut[0])
            spare = before[axis].minus(COUNT)
            if not size.is_plain or offset is None or not spare.is_plain or spare.rest < offset + size.rest - 1:
                return None
            sizes[axis] = size
        return tuple(sizes)

    def cuts(self, node: Node, rank: int) -> dict[int, tuple[Line, Line] | None] | None:
        """The start and end of a Slice with steps of 1, for each axis that the Slice names; None if they are not known.

        An axis that the Slice does not shorten has None instead of a start and an end.
        """
        starts, ends = (self.of(t) for t in node.inputs[1:3])
        if not isinstance(starts, np.ndarray) or not isinstance(ends, np.ndarray) or starts.shape != ends.shape:
            return None
        optional = [t if t.name else None for t in node.inputs[3:]]
        held = [None if t is None else self.constant(t) for t in optional]
        if any(t is not None and value is None for t, value in zip(optional, held, strict=True)):
            return None
        axes, steps = [*held, None, None][:2]
        if steps is not None and (steps != 1).any():
            return None
        named = range(starts.size) if axes is None else [normalised(int(a), rank) for a in axes.ravel()]
        found: dict[int, tuple[Line, Line] | None] = {}
        for axis, start, end in zip(named, starts.ravel(), ends.ravel(), strict=True):
            whole = start == line(0) and end.is_plain and end.rest >= ENDLESS
            found[axis] = None if whole else (start, end)
        return found

    def worked_out(self, tensor: Tensor) -> Entries | Ramp | None:
        if tensor is self.body.inputs[0]:
            return entries(TURN)
        if (value := value_in(tensor)) is not None:
            return plain(np.asarray(value))
        node = self.made_by.get(tensor.name)
        if node is None and tensor.name in {t.name for t in self.body.inputs}:
            return None
        if node is None:
            held = [values[tensor.name] for values in self.known if tensor.name in values]
            return known_entries(held, self.counts) if len(held) == len(self.counts) else None
        if not standard(node):
            return None
        if node.op == "Shape":
            dims = self.dims(node.inputs[0])
            return None if dims is None else shape_entries(node, dims)
        if node.op == "Slice":
            return self.sliced(node)
        if node.op == "Range":
            return self.ranged(node)
        operands = [self.of(t) for t in node.inputs if t.name]
        if node.op == "Gather" and isinstance(operands[0], Ramp):
            return self.picked(operands[0], operands[1])
        if node.op not in OPS or not all(isinstance(v, np.ndarray) for v in operands):
            return None
        try:
            made: Entries | None = OPS[node.op](node, *operands)
        except (ValueError, IndexError, TypeError):
            return None
        return made if made is not None and made.size <= MOST_ENTRIES else None

    def sliced(self, node: Node) -> Entries | Ramp | None:
        held = self.of(node.inputs[0])
        cuts = None if held is None else self.cuts(node, 1 if isinstance(held, Ramp) else held.ndim)
        if cuts is None or held is None:
            return None
        if isinstance(held, Ramp):
            cut = cuts.get(0)
            return held if cut is None else entries(cut[0]).reshape(1) if self.picks(held, cut) else None
        for axis, cut in cuts.items():
            if cut is None:
                continue
            if not (cut[0].is_plain and cut[1].is_plain):
                return None
            held = held[(*[slice(None)] * axis, slice(int(cut[0].rest), int(cut[1].rest)))]
        return held

    def picked(self, ramp: Ramp, places: Entries | Ramp | None) -> Entries | None:
        if not isinstance(places, np.ndarray) or places.size != 1:
            return None
        place: Line = places.ravel()[0]
        return places if self.picks(ramp, (place, place.plus(line(1)))) else None

    def picks(self, ramp: Ramp, cut: tuple[Line, Line]) -> bool:
        """Whether a cut, given by start and end, contains exactly one number of a ramp in every iteration."""
        offset, spare = offset_of(cut[0]), ramp.below.minus(COUNT)
        return offset is not None and is_single(*cut) and spare.is_plain and spare.rest >= offset

    def ranged(self, node: Node) -> Entries | Ramp | None:
        ends = [self.of(t) for t in node.inputs]
        if any(not isinstance(v, np.ndarray) or v.size != 1 for v in ends):
            return None
        start, end, step = (v.ravel()[0] for v in ends if isinstance(v, np.ndarray))
        if start == line(0) and step == line(1) and not end.is_plain:
            return Ramp(end)
        if not all(v.is_plain for v in (start, end, step)) or not step.rest:
            return None
        if (end.rest - start.rest) / step.rest > MOST_ENTRIES:
            return None
        return plain(np.arange(int(start.rest), int(end.rest), int(step.rest)))


def offset_of(place: Line) -> int | None:
    """The constant c ≥ 0 of a position that is t + c in iteration t; None for any other position."""
    rest = place.minus(TURN)
    return int(rest.rest) if rest.is_plain and rest.rest >= 0 and rest.rest.denominator == 1 else None


def is_single(start: Line, end: Line) -> bool:
    """Whether a cut contains one position in every iteration."""
    return end == start.plus(line(1))


def known_entries(values: Sequence[NDArray[Any]], counts: Sequence[int]) -> Entries | None:
    """The entries of a tensor outside the loop; None if they are not affine in the number of iterations.

    Tensors of several integers must have the same values at every length.

    Args:
        values: the value of the tensor, at each evaluated length.
        counts: the number of iterations, at each evaluated length.
    """
    first = values[0]
    if all(v.shape == first.shape and np.array_equal(v, first) for v in values):
        return plain(first)
    found = fitted(values, counts) if first.size == 1 and first.dtype.kind in "iu" else None
    return None if found is None else entries(found).reshape(first.shape)


def lines_of(shapes: Sequence[tuple[int, ...]], counts: Sequence[int]) -> Dims | None:
    """The shape of a tensor with each size as a ``Line`` in the number of iterations; None if a size is not affine.

    Args:
        shapes: the shape of the tensor, at each evaluated length.
        counts: the number of iterations, at each evaluated length.
    """
    if len({len(shape) for shape in shapes}) != 1 or len(shapes) != len(counts):
        return None
    found: list[Line] = []
    for sizes in zip(*shapes, strict=True):
        size = line(sizes[0]) if len(set(sizes)) == 1 else fitted([np.array(s) for s in sizes], counts)
        if size is None:
            return None
        found.append(size)
    return tuple(found)


def shape_entries(node: Node, dims: Dims) -> Entries:
    start, end = node.attrs.get("start", 0), node.attrs.get("end")
    kept = dims[start:end]
    return filled((len(kept),), kept)
