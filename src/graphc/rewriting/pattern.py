"""Patterns of nodes, which are written as Python expressions and searched for in a graph."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from graphc.ir.graph import Node, Tensor, op_of
from graphc.rewriting.operands import scalar_of, value_of
from graphc.rewriting.scene import Scene

COMMUTATIVE = ("Add", "Mul", "Max", "Min", "And", "Or")
CLOSE = 1e-5
Leaf = Any


@dataclass(frozen=True)
class Var:
    """Any tensor. The same name always stands for the same tensor."""

    name: str


@dataclass(frozen=True)
class Call:
    """One node: its op, its inputs, and the attributes that it must have."""

    op: str
    inputs: tuple[Leaf, ...]
    attrs: tuple[tuple[str, Any], ...] = ()


class Tracer:
    """Records calls: ``op.Add(x, 1.0)`` is a node that adds a constant 1 to x."""

    def __getattr__(self, name: str) -> Callable[..., Call]:
        return lambda *inputs, **attrs: Call(name, inputs, tuple(attrs.items()))


@dataclass
class Match:
    """A place where a pattern was found.

    Args:
        root: the tensor that the pattern computes.
        tensors: the matched tensors, by their names in the pattern.
        nodes: the matched nodes.
    """

    root: Tensor
    tensors: dict[str, Tensor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    @property
    def base(self) -> str:
        return str(self.nodes[0].name or self.root.name)

    def copy(self) -> Match:
        return Match(self.root, dict(self.tensors), list(self.nodes))


class Pattern:
    """A pattern, made from a function of the tracer and the pattern's tensors."""

    def __init__(self, function: Callable[..., Call]):
        names = list(inspect.signature(function).parameters)[1:]
        self.call: Call = function(Tracer(), *(Var(n) for n in names))

    def matches(self, scene: Scene) -> Iterator[Match]:
        """The places in a scene where the pattern matches and no node outside reads its inner tensors.

        The scene may change between two matches.
        """
        for node in list(scene.graph.nodes):
            if not node.outputs or op_of(node) != self.call.op:
                continue
            for found in match_call(scene, self.call, node.outputs[0], Match(node.outputs[0])):
                if is_closed(scene, found):
                    yield found
                    break


def match_call(scene: Scene, call: Call, tensor: Tensor, so_far: Match) -> Iterator[Match]:
    node = scene.maker(tensor)
    if node is None or op_of(node) != call.op or not node.outputs or node.outputs[0] is not tensor:
        return
    if any(not same_attribute(node.attrs.get(key), value) for key, value in call.attrs):
        return
    given = [t for t in node.inputs if t.name]
    if len(given) != len(call.inputs):
        return
    orders = [given, given[::-1]] if call.op in COMMUTATIVE and len(given) == 2 else [given]
    for order in orders:
        start = so_far.copy()
        start.nodes.append(node)
        yield from match_all(scene, list(zip(call.inputs, order, strict=True)), start)


def match_all(scene: Scene, pairs: list[tuple[Leaf, Tensor]], so_far: Match) -> Iterator[Match]:
    if not pairs:
        yield so_far
        return
    (leaf, tensor), *rest = pairs
    for found in match_leaf(scene, leaf, tensor, so_far):
        yield from match_all(scene, rest, found)


def match_leaf(scene: Scene, leaf: Leaf, tensor: Tensor, so_far: Match) -> Iterator[Match]:
    if isinstance(leaf, Call):
        yield from match_call(scene, leaf, tensor, so_far)
    elif isinstance(leaf, Var):
        held = so_far.tensors.get(leaf.name)
        if held is None:
            found = so_far.copy()
            found.tensors[leaf.name] = tensor
            yield found
        elif held is tensor:
            yield so_far
    elif isinstance(leaf, int | float):
        value = scalar_of(tensor)
        if value is None and (whole := value_of(tensor)) is not None and whole.size == 1:
            value = float(whole.ravel()[0])
        if value is not None and abs(value - leaf) <= CLOSE * max(abs(leaf), 1e-12):
            yield so_far
    elif isinstance(leaf, list):
        whole = value_of(tensor)
        if whole is not None and whole.ravel().tolist() == leaf:
            yield so_far


def same_attribute(found: Any, wanted: Any) -> bool:
    if isinstance(found, list | tuple | np.ndarray):
        return list(found) == list(wanted) if isinstance(wanted, list | tuple) else False
    return bool(found == wanted)


def is_closed(scene: Scene, found: Match) -> bool:
    """Whether nothing outside the match reads its inner tensors."""
    inside = {id(n) for n in found.nodes}
    for node in found.nodes:
        for tensor in node.outputs:
            if tensor is found.root or not tensor.name:
                continue
            if not scene.is_inner(tensor) or any(id(r) not in inside for r in tensor.outputs):
                return False
    return True
