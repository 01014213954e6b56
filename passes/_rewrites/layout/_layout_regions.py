"""Regions of a graph whose tensors could have another layout: finds those that save nodes, and changes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.api import Constant, Node, Scene, StatePort, Tensor, label, normalised, standard

ALONG_AXIS = ("Split", "Concat", "Softmax", "LogSoftmax")
FIRST_PER_AXIS_SOFTMAX = 13


class Layout(ABC):
    """Another layout for tensors of a graph, and the nodes that could work in this layout."""

    def __init__(self, scene: Scene):
        self.scene = scene

    @abstractmethod
    def inside(self, tensor: Tensor) -> bool:
        """Whether a tensor could have the layout."""

    @abstractmethod
    def takes(self, node: Node) -> bool:
        """Whether a node could work on tensors of the layout."""

    @abstractmethod
    def rewritten(self, node: Node, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Adds a node that does in this layout what ``node`` does, and returns the new node's outputs.

        Args:
            inputs: the node's inputs. They are already in this layout where possible.
        """

    @abstractmethod
    def enter(self, tensor: Tensor) -> Tensor:
        """Adds nodes that convert a tensor to the layout, and returns the converted tensor."""

    @abstractmethod
    def leave(self, tensor: Tensor, old: Tensor) -> Tensor:
        """Adds nodes that convert a tensor from the layout back to that of ``old``, and returns the result."""

    @abstractmethod
    def opens(self, node: Node | None) -> bool:
        """Whether a node before a region only converts a tensor from the layout to another one."""

    @abstractmethod
    def closes(self, node: Node) -> bool:
        """Whether a node after a region only converts a tensor to the layout, or can equally read it in the layout."""

    def absorbs(self, node: Node | None) -> bool:
        """Whether a node before a region can make its output in the layout at no cost."""
        return False

    def indifferent(self, node: Node, tensor: Tensor) -> bool:
        """Whether a node after a region can read a tensor that has the layout at no cost."""
        return False

    @abstractmethod
    def closed(self, node: Node, tensor: Tensor) -> Tensor:
        """What replaces the output of a node that ``closes``. ``tensor`` is the node's input in the layout."""

    @abstractmethod
    def relaid(self, init: NDArray[Any]) -> NDArray[Any] | None:
        """The first value ``init`` of a state, converted to the layout. None if the state cannot have the layout."""

    @property
    def order(self) -> Sequence[int] | None:
        """The order of the axes in the layout. None if the layout does not reorder axes."""
        return None

    def worth(self, node: Node) -> float:
        """How much faster a node is in the layout, as an equivalent number of nodes saved."""
        return 0.0

    @property
    def opening_gain(self) -> float:
        return 1.0


@dataclass
class Region:
    """Connected nodes that could work in the layout.

    Args:
        entries: the tensors that enter the region and need a conversion.
        exits: the tensors of the region that other nodes or ports read.
        states: the states whose ports only this region reads and writes, keyed by input port and by output port.
    """

    nodes: list[Node] = field(default_factory=list)
    entries: list[Tensor] = field(default_factory=list)
    exits: list[Tensor] = field(default_factory=list)
    states: dict[str, StatePort] = field(default_factory=dict)


def regions_of(layout: Layout) -> list[Region]:
    """The regions of connected nodes that could work in the layout."""
    scene = layout.scene
    taking = [n for n in scene.graph.nodes if n.outputs and layout.takes(n)]
    ids = {id(n): i for i, n in enumerate(taking)}
    parent = list(range(len(taking)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for index, node in enumerate(taking):
        for tensor in node.inputs:
            maker = scene.maker(tensor) if tensor.name and layout.inside(tensor) else None
            if maker is not None and id(maker) in ids:
                parent[root(ids[id(maker)])] = root(index)
    found: dict[int, Region] = {}
    for index, node in enumerate(taking):
        found.setdefault(root(index), Region()).nodes.append(node)
    for region in found.values():
        complete(layout, region)
    return list(found.values())


def complete(layout: Layout, region: Region) -> None:
    """Finds the tensors that enter and leave a region, and the states that no other region touches."""
    scene = layout.scene
    inside = {id(n) for n in region.nodes}
    made = {t.name for n in region.nodes for t in n.outputs}
    entries: dict[str, Tensor] = {}
    for node in region.nodes:
        for tensor in node.inputs:
            if tensor.name and tensor.name not in made and not isinstance(tensor, Constant) and layout.inside(tensor):
                entries.setdefault(tensor.name, tensor)
    signature = scene.model.signature
    for state in signature.states if signature is not None else ():
        port = entries.get(state.input)
        if port is None or state.output not in made or layout.relaid(state.init) is None:
            continue
        output = next(t for n in region.nodes for t in n.outputs if t.name == state.output)
        if all(id(r) in inside for r in port.outputs) and not output.outputs and state.input not in scene.captured:
            region.states[state.input] = region.states[state.output] = state
    region.entries = [t for t in entries.values() if t.name not in region.states]
    for node in region.nodes:
        for tensor in node.outputs:
            outer = any(id(r) not in inside for r in tensor.outputs) or not scene.is_inner(tensor)
            if tensor.name and outer and tensor.name not in region.states:
                region.exits.append(tensor)


def gain_of(layout: Layout, region: Region) -> float:
    """The number of nodes that giving the region the layout would save, minus the number that it would add."""
    scene = layout.scene
    inside = {id(n) for n in region.nodes}
    gain = sum(layout.worth(n) for n in region.nodes)
    for tensor in region.entries:
        alone = scene.is_inner(tensor) and all(id(r) in inside for r in tensor.outputs)
        if layout.opens(scene.maker(tensor)):
            gain += layout.opening_gain if alone else 0
        elif not (alone and layout.absorbs(scene.maker(tensor))):
            gain -= 1
    for tensor in region.exits:
        others = [r for r in tensor.outputs if id(r) not in inside]
        closing = [r for r in others if layout.closes(r) and scene.maker(r.outputs[0]) is r]
        gain += layout.opening_gain * sum(not is_free(layout, r) for r in closing)
        rest = [r for r in others if not any(r is c for c in closing)]
        if any(not layout.indifferent(r, tensor) for r in rest) or not scene.is_inner(tensor):
            gain -= 1
    return gain


def is_free(layout: Layout, closing: Node) -> bool:
    """Whether a node that ``closes`` costs nothing today, because all readers of its output are ``indifferent``."""
    output = closing.outputs[0]
    readers = list(output.outputs)
    return bool(readers) and layout.scene.is_inner(output) and all(layout.indifferent(r, output) for r in readers)


def change(layout: Layout, region: Region) -> None:
    """Changes all tensors of a region to the layout."""
    scene = layout.scene
    inside = {id(n) for n in region.nodes}
    mapped: dict[str, Tensor] = {t.name: layout.enter(t) for t in region.entries}
    ports = {t.name: t for t in [*scene.graph.inputs, *scene.graph.outputs]}
    states = {s.input: s for s in region.states.values()}
    mapped.update({name: ports[name] for name in states})
    outside = [(t, [r for r in t.outputs if id(r) not in inside]) for t in region.exits]
    for node in region.nodes:
        results = layout.rewritten(node, [mapped.get(t.name, t) for t in node.inputs])
        for old, new in zip(node.outputs, results, strict=True):
            if old.name:
                mapped[old.name] = new
    for state in states.values():
        init = layout.relaid(state.init)
        assert init is not None
        scene.relay(state, init, layout.order)
        scene.replace(ports[state.output], mapped[state.output])
    for tensor, readers in outside:
        new = mapped[tensor.name]
        rest = False
        for reader in readers:
            if layout.closes(reader) and scene.maker(reader.outputs[0]) is reader:
                scene.replace(reader.outputs[0], layout.closed(reader, new))
            else:
                rest = True
        if rest or not scene.is_inner(tensor):
            scene.replace(tensor, layout.leave(new, tensor))


def relayout(layout: Layout, name: str) -> int:
    """Gives the layout to every region that saves nodes by it, and returns their number.

    Regions that do not touch each other are changed in the same round. A note is added for every region that would
    save no nodes.
    """
    count = 0
    while True:
        regions = [(gain_of(layout, r), r) for r in regions_of(layout)]
        gaining = [r for gain, r in regions if gain > 0][: layout.scene.budget]
        if not gaining:
            break
        touched: set[int] = set()
        for region in gaining:
            near = neighbours_of(layout, region)
            if touched.isdisjoint(near):
                layout.scene.budget -= 1
                change(layout, region)
                count += 1
            touched |= near
        layout.scene.tidy()
    for gain, region in regions:
        if any(layout.worth(n) for n in region.nodes):
            note = f"{name}: {label(region.nodes[0])} and {len(region.nodes) - 1} more stay: nodes saved {gain:+g}"
            layout.scene.notes.append(note)
    return count


def neighbours_of(layout: Layout, region: Region) -> set[int]:
    """The ids of the nodes that a change of a region reads or modifies.

    These are the nodes of the region, the nodes directly before it, and the nodes up to two steps after it.
    """
    found = {id(n) for n in region.nodes}
    found |= {id(maker) for t in region.entries if (maker := layout.scene.maker(t)) is not None}
    for reader in (r for t in region.exits for r in t.outputs):
        found.add(id(reader))
        found |= {id(further) for t in reader.outputs for further in t.outputs}
    return found


def works_along(scene: Scene, node: Node) -> bool:
    """Whether a node is an ONNX op that works along the axis in its attribute ``axis`` only, such as Split."""
    flattens = node.op in ("Softmax", "LogSoftmax") and scene.opset < FIRST_PER_AXIS_SOFTMAX
    return node.op in ALONG_AXIS and standard(node) and not flattens


def axis_of(node: Node, rank: int) -> int:
    """The axis, from 0 on, of a node for which ``works_along`` is true."""
    default = -1 if node.op in ("Softmax", "LogSoftmax") else 0
    return normalised(int(node.attrs.get("axis", default)), rank)


def varies(node: Node) -> bool:
    """Whether the data of a node is not a constant. True for every Concat, even if its first input is a constant."""
    return node.op == "Concat" or not isinstance(node.inputs[0], Constant)


def data_of(node: Node) -> list[Tensor]:
    """The data inputs of a node for which ``works_along`` is true; not the part sizes of a Split."""
    return list(node.inputs[:1] if node.op == "Split" else node.inputs)


def shaped(value: NDArray[Any], rank: int) -> NDArray[Any]:
    """A constant with leading axes of size 1 added, so that it has ``rank`` axes."""
    return np.reshape(value, (1,) * (rank - value.ndim) + value.shape)
