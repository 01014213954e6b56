"""Lowers constants that depend on the position to streams that each call computes from the clock.

A constant that is combined with a stream may differ from frame to frame without a period. Then it is traced back to a
ramp (0, 1, 2 and so on, whichever nodes compute it), to a stored table that is read from its start, or to a constant
that differs only near an end of the stream (``Edges``). The nodes after this source become ops on streams.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from typing import Any

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Constant, Node, Tensor, Variable, normalised
from graphc.stream.boundary.boundary_constants import Edges, edged_of, edges_step, may_have_ends
from graphc.stream.evaluation.evaluate import values_of
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.positions.end_masks import EndMask, end_mask_of, end_mask_step, sides_of
from graphc.stream.positions.position_steps import Clamped, Made, Position
from graphc.stream.positions.ramps import StoredTable, ramp_of, ramp_step, stream_fact, table_of, table_step, time_axis
from graphc.stream.positions.uniform import uniform_of, uniform_step
from graphc.stream.symbolic.check import values_at
from graphc.stream.symbolic.domain.space import NoFormulaError, least
from graphc.stream.symbolic.proof import Proof
from graphc.stream.symbolic.queries.questions import Counting, Edged, Periodic, RowsOf, Steady
from graphc.stream.symbolic.stretch import ENDLESS

MOST_LENGTHS = 256


class Positions:
    """Finds how the time-only tensors of an evaluation can be computed from the position."""

    def __init__(self, evaluation: Evaluation, grid: int, proof: Proof):
        self.evaluation, self.grid, self.proof = evaluation, grid, proof
        self.made_by = {t.name: n for n in evaluation.graph.nodes for t in n.outputs if t.name}

    def made(self, name: str, time: Stream) -> Made | None:
        """The steps that compute a tensor along with the stream ``time``; None if its later values are unknown."""
        time = time.at(max(0, time.delay))
        found = Made(alias(name, time))
        return found if self.follow(name, time, self.values(name), found) else None

    def may_have_ends(self, name: str, time: Stream) -> bool:
        """Whether longer lengths could show that the first frames of a tensor differ from later ones."""
        known = self.evaluation.known[name]
        axis = time_axis(known, time, self.evaluation.lengths)
        return axis is not None and len(self.evaluation.lengths) > 1 and may_have_ends(known, axis)

    def values(self, name: str) -> dict[str, TimeConstant]:
        """The values of a tensor, and of all time-only tensors from which it is computed."""
        memo = self.evaluation.memo
        key = ("positions", name)
        if key not in memo:
            memo[key] = values_of(self.evaluation, name)
        found: dict[str, TimeConstant] = memo[key]
        return found

    def follow(self, name: str, time: Stream, values: Mapping[str, TimeConstant], found: Made) -> bool:
        """Appends to ``found`` the steps that compute one tensor; returns False if its later values are unknown."""
        known = values.get(name)
        node = self.made_by.get(name)
        if known is None or node is None:
            return False
        step = self.source(name, node, known, time, values, found)
        if step is None:
            return self.follow_inputs(name, node, time, values, found)
        found.steps.append(Position(node, step, [], [], [Variable(alias(name, time))], values))
        return True

    def source(
        self,
        name: str,
        node: Node,
        known: TimeConstant,
        time: Stream,
        values: Mapping[str, TimeConstant],
        found: Made,
    ) -> Lowering | None:
        """The lowering that computes a tensor from the clock only; None if the tensor has no known form.

        Also claims that the tensor has this form at every length.
        """
        lengths = self.evaluation.lengths
        ramp = ramp_of(known, time, lengths)
        if ramp is not None:
            self.proof.claim(name, Counting(ramp.axis, time.length, int(ramp.start), int(ramp.step)))
            return ramp_step(ramp, time, known)
        table = table_of(known, node, values, time, lengths)
        if table is not None:
            self.claim_rows(name, node.inputs[0], time, table)
            found.bounds.append((time.length, table.value.shape[table.axis]))
            return table_step(table, time, known)
        axis = time_axis(known, time, lengths)
        edges = None if axis is None else edged_of(known, axis, lengths)
        if edges is not None:
            self.proof.claim(name, claim_of(edges, time))
            return edges_step(edges, stream_fact(known, time, edges.axis), self.grid)
        mask = None if axis is None else self.end_mask(name, known, axis, time)
        if mask is not None:
            self.proof.claim(name, mask.claim(time.length))
            return end_mask_step(mask, stream_fact(known, time, mask.axis), self.grid)
        uniform = uniform_of(known, self.proof.formulas.facts.values(), lengths)
        if uniform is not None:
            self.proof.claim(name, Periodic(uniform.from_right, uniform.length, 1))
            return uniform_step(uniform)
        return None

    def follow_inputs(
        self, name: str, node: Node, time: Stream, values: Mapping[str, TimeConstant], found: Made
    ) -> bool:
        """Appends to ``found`` the steps that compute the inputs of a node, and the node itself as an op on streams.

        Returns False if the later values of an input are unknown, or if no input depends on the position.
        """
        inputs: list[Tensor] = []
        facts: list[Fact | None] = []
        single = len(self.evaluation.lengths) == 1
        for tensor in node.inputs:
            held = values.get(tensor.name) or self.evaluation.known.get(tensor.name)
            moves = single and tensor.name in values and self.follow(tensor.name, time, values, found)
            if moves:
                inputs.append(Variable(alias(tensor.name, time)))
                facts.append(None)
            elif not tensor.name or isinstance(tensor, Constant) or (held is not None and held.steady is not None):
                if tensor.name and not isinstance(tensor, Constant):
                    self.proof.claim(tensor.name, Steady())
                inputs.append(tensor)
                facts.append(held if tensor.name else None)
            elif shape_argument(node, tensor) or (node.op == "Gather" and facts == [None]):
                inputs.append(tensor)
                facts.append(held)
            elif self.follow(tensor.name, time, values, found):
                inputs.append(Variable(alias(tensor.name, time)))
                facts.append(None)
            else:
                return False
        if all(t.name in values or not t.name or isinstance(t, Constant) for t in inputs):
            return False
        outputs = [Variable(alias(t.name, time)) if t.name else t for t in node.outputs]
        found.steps.append(Position(node, None, inputs, facts, outputs, values))
        if node.op == "Gather" and node.inputs[1].name in values:
            bound = rows_bound(node, values, self.evaluation)
            end = (time.length, bound) if bound is not None else self.end_of_table(name)
            if end is not None:
                found.bounds.append(end)
                found.steps[-1] = self.clamped_gather(found.steps[-1], values)
        return True

    def end_mask(self, name: str, known: TimeConstant, axis: int, time: Stream) -> EndMask | None:
        """The end mask that a tensor is; None if it is no end mask.

        If the tensor has a formula, its values at further lengths are used too: as many lengths as input frames that
        one frame of the constant spans.
        """
        if sides_of(known.values, axis) is None:
            return None
        values, lengths = list(known.values), list(self.evaluation.lengths)
        period, apart = ceil(1 / time.rate), self.proof.known.apart
        try:
            formula = self.proof.formulas.named(name)
        except NoFormulaError:
            period = 0
        for frames in range(max(lengths) + apart, max(lengths) + 1 + min(period, MOST_LENGTHS) * apart, apart):
            value = values_at(formula, frames)
            if value is not None and value.shape[axis] == time.length(frames):
                values.append(value)
                lengths.append(frames)
        return end_mask_of(values, lengths, axis, time.rate, self.proof.formulas.facts.values())

    def end_of_table(self, name: str) -> tuple[Length, int] | None:
        """The entry of ``Made.bounds`` for a Gather: the longest stream that stays in its table; None if all do."""
        try:
            outside = self.proof.formulas.named(name).outside
        except NoFormulaError as err:
            self.proof.doubt(name, str(err))
            return Length(), ENDLESS
        return None if outside.is_empty() else (Length(), least(outside) - 1)

    def claim_rows(self, name: str, table: Tensor, time: Stream, found: StoredTable) -> None:
        """Claims that a tensor consists of the first rows of a table, at every length."""
        try:
            rows = self.proof.formulas.of(table)
        except NoFormulaError as err:
            self.proof.doubt(name, str(err))
        else:
            self.proof.claim(name, RowsOf(found.axis, time.length, rows))

    def clamped_gather(self, position: Position, values: Mapping[str, TimeConstant]) -> Position:
        """The step of a Gather from a table, with the indices clamped to the ends of the table."""
        table, index = position.node.inputs
        rank, shape = values_shape(table, values, self.evaluation)
        rows = shape[normalised(int(position.node.attrs.get("axis", 0)), rank)]
        return replace(position, clamped=Clamped(rows, dtype_of(values, index)))


def claim_of(edges: Edges, time: Stream) -> Edged:
    """The claim that a constant with edges keeps its form at every length."""
    after = edges.tail.shape[edges.axis] - 1
    return Edged(edges.axis, time.length, edges.before, after, edges.late, edges.period)


def alias(name: str, time: Stream) -> str:
    return f"{name}/at_{time.rate.numerator}_{time.rate.denominator}_{time.delay}"


def shape_argument(node: Node, tensor: Tensor) -> bool:
    """Whether an input is only a size or an offset, which depends on the length and not on the position."""
    index = next(i for i, t in enumerate(node.inputs) if t is tensor)
    return index > 0 and node.op in ("Reshape", "Expand", "Slice", "Tile", "Unsqueeze", "Squeeze", "Pad")


def dtype_of(values: Mapping[str, TimeConstant], tensor: Tensor) -> np.dtype[Any]:
    return values[tensor.name].values[0].dtype


def values_shape(
    tensor: Tensor, values: Mapping[str, TimeConstant], evaluation: Evaluation
) -> tuple[int, tuple[int, ...]]:
    if isinstance(tensor, Constant):
        return len(tensor.shape), tuple(tensor.shape)
    known = values.get(tensor.name) or evaluation.known[tensor.name]
    return known.values[0].ndim, known.values[0].shape


def rows_bound(node: Node, values: Mapping[str, TimeConstant], evaluation: Evaluation) -> int | None:
    """The number of frames for which growing indices stay inside a table.

    None if the indices do not grow by equal steps.
    """
    index = values.get(node.inputs[1].name)
    if index is None:
        return None
    flat = max(index.values, key=np.size).ravel().astype(np.int64)
    steps = set(np.diff(flat).tolist())
    if len(steps) != 1 or min(steps) < 1:
        return None
    rank, shape = values_shape(node.inputs[0], values, evaluation)
    along = normalised(int(node.attrs.get("axis", 0)), rank)
    return int((shape[along] - 1 - flat[0]) // min(steps)) + 1
