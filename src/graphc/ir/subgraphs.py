"""The subgraphs of nodes: branches of If, bodies of Loop and Scan."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx


def graphs_of(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """The subgraphs of a node, including nested ones."""
    for attribute in node.attribute:
        for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield from graphs_in(graph)


def graphs_in(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all its subgraphs, including nested ones."""
    yield graph
    for node in graph.node:
        yield from graphs_of(node)


def nodes_of(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """The given nodes and all nodes of their subgraphs."""
    for node in nodes:
        yield node
        for graph in graphs_of(node):
            yield from graph.node
