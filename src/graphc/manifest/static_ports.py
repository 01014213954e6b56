"""Writes the fixed sizes of a call into the ports of a compiled model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from graphc.ir.ort_session import Session
from graphc_runtime.errors import RunError


def with_static_ports(proto: onnx.ModelProto, manifest: Mapping[str, Any]) -> onnx.ModelProto:
    """The model with the manifest's shapes in its ports, which runtimes for devices need.

    The dims stay symbolic if onnxruntime does not load the model with fixed ones. A branch of an If may only fit other
    sizes, and onnxruntime checks what it computes at load time more strictly than what it computes in a run.
    """
    if manifest["chunk"] is None:
        return proto
    shapes = port_shapes(manifest)
    ports = [*proto.graph.input, *proto.graph.output]
    if not any(is_open(port) for port in ports if port.name in shapes):
        return proto
    bound = onnx.ModelProto()
    bound.CopyFrom(proto)
    for port in [*bound.graph.input, *bound.graph.output]:
        if port.name in shapes:
            bind(port, shapes[port.name])
    try:
        Session(bound, prepack=False)
    except RunError:
        return proto
    return bound


def port_shapes(manifest: Mapping[str, Any]) -> dict[str, Sequence[int]]:
    shapes = {entry["name"]: entry["shape"] for entry in [*manifest["inputs"], *manifest["outputs"]]}
    for state in manifest["states"]:
        shapes[state["input"]] = shapes[state["output"]] = state["shape"]
    return {name: shape for name, shape in shapes.items() if all(isinstance(size, int) for size in shape)}


def is_open(port: onnx.ValueInfoProto) -> bool:
    tensor = port.type.tensor_type
    return not tensor.HasField("shape") or any(not dim.HasField("dim_value") for dim in tensor.shape.dim)


def bind(port: onnx.ValueInfoProto, shape: Sequence[int]) -> None:
    tensor = port.type.tensor_type
    tensor.ClearField("shape")
    tensor.shape.SetInParent()
    for size in shape:
        tensor.shape.dim.add(dim_value=size)
