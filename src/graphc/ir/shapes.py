"""Infers shapes from a model's inputs and weights only. Shapes of inner tensors in the file may be stale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx

from graphc.ir.graph import Constant, is_sparse, nbytes
from graphc.ir.import_export import LazyValues
from graphc.ir.model import Model

Shape = list[int | str | None]
LARGEST_READ = 4096
CONTRIB = "com.microsoft"
CONTRIB_UNARY = ("Gelu", "QuickGelu", "FastGelu")


def static_shapes(model: Model) -> dict[str, Shape]:
    """The shapes that onnx's shape inference finds, by tensor. Symbolic dims are names, unknown ones None."""
    proto = model.proto()
    inferred = inferred_types(proto)
    return {name: shape for name, (_, shape) in inferred.items() if shape is not None}


def inferred_types(proto: onnx.ModelProto) -> dict[str, tuple[int, Shape | None]]:
    """Element type and shape of the tensors of the outer graph, inferred again from its inputs.

    onnx does not know onnxruntime's own ops. Those that keep shape and type are treated as Identity.
    """
    bare = onnx.ModelProto()
    bare.CopyFrom(proto)
    del bare.graph.value_info[:]
    for node in bare.graph.node:
        if node.domain == CONTRIB and node.op_type in CONTRIB_UNARY:
            node.op_type, node.domain = "Identity", ""
            del node.input[1:], node.attribute[:]
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


def bare_types(model: Model, foreign: Mapping[str, tuple[int, Shape]]) -> dict[str, tuple[int, Shape | None]]:
    """Like ``inferred_types``, but without copying the weights: of large weights, only the shapes are used.

    Args:
        foreign: element type and shape of tensors that come from ops unknown to onnx.
    """
    held: list[tuple[Constant, Any]] = []
    for tensor in model.graph.tensors().values():
        if isinstance(tensor, Constant) and nbytes(tensor) > LARGEST_READ and not is_sparse(tensor):
            held.append((tensor, tensor._values))
            hollow = onnx.TensorProto(name=tensor.name, dims=list(tensor.shape), data_type=element_type(tensor))
            tensor._values = LazyValues(hollow)
    try:
        return inferred_types(without_foreign(model.proto(), foreign))
    finally:
        for tensor, values in held:
            tensor._values = values


def without_foreign(proto: onnx.ModelProto, foreign: Mapping[str, tuple[int, Shape]]) -> onnx.ModelProto:
    """Changes a model: graph inputs replace the nodes whose outputs are all in ``foreign``. Returns the same object."""
    nodes = list(proto.graph.node)
    gone = [n for n in nodes if any(n.output) and all(o in foreign for o in n.output if o)]
    if gone:
        del proto.graph.node[:]
        proto.graph.node.extend(n for n in nodes if all(n is not g for g in gone))
        known = [(o, *foreign[o]) for n in gone for o in n.output if o]
        proto.graph.input.extend(onnx.helper.make_tensor_value_info(*entry) for entry in known)
    return proto


def element_type(tensor: Constant) -> int:
    """ONNX's number for a constant's dtype. For types that numpy lacks, the dtype is this number."""
    dtype = tensor.dtype
    return dtype if isinstance(dtype, int) else int(onnx.helper.np_dtype_to_tensor_dtype(dtype))
