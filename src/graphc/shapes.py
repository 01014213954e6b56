"""Shapes that follow from a model's inputs and weights alone; what the file says of inner tensors may be stale."""

from __future__ import annotations

import onnx

from graphc.model import Model

Shape = list[int | str | None]


def static_shapes(model: Model) -> dict[str, Shape]:
    """The shape of every tensor that onnx's shape inference finds one for; symbolic dims by name, unknown None."""
    proto = model.proto()
    inferred = inferred_types(proto)
    return {name: shape for name, (_, shape) in inferred.items() if shape is not None}


def inferred_types(proto: onnx.ModelProto) -> dict[str, tuple[int, Shape | None]]:
    """Element type and shape of the tensors of the outer graph, inferred anew from its inputs."""
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.graph.value_info[:]
    for port in bare.graph.output:
        if port.type.HasField("tensor_type"):
            port.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    except Exception:
        inferred = bare
    found: dict[str, tuple[int, Shape | None]] = {}
    for info in [*inferred.graph.input, *inferred.graph.value_info, *inferred.graph.output]:
        if info.type.HasField("tensor_type"):
            tensor = info.type.tensor_type
            found[info.name] = (tensor.elem_type, shape_of(tensor) if tensor.HasField("shape") else None)
    for weight in inferred.graph.initializer:
        found[weight.name] = (weight.data_type, list(weight.dims))
    return found


def shape_of(tensor: onnx.TypeProto.Tensor) -> Shape:
    return [d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in tensor.shape.dim]
