"""Converts int64 ports to int32, for runtimes that cannot store int64 states."""

from __future__ import annotations

from collections.abc import Collection

import onnx

INT32 = onnx.TensorProto.INT32
INT64 = onnx.TensorProto.INT64


def with_narrow_ports(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """A copy of the model in which the named ports are int32. Inside, the model still computes in int64."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    before, behind = [], []
    inner = {port.name: f"{port.name}/int64" for port in (*graph.input, *graph.output) if port.name in names}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = inner.get(name, name)
        for place, name in enumerate(node.output):
            node.output[place] = inner.get(name, name)
    for port in graph.input:
        if port.name in names:
            port.type.tensor_type.elem_type = INT32
            before.append(onnx.helper.make_node("Cast", [port.name], [inner[port.name]], to=INT64))
    for port in graph.output:
        if port.name in names:
            port.type.tensor_type.elem_type = INT32
            behind.append(onnx.helper.make_node("Cast", [inner[port.name]], [port.name], to=INT32))
    nodes = [*before, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)
    return copy
