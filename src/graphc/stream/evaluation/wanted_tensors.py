"""The facts with which a walk over the graph begins, and the tensors that its outputs need."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Tensor, label, reads
from graphc.offline.reference import Offline
from graphc.spec.input_roles import StateRole, StaticRole, StreamRole
from graphc.stream.evaluation.record import Evaluation
from graphc.stream.evaluation.time_only import SHAPE_OPS
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.index_map import IndexMap
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.facts.stream import Stream, Untimed, UntimedOrigin
from graphc_runtime.errors import StreamError


def longest(length: Length, frames: int) -> int:
    """The largest number of input frames for which a tensor of length ``length`` has at most ``frames`` frames."""
    low, high = 0, 1
    while length(high) <= frames:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if length(middle) <= frames else (low, middle)
    return low


def refuse_table(port: Tensor, fact: Fact | None) -> None:
    """Refuses a graph output with two time axes, since a stream has only one."""
    if isinstance(fact, IndexMap) and fact.refusal is not None:
        raise fact.refusal
    if isinstance(fact, ScoreMatrix | IndexMap):
        raise StreamError(
            "returns a score matrix, which has two time axes, one of queries and one of keys",
            node=label(port.inputs[0]) if port.inputs else port.name,
            hint="remove it from the model's outputs; an output of a stream has one time axis",
        )


def wanted_tensors(evaluation: Evaluation) -> set[str]:
    """The names of the data tensors whose values an output depends on.

    Tensors of which only the shape is read are not included.
    """
    carried = evaluation.carried
    wanted = {t.name for t in evaluation.graph.outputs if t.name in carried}
    for node in reversed(evaluation.graph.nodes):
        if any(t.name in wanted for t in node.outputs if t.name):
            wanted |= {t.name for t in reads(node) if t.name in carried}
    return wanted


def sized_tensors(evaluation: Evaluation) -> set[str]:
    """The names of the data tensors that Shape or Size reads, and of all data tensors from which these are computed."""
    carried = evaluation.carried
    sized = {n.inputs[0].name for n in evaluation.graph.nodes if n.op in SHAPE_OPS and n.inputs[0].name in carried}
    for node in reversed(evaluation.graph.nodes):
        if any(t.name in sized for t in node.outputs if t.name):
            sized |= {t.name for t in reads(node) if t.name in carried}
    return sized


def input_fact(offline: Offline, evaluation: Evaluation, name: str) -> Fact:
    role = offline.roles[name]
    shapes, dtype = evaluation.shapes[name], evaluation.dtypes[name]
    if isinstance(role, StaticRole):
        return Untimed(shapes[0], dtype)
    if isinstance(role, StateRole):
        return Untimed(shapes[0], dtype, UntimedOrigin.GIVEN)
    assert isinstance(role, StreamRole)
    shape = tuple(-1 if axis == role.axis else size for axis, size in enumerate(shapes[0]))
    length = Length().then(role.rate.numerator, 0, role.rate.denominator)
    stream = Stream(role.axis, role.rate, 0, length, shape, dtype)
    return replace(stream, tail=np.zeros(stream.one_frame(), dtype))
