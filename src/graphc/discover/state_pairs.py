"""Finds pairs of ports that carry a state from call to call: by name, by shape and by the graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from graphc.discover.port_names import (
    CACHES,
    SETTINGS,
    SOUNDS,
    STATES,
    TIMES,
    dim_says,
    likeness,
    says,
    stem_of,
    vocabulary,
)
from graphc.ir.graph import proto_label
from graphc.spec.input_roles import Dim, Port

MOVERS = vocabulary(
    "Identity Cast Unsqueeze Squeeze Reshape Transpose Flatten Slice Split Gather Concat Expand Pad "
    "SplitToSequence SequenceAt ConcatFromSequence"
)
SLOTS = {"LSTM": {5: 1, 6: 2}, "GRU": {5: 1}, "RNN": {5: 1}}
LIKE_ENOUGH = 0.55


@dataclass(frozen=True)
class StatePair:
    """An input that takes the value that an output gave in the previous call.

    Args:
        evidence: why the ports belong together, strongest reason first.
        sure: whether the graph or both names show it; otherwise the pair is a guess.
    """

    input: str
    output: str
    evidence: tuple[str, ...]
    sure: bool


@dataclass(frozen=True)
class Finding:
    """How well an input and an output fit as a state."""

    score: float
    evidence: tuple[str, ...]
    sure: bool


NO_PAIR = Finding(0.0, (), False)


def state_pairs(
    model: onnx.ModelProto,
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    shapes: Mapping[str, tuple[int, ...]],
    count: int,
) -> list[StatePair]:
    """The likeliest pairs of state ports. At least one input and one output are left for the data.

    Args:
        inputs: the inputs that may be states.
        shapes: the shapes of inputs and outputs in a run of the model; empty if it could not be run.
        count: the number of all inputs of the model.
    """
    if not inputs or not outputs:
        return []
    slots = Slots(model.graph)
    found = [[finding(i, o, slots, shapes) for o in outputs] for i in inputs]
    found = [
        [only_of_its_shape(r, c, found, inputs, outputs, shapes) for c in range(len(outputs))]
        for r in range(len(inputs))
    ]
    pairs = [(found[r][c], inputs[r], outputs[c]) for r, c in matched([[f.score for f in row] for row in found])]
    pairs.sort(key=lambda pair: pair[0].score)
    while pairs and len(pairs) >= min(count, len(outputs)):
        pairs.pop(0)
    order = [p.name for p in inputs]
    named = [StatePair(i.name, o.name, f.evidence, f.sure) for f, i, o in pairs]
    return sorted(named, key=lambda pair: order.index(pair.input))


def finding(one: Port, other: Port, slots: Slots, shapes: Mapping[str, tuple[int, ...]]) -> Finding:
    """Whether an input and an output can be one state, and how strong the evidence is."""
    if one.elem_type != other.elem_type or not fits(one, other, shapes) or has_time(one):
        return NO_PAIR
    evidence: list[str] = []
    score = 0.0
    carried = slots.carried(one.name, other.name)
    if carried is not None:
        score, evidence = 4.0, [carried]
    alike = likeness(one.name, other.name)
    about_state = says(one.name, STATES) or says(other.name, STATES)
    about_data = says(one.name, SOUNDS | SETTINGS) and not says(one.name, STATES)
    if about_data and carried is None:
        return NO_PAIR
    if alike == 1.0 and about_state:
        score += 3.0
        evidence.append("their names differ only in the direction")
    elif about_state and alike >= LIKE_ENOUGH:
        score += 1.0 + alike
        evidence.append("their names are alike")
    elif about_state and says(one.name, STATES):
        score += 1.0 + alike
        evidence.append(f"'{one.name}' is named like a state")
    else:
        score += alike if carried is not None else 0.0
    if slots.shifted(one.name, other.name):
        score += 1.5 if score else 1.0
        evidence.append("the output is a slice of a tensor that the input was concatenated into")
    if score:
        evidence.append("they have the same shape and type")
    sure = carried is not None or (alike == 1.0 and about_state)
    return Finding(score, tuple(evidence), sure)


def only_of_its_shape(
    row: int,
    column: int,
    found: Sequence[Sequence[Finding]],
    inputs: Sequence[Port],
    outputs: Sequence[Port],
    shapes: Mapping[str, tuple[int, ...]],
) -> Finding:
    """The finding for a pair; a guess if the only evidence for it is a shape that no other port has."""
    one, other = inputs[row], outputs[column]
    shape = shapes.get(one.name)
    others = [shapes.get(p.name) for p in (*inputs, *outputs) if p is not one and p is not other]
    spoken = any(f.score for f in found[row]) or any(line[column].score for line in found)
    if spoken or shape is None or len(shape) < 2 or shapes.get(other.name) != shape or shape in others:
        return found[row][column]
    if one.elem_type != other.elem_type or len(inputs) < 2 or says(one.name, SOUNDS | SETTINGS) or has_time(one):
        return found[row][column]
    return Finding(0.5, ("the only input and output of this shape",), False)


def fits(one: Port, other: Port, shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the output of a call may be the input of the next, by the shapes in a run, or else as declared."""
    before, after = shapes.get(one.name), shapes.get(other.name)
    if before is not None and after is not None:
        same = before == after
        grows = len(before) == len(after) and sum(a != b for a, b in zip(before, after, strict=True)) == 1
        return same or (grows and stem_of(one.name) == stem_of(other.name) and says(one.name, CACHES))
    return len(one.dims) == len(other.dims) and all(map(may_be_one, one.dims, other.dims))


def has_time(port: Port) -> bool:
    """Whether a port has a dim named as time, as no state has. Caches are exempt, because they may have a time axis."""
    return any(dim_says(dim, TIMES) for dim in port.dims) and not says(port.name, CACHES)


def may_be_one(one: Dim, other: Dim) -> bool:
    return not isinstance(one, int) or not isinstance(other, int) or one == other


def matched(scores: Sequence[Sequence[float]]) -> list[tuple[int, int]]:
    """The pairs of a row and a column with the largest sum of scores. Pairs without a positive score are left out."""
    positive = [(r, c) for r, row in enumerate(scores) for c, score in enumerate(row) if score > 0]
    if all(len(set(places)) == len(positive) for places in zip(*positive, strict=True)):
        return positive
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(np.array(scores), maximize=True)
    return [(int(r), int(c)) for r, c in zip(rows, columns, strict=True) if scores[r][c] > 0]


class Slots:
    """Finds the states of recurrent nodes and the tensors that a model's ports reach without a change of values."""

    def __init__(self, graph: onnx.GraphProto):
        self.made_by = {name: node for node in graph.node for name in node.output if name}
        self.read_by: dict[str, list[tuple[onnx.NodeProto, int]]] = {}
        for node in graph.node:
            for index, name in enumerate(node.input):
                self.read_by.setdefault(name, []).append((node, index))
        self.constants = {i.name for i in graph.initializer}
        self.ahead: dict[str, tuple[frozenset[tuple[str, int]], frozenset[str]]] = {}
        self.behind: dict[str, tuple[frozenset[tuple[str, int]], frozenset[str]]] = {}

    def carried(self, taken: str, given: str) -> str | None:
        """A sentence on the recurrence that starts from the input and ends with the output. None if there is none."""
        common = self.into(taken)[0] & self.out_of(given)[0]
        return f"{min(common)[0]} starts from the input and ends with the output" if common else None

    def shifted(self, taken: str, given: str) -> bool:
        """Whether an output is a part of a tensor into which an input was concatenated, as in a cache."""
        joined = {
            name
            for name in self.into(taken)[1] & self.out_of(given)[1]
            if name in self.made_by and self.made_by[name].op_type == "Concat"
        }
        return bool(joined)

    def into(self, port: str) -> tuple[frozenset[tuple[str, int]], frozenset[str]]:
        if port not in self.ahead:
            slots, seen, waiting = set(), {port}, [port]
            while waiting:
                for node, index in self.read_by.get(waiting.pop(), ()):
                    output = SLOTS.get(node.op_type, {}).get(index)
                    if output is not None:
                        slots.add((proto_label(node), output))
                    elif node.op_type in MOVERS:
                        fresh = [n for n in node.output if n and n not in seen]
                        seen.update(fresh)
                        waiting += fresh
            self.ahead[port] = frozenset(slots), frozenset(seen)
        return self.ahead[port]

    def out_of(self, port: str) -> tuple[frozenset[tuple[str, int]], frozenset[str]]:
        if port not in self.behind:
            slots, seen, waiting = set(), {port}, [port]
            while waiting:
                name = waiting.pop()
                node = self.made_by.get(name)
                if node is None:
                    continue
                if node.op_type in SLOTS:
                    slots.add((proto_label(node), list(node.output).index(name)))
                elif node.op_type in MOVERS:
                    fresh = [n for n in node.input if n and n not in seen and n not in self.constants]
                    seen.update(fresh)
                    waiting += fresh
            self.behind[port] = frozenset(slots), frozenset(seen)
        return self.behind[port]
