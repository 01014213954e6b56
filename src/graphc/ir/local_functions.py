"""Inlines the local functions of a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx
import onnx.inliner


def inline_local_functions(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without local functions.

    onnx's inliner drops the default values of attributes that a call leaves out, so the calls get them first.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    defaults = {(f.domain, f.name, f.overload): f.attribute_proto for f in made.functions if f.attribute_proto}
    for nodes in (made.graph.node, *(f.node for f in made.functions)):
        for node in with_subgraphs(nodes):
            given = {a.name for a in node.attribute}
            missing = defaults.get((node.domain, node.op_type, node.overload), ())
            node.attribute.extend(a for a in missing if a.name not in given)
    return onnx.inliner.inline_local_functions(made)


def with_subgraphs(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    """All nodes, and those of the graphs that they hold."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from with_subgraphs(graph.node)
