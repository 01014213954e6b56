"""Weights that nodes compute from other weights, such as transposed weights of a layer. Each is computed once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from graphc.ir.graph import RANDOM_OPS, Constant, Graph, Node, is_sparse, nbytes, reads, sorted_nodes, subgraphs
from graphc.ir.import_export import export_model, import_model
from graphc.ir.ort_session import Session
from graphc.ir.weights.external_weights import SMALLEST_KEPT, constants_in
from graphc.ir.weights.weight_files import KeptArray, array_of, keep
from graphc_runtime.errors import ModelError, RunError

Array = NDArray[Any]
SMALLEST = 2**16


@dataclass
class MadeWeights:
    """The tensors of a graph that depend only on weights, at least one of them large.

    Args:
        nodes: the nodes that compute these tensors, in order.
        values: the values of those tensors that other nodes read.
        known: values by a hash of the nodes and weights that make them, reused after a graph is rewritten.
    """

    nodes: list[Node] = field(default_factory=list)
    values: dict[str, Array] = field(default_factory=dict)
    known: dict[bytes, Array] = field(default_factory=dict)

    def work_out(self, graph: Graph, like: onnx.ModelProto, is_large_model: bool) -> None:
        """Finds these tensors in a graph with sorted nodes, and computes them one at a time.

        The values of a large model are kept in files.

        Errors:
            ModelError: onnxruntime does not run the nodes.
        """
        steady, large = constant_nodes(graph)
        self.nodes = [n for n in steady if any(t.name in large for t in n.outputs)]
        inner = {id(n) for n in self.nodes}
        wanted = {t.name for n in graph.nodes if id(n) not in inner for t in reads(n)} | {t.name for t in graph.outputs}
        makers = {t.name: n for n in steady for t in n.outputs if t.name}
        self.values = {
            name: self.value_of(name, graph, like, makers, is_large_model) for name in large if name in wanted
        }

    def value_of(self, name: str, graph: Graph, like: onnx.ModelProto, makers: dict[str, Node], large: bool) -> Array:
        chain = chain_of(makers[name], makers)
        model = export_model(Graph(chain, [], [], "weights", "", graph.opset, graph.import_domains), like)
        model.graph.output.append(onnx.ValueInfoProto(name=name))
        key = hashlib.blake2b(model.SerializeToString(deterministic=True)).digest()
        if key not in self.known:
            try:
                value = np.asarray(Session(model, optimize=False).run({})[name])
            except RunError as err:
                raise ModelError(f"onnxruntime cannot run the offline model: {err}") from err
            keeps = large and value.nbytes >= SMALLEST_KEPT and value.dtype.kind in "fiu"
            self.known[key] = array_of(keep(value).tensor) if keeps else value
        return self.known[key]


def with_made_weights(model: onnx.ModelProto, known: dict[bytes, Array]) -> onnx.ModelProto:
    """A large model with its made weights as initializers, so that a session maps them from files into memory.

    Errors:
        ModelError: onnxruntime does not run the nodes that make these weights.
    """
    graph = import_model(model)
    graph.nodes = sorted_nodes(graph)
    made = MadeWeights(known=known)
    made.work_out(graph, model, is_large_model=True)
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    put_in(whole, graph, made)
    return whole


def constant_nodes(graph: Graph) -> tuple[list[Node], list[str]]:
    """The nodes that do not depend on an input, and the names of their outputs that depend on a large weight."""
    found: list[Node] = []
    large: dict[str, bool] = {}
    for node in graph.nodes:
        given = reads(node)
        if not given or node.op in RANDOM_OPS or any(True for _ in subgraphs(node)):
            continue
        if all(t.name in large or (isinstance(t, Constant) and not is_sparse(t)) for t in given):
            is_large = any(large.get(t.name) or (isinstance(t, Constant) and nbytes(t) >= SMALLEST) for t in given)
            large |= {t.name: is_large for t in node.outputs if t.name}
            found.append(node)
    return found, [name for name, is_large in large.items() if is_large]


def chain_of(last: Node, makers: dict[str, Node]) -> list[Node]:
    """The nodes that compute a tensor, in order."""
    found: dict[int, Node] = {}
    waiting = [last]
    while waiting:
        node = waiting.pop()
        found.pop(id(node), None)
        found[id(node)] = node
        waiting += [makers[t.name] for t in node.inputs if t.name in makers]
    return list(found.values())[::-1]


def put_in(model: onnx.ModelProto, graph: Graph, made: MadeWeights) -> None:
    """Replaces the nodes that make the weights by their results, and drops what only those nodes read.

    Args:
        model: the graph as a model. It is changed in place.
    """
    inner = {id(n) for n in made.nodes}
    rest = [n for n in graph.nodes if id(n) not in inner]
    read = {t.name for n in rest for t in n.inputs} | {
        t.name for n in rest for g in subgraphs(n) for t in constants_in(g)
    }
    needless = {t.name for n in made.nodes for t in n.inputs} - read - {t.name for t in graph.outputs}
    names = {t.name for n in made.nodes for t in n.outputs if t.name}
    nodes = [n for n in model.graph.node if not names.intersection(n.output)]
    weights = [w for w in model.graph.initializer if w.name not in needless]
    for name, value in made.values.items():
        kept = value.kept if isinstance(value, KeptArray) else None
        weight = TensorProto()
        weight.CopyFrom(kept or onnx.numpy_helper.from_array(value))
        weight.name = name
        weights.append(weight)
    del model.graph.node[:]
    del model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(weights)
