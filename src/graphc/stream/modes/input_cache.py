"""Attention that caches the input of its keys and values: one state instead of two, for more arithmetic.

In every call, the same nodes then compute the keys and values of the whole window from the cached input. These nodes
must treat every frame alike. If one of the nodes does not, such as a rotation by the clock, the two caches stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from graphc.contract.signature import StatePort
from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable, constant_of, drop_dead, normalised, sorted_nodes
from graphc.ir.model import Model
from graphc.ir.shapes import Shape, static_shapes
from graphc.stream.lowering.builder import INT64_MAX

UNARY = ("Identity", "Cast", "Relu", "Sigmoid", "Tanh", "Neg", "Dropout", "Gelu", "Erf", "Sqrt", "Exp")
BINARY = ("Add", "Sub", "Mul", "Div")


@dataclass(frozen=True)
class Link:
    """A tensor on the path back from a cache, its time axis, and the node that leads from the tensor to the cache."""

    tensor: Tensor
    axis: int
    node: Node | None


@dataclass(frozen=True)
class Cache:
    """A state, the node that concatenates the state and the chunk, and the links on the path back from the chunk."""

    state: StatePort
    join: Node
    axis: int
    chain: list[Link]

    @property
    def frames(self) -> int:
        return int(self.state.init.shape[self.axis])


def cache_inputs(model: Model) -> list[str]:
    """Replaces the caches of keys and values by one cache of their common input, if that is smaller.

    Changes the model in place. Returns a note for each attention whose caches stay, with the reason.
    """
    assert model.signature is not None
    shapes = static_shapes(model)
    caches = [c for s in model.signature.states if (c := cache_of(model.graph, s, shapes)) is not None]
    notes: list[str] = []
    for value in [c for c in caches if c.state.kind == "attention_value"]:
        keys = [c for c in caches if c.state.node == value.state.node and c.state.kind == "attention_key"]
        key = next((k for k in keys if k.frames == value.frames), None)
        shared = common(key, value) if key is not None else None
        if key is None or shared is None:
            notes.append(
                f"{value.state.node}: keys and values stay cached, since no single tensor gives both, frame by frame"
            )
            continue
        shape = [value.frames if a == shared.axis else int(d or 0) for a, d in enumerate(shapes[shared.tensor.name])]
        init = np.zeros(shape, value.state.init.dtype)
        if init.nbytes >= key.state.nbytes + value.state.nbytes:
            notes.append(
                f"{value.state.node}: keys and values stay cached, since the tensor they come from is not smaller"
            )
            continue
        put(model, key, value, shared, init)
    model.graph.nodes = sorted_nodes(model.graph)
    drop_dead(model.graph)
    return notes


def cache_of(graph: Graph, state: StatePort, shapes: dict[str, Shape]) -> Cache | None:
    if state.kind not in ("attention_key", "attention_value"):
        return None
    join = next((n for n in graph.nodes if n.op == "Concat" and n.inputs[0].name == state.input), None)
    if join is None or len(join.inputs) != 2:
        return None
    axis = normalised(int(join.attrs["axis"]), state.init.ndim)
    return Cache(state, join, axis, chain_of(join.inputs[1], axis, shapes))


def chain_of(tensor: Tensor, axis: int, shapes: dict[str, Shape]) -> list[Link]:
    """The tensors from which a chunk is made frame by frame: first the chunk, then the tensor before it, and so on."""
    chain = [Link(tensor, axis, None)]
    while True:
        last = chain[-1]
        node = last.tensor.inputs[0] if last.tensor.inputs else None
        before = step_back(node, last, shapes) if node is not None else None
        if before is None:
            return chain
        chain.append(before)


def step_back(node: Node, link: Link, shapes: dict[str, Shape]) -> Link | None:
    """The link to the one tensor that a node reads frame by frame; None if the node does anything else."""
    if node.op == "Where" and node.name.endswith("/masked"):
        return Link(node.inputs[2], link.axis, node)
    varying = [t for t in node.inputs if t.name and not isinstance(t, Constant)]
    if len(varying) != 1 or varying[0].name not in shapes or link.tensor.name not in shapes:
        return None
    source, old, new = varying[0], shapes[varying[0].name], shapes[link.tensor.name]
    if any(not isinstance(d, int) for d in [*old, *new]):
        return None
    axis = axis_before(node, source, link.axis, [int(d or 0) for d in old], [int(d or 0) for d in new])
    return None if axis is None else Link(source, axis, node)


def axis_before(node: Node, source: Tensor, axis: int, old: list[int], new: list[int]) -> int | None:
    if node.op in UNARY:
        return axis
    if node.op in BINARY:
        from_right = len(new) - axis
        others = [list(t.shape) for t in node.inputs if t is not source]
        alike = all(len(s) < from_right or s[-from_right] == 1 for s in others)
        return axis if alike and len(old) == len(new) else None
    if node.op == "MatMul":
        weight = node.inputs[1]
        return axis if node.inputs[0] is source and len(weight.shape) == 2 and axis < len(new) - 1 else None
    if node.op in ("LayerNormalization", "RMSNormalization"):
        return axis if axis < normalised(int(node.attrs.get("axis", -1)), len(new)) else None
    if node.op == "Transpose":
        perm = node.attrs.get("perm", list(range(len(new)))[::-1])
        return int(perm[axis])
    if node.op == "Split":
        return axis if normalised(int(node.attrs.get("axis", 0)), len(new)) != axis else None
    if node.op == "Reshape" and constant_of(node.inputs[1]) is not None:
        front = math.prod(new[:axis])
        fits = [a for a in range(len(old)) if old[a] == new[axis] and math.prod(old[:a]) == front]
        return fits[0] if len(fits) == 1 else None
    return None


def common(key: Cache, value: Cache) -> Link | None:
    """The link nearest to the caches whose tensor both caches are made from; None if there is none."""
    made = {(link.tensor.name, link.axis): link for link in value.chain}
    return next((link for link in key.chain if (link.tensor.name, link.axis) in made), None)


def put(model: Model, key: Cache, value: Cache, shared: Link, init: np.ndarray) -> None:
    """Replaces both caches by one cache of the shared input."""
    graph, signature = model.graph, model.signature
    assert signature is not None
    base = key.state.input.removesuffix("_in").replace("attention_key", "attention_context")
    taken = {s.input for s in signature.states}
    while f"{base}_in" in taken:
        base += "_inputs"
    state = StatePort(f"{base}_in", f"{base}_out", init, "attention_context", key.state.node)
    past = Variable(state.input, init.dtype, list(init.shape))
    kept = Variable(state.output, init.dtype, list(init.shape))
    both = Variable(f"{base}/with_past")
    ends = [Constant(f"{base}/{n}", np.array([v])) for n, v in (("start", -value.frames), ("end", INT64_MAX))]
    along = Constant(f"{base}/axis", np.array([shared.axis]))
    graph.nodes += [
        Node("Concat", f"{base}/with_past", {"axis": shared.axis}, [past, shared.tensor], [both]),
        Node("Slice", f"{base}/next", {}, [both, *ends, along], [kept]),
    ]
    for cache in (key, value):
        made = again(graph, cache, shared, both)
        for node in list(cache.join.outputs[0].outputs):
            node.inputs = [made if t is cache.join.outputs[0] else t for t in node.inputs]
    gone = {key.state.input, key.state.output, value.state.input, value.state.output}
    graph.inputs = [*(t for t in graph.inputs if t.name not in gone), past]
    graph.outputs = [*(t for t in graph.outputs if t.name not in gone), kept]
    states = [state if s.input == key.state.input else s for s in signature.states if s.input != value.state.input]
    model.signature = replace(signature, states=tuple(states))


def again(graph: Graph, cache: Cache, shared: Link, both: Tensor) -> Tensor:
    """Copies the nodes between the shared input and a cache to run on the whole window; returns the last output."""
    place = next(i for i, link in enumerate(cache.chain) if link.tensor is shared.tensor)
    tensor = both
    for index in range(place, 0, -1):
        source, link = cache.chain[index], cache.chain[index - 1]
        node = source.node
        assert node is not None
        if node.op == "Where":
            continue
        inputs = [tensor if t is source.tensor else t for t in node.inputs]
        if node.op == "Reshape":
            sizes = np.array(constant_of(node.inputs[1]))
            sizes[link.axis] = -1
            inputs[1] = Constant(f"{node.name}/window_sizes_{cache.state.input}", sizes)
        outputs = [Variable(f"{t.name}/window_of_{cache.state.input}") for t in node.outputs]
        graph.nodes.append(
            Node(node.op, f"{node.name}/window_of_{cache.state.input}", dict(node.attrs), inputs, outputs, node.domain)
        )
        tensor = outputs[next(i for i, t in enumerate(node.outputs) if t is link.tensor)]
    return tensor
