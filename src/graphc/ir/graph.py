"""Reads and rewires the graph that passes work on, which is a graph of onnx-graphsurgeon."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto

from graphc.ir.weights.weight_files import KeptValues
from graphc_runtime.errors import ModelError

Graph = gs.Graph
Node = gs.Node
Tensor = gs.Tensor
Constant = gs.Constant
Variable = gs.Variable
gs.logger.G_LOGGER.severity = gs.logger.G_LOGGER.CRITICAL
logging.getLogger("onnx_ir").setLevel(logging.ERROR)
RANDOM_OPS = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
DEFAULT_DOMAINS = ("", "ai.onnx", None)


def label(node: Node) -> str:
    """The label of a node in messages: its own name (or else that of its first output) and its op type."""
    name = node.name or next((t.name for t in node.outputs if t.name), "unnamed")
    domain = "" if node.domain in DEFAULT_DOMAINS else f"{node.domain}."
    return f"{name} ({domain}{node.op})"


def proto_label(node: NodeProto) -> str:
    """The label of a node of an ONNX file in messages."""
    return f"{node.name or node.output[0]} ({node.op_type})"


def name_of(node: Node) -> str:
    """A node's own name, or else its first output's."""
    return str(node.name or node.outputs[0].name)


def op_of(node: Node) -> str:
    """The op type of a node, prefixed with the domain if the op is not one of ONNX's own."""
    return node.op if node.domain in DEFAULT_DOMAINS else f"{node.domain}::{node.op}"


def constant_of(tensor: Tensor | None) -> NDArray[Any] | None:
    """The value of a constant tensor, else None. A value in a file is mapped into memory."""
    if not isinstance(tensor, Constant) or is_sparse(tensor):
        return None
    return tensor._values.load() if isinstance(tensor._values, KeptValues) else tensor.values


def is_sparse(tensor: Constant) -> bool:
    return type(tensor._values).__name__ == "SparseValues"


def nbytes(tensor: Constant) -> int:
    """The size of a constant in bytes, found without loading it."""
    return int(tensor._values.nbytes)


def producer(tensor: Tensor) -> Node | None:
    return tensor.inputs[0] if tensor.inputs else None


def consumers(tensor: Tensor) -> list[Node]:
    return list(tensor.outputs)


def subgraphs(node: Node) -> Iterator[Graph]:
    """The graphs in a node's attributes, but not graphs nested inside those."""
    for value in node.attrs.values():
        if isinstance(value, gs.Graph):
            yield value


def captured(node: Node) -> list[Tensor]:
    """The tensors of outer graphs that the node's subgraphs read, each once, in order."""
    found: dict[str, Tensor] = {}
    for graph in subgraphs(node):
        local = {t.name for t in graph.inputs} | {t.name for n in graph.nodes for t in n.outputs}
        for inner in graph.nodes:
            for tensor in [*inner.inputs, *captured(inner)]:
                if tensor.name and tensor.name not in local and not isinstance(tensor, Constant):
                    found.setdefault(tensor.name, tensor)
        for tensor in graph.outputs:
            if tensor.name and tensor.name not in local and not isinstance(tensor, Constant):
                found.setdefault(tensor.name, tensor)
    return list(found.values())


def reads(node: Node) -> list[Tensor]:
    """Everything that a node depends on: its inputs, and the tensors that its subgraphs capture."""
    return [*(t for t in node.inputs if t.name), *captured(node)]


def sorted_nodes(graph: Graph) -> list[Node]:
    """The nodes in topological order. An order that is valid already does not change.

    Errors:
        ModelError: the graph has a cycle.
    """
    made_by = {t.name: n for n in graph.nodes for t in n.outputs if t.name}
    order: list[Node] = []
    state: dict[int, bool] = {}
    for root in graph.nodes:
        stack: list[tuple[Node, Iterator[Tensor]]] = []
        if id(root) not in state:
            state[id(root)] = False
            stack.append((root, iter(reads(root))))
        while stack:
            node, waiting = stack[-1]
            for tensor in waiting:
                before = made_by.get(tensor.name)
                if before is None or state.get(id(before)) is True:
                    continue
                if state.get(id(before)) is False:
                    raise ModelError("the graph has a cycle", node=label(before))
                state[id(before)] = False
                stack.append((before, iter(reads(before))))
                break
            else:
                state[id(node)] = True
                order.append(node)
                stack.pop()
    return order


def drop_dead(graph: Graph, keep: Iterable[Tensor] = ()) -> None:
    """Removes nodes that no output depends on. Ports stay."""
    needed = {t.name for t in graph.outputs} | {t.name for t in keep}
    alive: list[Node] = []
    for node in reversed(sorted_nodes(graph)):
        if any(t.name in needed for t in node.outputs if t.name):
            needed.update(t.name for t in reads(node))
            alive.append(node)
        else:
            node.inputs.clear()
            node.outputs.clear()
    graph.nodes = alive[::-1]


def place_of(graph: Graph, node: Node) -> int:
    """The index of a node, by identity. onnx-graphsurgeon's own search compares the contents of nodes."""
    return next(i for i, other in enumerate(graph.nodes) if other is node)


def replace_tensor(graph: Graph, old: Tensor, new: Tensor) -> None:
    """Makes every reader of ``old`` in this graph read ``new``. Subgraphs still read what they captured."""
    for node in list(old.outputs):
        node.inputs = [new if t is old else t for t in node.inputs]
    graph.outputs = [new if t is old else t for t in graph.outputs]


def names_in(graph: Graph) -> set[str]:
    """Every tensor name in a graph and its subgraphs."""
    names = {t.name for t in [*graph.inputs, *graph.outputs]}
    for node in graph.nodes:
        names.update(t.name for t in [*node.inputs, *node.outputs])
        for inner in subgraphs(node):
            names |= names_in(inner)
    return names


def unused_name(wanted: str, taken: set[str]) -> str:
    """The wanted name, with a number if it is taken. Adds the name to ``taken``."""
    candidate, number = wanted, 1
    while candidate in taken:
        candidate, number = f"{wanted}_{number}", number + 1
    taken.add(candidate)
    return candidate


def attribute_or_input(node: Node, name: str, index: int) -> Any:
    """An argument that is an attribute in old opsets and an input in new ones. None if it is absent or not constant."""
    if name in node.attrs:
        return node.attrs[name]
    if index < len(node.inputs) and node.inputs[index].name:
        value = constant_of(node.inputs[index])
        return None if value is None else value.tolist()
    return None


def with_attrs(node: Node, **attrs: Any) -> dict[str, Any]:
    """The node's attributes with some changed. None removes an attribute."""
    merged = {**node.attrs, **attrs}
    return {k: v for k, v in merged.items() if v is not None}


def normalised(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def opset_of(model: ModelProto) -> int:
    return next((int(o.version) for o in model.opset_import if o.domain in DEFAULT_DOMAINS), 1)


def standard(node: Node) -> bool:
    """Whether a node's op is one of ONNX's own."""
    return node.domain in DEFAULT_DOMAINS
