"""Constant score matrices that do not shift along with the stream. Each call computes them from the positions.

``sin(i * j)`` under a band is an example. The matrix is traced back to its operands. An operand with one time axis is a
position, and is computed from the clock. An operand with two time axes must shift along. A stored table over both
positions is refused, since it has no operands.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphc.ir.graph import Constant, Tensor, Variable
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.positions.position_constants import Positions, alias, shape_argument
from graphc.stream.positions.position_steps import Made, Position
from graphc.stream.positions.ramps import time_axes
from graphc.stream.scores.constant_scores import noise_of, repeats
from graphc.stream.symbolic.queries.questions import Steady


def table_from_clock(positions: Positions, name: str, times: tuple[Stream, Stream]) -> Made | None:
    """The steps that compute a constant score matrix from the clock; None if an operand's later values are unknown."""
    time = times[0].at(max(0, *(t.delay for t in times)))
    grows = len({time.length(n) for n in positions.evaluation.lengths}) > 1
    if not grows or any(t.rate != time.rate or t.length != time.length for t in times):
        return None
    found = Made(alias(name, time))
    return found if follow(positions, name, time, positions.values(name), found) else None


def follow(positions: Positions, name: str, time: Stream, values: Mapping[str, TimeConstant], found: Made) -> bool:
    """Appends to ``found`` the steps that compute one tensor with two time axes.

    Returns False if one of its operands cannot be computed from the clock.
    """
    node = positions.made_by.get(name)
    if node is None or name not in values:
        return False
    lengths = positions.evaluation.lengths
    inputs: list[Tensor] = []
    facts: list[Fact | None] = []
    made = False
    for tensor in node.inputs:
        held = values.get(tensor.name) or positions.evaluation.known.get(tensor.name)
        kept = held is None or held.steady is not None or shape_argument(node, tensor)
        sides = 0 if held is None or kept else len(time_axes(held, time, lengths))
        if held is not None and held.steady is not None and tensor.name and not isinstance(tensor, Constant):
            positions.proof.claim(tensor.name, Steady())
        if kept or (held is not None and sides == 2 and shifts(held)):
            inputs.append(tensor)
            facts.append(held if tensor.name else None)
            continue
        of_one = sides == 1 and positions.follow(tensor.name, time, values, found)
        if not of_one and not (sides == 2 and follow(positions, tensor.name, time, values, found)):
            return False
        inputs.append(Variable(alias(tensor.name, time)))
        facts.append(None)
        made = True
    if not made:
        return False
    outputs = [Variable(alias(t.name, time)) if t.name else t for t in node.outputs]
    found.steps.append(Position(node, None, inputs, facts, outputs, values))
    return True


def shifts(known: TimeConstant) -> bool:
    """Whether a table repeats along the diagonal of its two axes that grow, at the longest length."""
    longest = max(known.values, key=np.size)
    grown = [a for a in range(longest.ndim) if len({v.shape[a] for v in known.values}) > 1]
    table: Array = np.moveaxis(longest, grown, tuple(range(len(grown))))
    noise = noise_of(table)
    return any(repeats(table, period, noise) for period in range(1, min(table.shape[:2]) // 2))
