"""Converts ONNX to a graph and back, and preserves what onnx-graphsurgeon would lose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import AttributeProto, GraphProto, ModelProto

from graphc.ir.graph import DEFAULT_DOMAINS, Constant, Graph, Node, Variable
from graphc.ir.weights.external_weights import keep_weights
from graphc.ir.weights.weight_files import KeptValues, is_kept
from graphc_runtime.errors import ModelError

LazyValues = gs.ir.tensor.LazyValues
FIRST_IR_WITH_DEFAULTS = 4
KEPT_ATTRIBUTES = (AttributeProto.TYPE_PROTO, AttributeProto.SPARSE_TENSOR, AttributeProto.TENSORS)
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def import_model(model: ModelProto) -> Graph:
    """The graph of a model. Constant nodes with a dense value become constants.

    Errors:
        ModelError: the model holds something that onnx-graphsurgeon cannot represent.
    """
    try:
        graph = gs.import_onnx(model)
    except (UnicodeDecodeError, KeyError, ValueError, RecursionError) as err:
        raise ModelError(
            f"the graph cannot be read ({type(err).__name__}: {err})", hint="check it with onnx.checker"
        ) from err
    for tensor in graph.tensors().values():
        if isinstance(tensor, Constant) and isinstance(tensor._values, LazyValues) and is_kept(tensor._values.tensor):
            tensor._values = KeptValues(owned(tensor._values.tensor))
    graph.import_domains = list(owned_imports(model))
    keep_attributes(graph, model.graph)
    free_overridable(graph, model)
    port_names = {t.name for t in graph.outputs}
    graph.nodes = [node for node in graph.nodes if not became_constant(node, port_names)]
    return graph


def became_constant(node: Node, port_names: set[str]) -> bool:
    """Turns the output of a Constant node into a constant if possible. True if the node is no longer needed."""
    if node.op != "Constant" or node.domain not in DEFAULT_DOMAINS or node.outputs[0].name in port_names:
        return False
    value = constant_value(node)
    if value is None:
        return False
    output = node.outputs[0]
    node.outputs.clear()
    output.to_constant(value)
    return True


def constant_value(node: Node) -> Any:
    """The value of a Constant node, as an array or lazy values. None if it is not a dense numeric tensor."""
    attrs = node.attrs
    if isinstance(attrs.get("value"), Constant):
        return attrs["value"]._values
    dtypes = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for name, dtype in dtypes.items():
        if name in attrs and not isinstance(attrs[name], Node.AttributeRef):
            return np.array(attrs[name], dtype=dtype)
    return None


def owned_imports(model: ModelProto) -> Iterator[onnx.OperatorSetIdProto]:
    """Copies of the opset imports: onnx-graphsurgeon adds domains to the list that it is given."""
    for entry in model.opset_import:
        yield onnx.helper.make_opsetid(entry.domain, entry.version)


def owned(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """A copy of a tensor: onnx-graphsurgeon writes names into the tensors that it exports."""
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    return copy


def free_overridable(graph: Graph, model: ModelProto) -> None:
    """Makes inputs with a default value plain inputs, since no pass may rely on that value. Export restores it.

    Before IR version 4, every initializer had to be listed as an input although it was a constant.
    """
    defaults = {i.name for i in model.graph.initializer}
    listed = {t.name: t for t in graph.inputs if t.name not in defaults}
    if model.ir_version >= FIRST_IR_WITH_DEFAULTS:
        tensors = graph.tensors()
        for port in model.graph.input:
            tensor = tensors.get(port.name)
            if port.name in defaults and isinstance(tensor, Constant):
                tensor.to_variable(tensor.dtype, get_shape(port))
                tensor.type = "tensor_type"
                listed[port.name] = tensor
    graph.inputs = [listed[p.name] for p in model.graph.input if p.name in listed]


def get_shape(port: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in port.type.tensor_type.shape.dim]


def keep_attributes(graph: Graph, proto: GraphProto) -> None:
    """Restores the attributes that onnx-graphsurgeon skips on import. Its export writes them unchanged.

    Empty lists are left out, because its export cannot tell their type. Ops treat them as absent.
    """
    keep_exotic(graph, proto)
    for node, node_proto in zip(graph.nodes, proto.node, strict=True):
        for attribute in node_proto.attribute:
            if attribute.type in KEPT_ATTRIBUTES and not attribute.ref_attr_name:
                node.attrs[attribute.name] = onnx.helper.get_attribute_value(attribute)
            elif attribute.type == AttributeProto.TENSOR and not attribute.ref_attr_name:
                node.attrs[attribute.name]._values = LazyValues(owned(attribute.t))
            elif isinstance(node.attrs.get(attribute.name), list) and not node.attrs[attribute.name]:
                del node.attrs[attribute.name]
            elif attribute.type == AttributeProto.GRAPH and attribute.name in node.attrs:
                keep_attributes(node.attrs[attribute.name], attribute.g)


def export_model(graph: Graph, like: ModelProto) -> ModelProto:
    """The graph as a model, with the fields around the graph taken from ``like``.

    Errors:
        ModelError: onnx-graphsurgeon cannot write the graph, or the weights do not fit on the disk.
    """
    for node in graph.nodes:
        node.name = node.name or ""
    try:
        keep_weights(graph)
    except OSError as err:
        raise ModelError(
            f"the weights do not fit in the folder of temporary files: {err.strerror}",
            hint="set TMPDIR to a folder on a larger disk",
        ) from err
    try:
        model: ModelProto = gs.export_onnx(graph, do_type_check=False)
    except Exception as err:
        raise ModelError(f"the graph cannot be written: {type(err).__name__}: {' '.join(str(err).split())}") from err
    proto = model.graph
    restore_exotic(graph, proto)
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "ir_version"):
        if like.HasField(field):
            setattr(model, field, getattr(like, field))
    model.metadata_props.extend(like.metadata_props)
    model.training_info.extend(like.training_info)
    proto.metadata_props.extend(like.graph.metadata_props)
    model.ir_version = max(model.ir_version, FIRST_IR_WITH_DEFAULTS)
    inputs = {p.name for p in proto.input}
    made = {i.name for i in proto.initializer}
    proto.initializer.extend(i for i in like.graph.initializer if i.name in inputs and i.name not in made)
    names = {t for n in proto.node for t in n.output} | {i.name for i in proto.initializer}
    proto.quantization_annotation.extend(q for q in like.graph.quantization_annotation if q.tensor_name in names)
    return model


def is_exotic(port: onnx.ValueInfoProto) -> bool:
    """Whether a port is an optional, a sequence, a map or a sparse tensor."""
    return port.type.WhichOneof("value") not in (None, "tensor_type")


def keep_exotic(graph: Graph, proto: GraphProto) -> None:
    """Records the exact types of tensors that onnx-graphsurgeon cannot write. Export restores the types of ports."""
    exotic = {p.name: p for p in [*proto.input, *proto.output, *proto.value_info] if is_exotic(p)}
    for tensor in graph.tensors().values():
        if tensor.name in exotic and isinstance(tensor, Variable):
            tensor.type, tensor.dtype, tensor.shape = "tensor_type", None, None
            tensor.exact_type = exotic[tensor.name].type


def restore_exotic(graph: Graph, proto: GraphProto) -> None:
    for tensors, ports in ((graph.inputs, proto.input), (graph.outputs, proto.output)):
        for tensor, port in zip(tensors, ports, strict=True):
            exact = getattr(tensor, "exact_type", None)
            if exact is not None:
                port.type.CopyFrom(exact)
    for node, node_proto in zip(graph.nodes, proto.node, strict=True):
        inner = {a.name: a.g for a in node_proto.attribute if a.type == AttributeProto.GRAPH}
        for name, value in node.attrs.items():
            if isinstance(value, gs.Graph):
                restore_exotic(value, inner[name])
