"""Reading and rewiring over onnx-graphsurgeon, which is the graph's form in every pass.

onnx-graphsurgeon drops what it does not model. ``import_model`` and ``export_model`` keep it: overridable initializers,
attributes that hold types or sparse tensors, ports that are optionals, sequences or maps, and the fields of the model
around its graph.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from numpy.typing import NDArray
from onnx import AttributeProto, GraphProto, ModelProto

from graphc.errors import ModelError
from graphc.ir.external_weights import KeptValues, is_kept

Graph = gs.Graph
Node = gs.Node
Tensor = gs.Tensor
Constant = gs.Constant
Variable = gs.Variable

gs.logger.G_LOGGER.severity = gs.logger.G_LOGGER.CRITICAL
logging.getLogger("onnx_ir").setLevel(logging.ERROR)

LazyValues = gs.ir.tensor.LazyValues
FIRST_IR_WITH_DEFAULTS = 4
KEPT_ATTRIBUTES = (AttributeProto.TYPE_PROTO, AttributeProto.SPARSE_TENSOR, AttributeProto.TENSORS)
RANDOM_OPS = ("RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial")
DEFAULT_DOMAINS = ("", "ai.onnx", None)
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


def label(node: Node) -> str:
    """A node as messages name it: its own name, or else its first output's, and its op type."""
    name = node.name or next((t.name for t in node.outputs if t.name), "unnamed")
    domain = "" if node.domain in DEFAULT_DOMAINS else f"{node.domain}."
    return f"{name} ({domain}{node.op})"


def name_of(node: Node) -> str:
    """A node's own name, or else its first output's."""
    return str(node.name or node.outputs[0].name)


def op_of(node: Node) -> str:
    """The op type, with its domain in front where that is not ONNX's own."""
    return node.op if node.domain in DEFAULT_DOMAINS else f"{node.domain}::{node.op}"


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
    """Turns the output of a Constant node into a constant, where it can be one; the node is not needed then."""
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
    """What a Constant node gives, as numpy array or lazy values; None where it is not a dense numeric tensor."""
    attrs = node.attrs
    if isinstance(attrs.get("value"), Constant):
        return attrs["value"]._values
    dtypes = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    for name, dtype in dtypes.items():
        if name in attrs and not isinstance(attrs[name], Node.AttributeRef):
            return np.array(attrs[name], dtype=dtype)
    return None


def owned_imports(model: ModelProto) -> Iterator[onnx.OperatorSetIdProto]:
    """Copies: onnx-graphsurgeon adds the domains of new nodes to what it was given."""
    for entry in model.opset_import:
        yield onnx.helper.make_opsetid(entry.domain, entry.version)


def owned(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """A copy: onnx-graphsurgeon writes names into the tensors that it exports."""
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    return copy


def free_overridable(graph: Graph, model: ModelProto) -> None:
    """Makes inputs with a default value plain inputs, since no pass may rely on the default; export puts it back.

    Before IR version 4 every initializer had to be listed as an input, and meant a constant.
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
    """Puts back the attributes that onnx-graphsurgeon skips on import; its export takes them as they are.

    Empty lists, of which its export does not know what they would hold, are left out: ops take them as absent.
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
        ModelError: onnx-graphsurgeon cannot write it, as where a port of a subgraph has a type of its own making.
    """
    for node in graph.nodes:
        node.name = node.name or ""
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
    """Notes the exact types of ports that onnx-graphsurgeon cannot write, and of none in between."""
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


def constant_of(tensor: Tensor | None) -> NDArray[Any] | None:
    """The value of a constant tensor, else None."""
    return tensor.values if isinstance(tensor, Constant) and not is_sparse(tensor) else None


def is_sparse(tensor: Constant) -> bool:
    return type(tensor._values).__name__ == "SparseValues"


def nbytes(tensor: Constant) -> int:
    """Bytes of a constant, without loading it."""
    return int(tensor._values.nbytes)


def producer(tensor: Tensor) -> Node | None:
    return tensor.inputs[0] if tensor.inputs else None


def consumers(tensor: Tensor) -> list[Node]:
    return list(tensor.outputs)


def subgraphs(node: Node) -> Iterator[Graph]:
    """The graphs in a node's attributes, not those inside them."""
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
    """All that a node depends on: its inputs and what its subgraphs capture."""
    return [*(t for t in node.inputs if t.name), *captured(node)]


def sorted_nodes(graph: Graph) -> list[Node]:
    """The nodes in topological order, stable.

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
    """Where a node itself stands; onnx-graphsurgeon's own search compares nodes by all that they hold."""
    return next(i for i, other in enumerate(graph.nodes) if other is node)


def replace_tensor(graph: Graph, old: Tensor, new: Tensor) -> None:
    """Makes every reader of ``old`` in this graph read ``new``; subgraphs keep what they capture."""
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
    """The wanted name, or the wanted name with a number where it is taken; taken from then on."""
    candidate, number = wanted, 1
    while candidate in taken:
        candidate, number = f"{wanted}_{number}", number + 1
    taken.add(candidate)
    return candidate


class Writer:
    """Writes nodes whose names begin with ``base``; arrays and numbers among the inputs become constants."""

    def __init__(self, base: str):
        self.base = base
        self.nodes: list[Node] = []

    def one(self, op: str, *inputs: Tensor | NDArray[Any] | np.generic | int | list[int], **attrs: Any) -> Variable:
        """Appends a node of one output, which is returned."""
        name = f"{self.base}/{op.lower()}_{len(self.nodes)}"
        given = [t if isinstance(t, Tensor) else Constant(f"{name}/{i}", np.asarray(t)) for i, t in enumerate(inputs)]
        result = Variable(name)
        self.nodes.append(Node(op, name, attrs, given, [result]))
        return result

    def size(self, tensor: Tensor, axis: int) -> Variable:
        """One entry of a tensor's shape, int64 [1]."""
        end = axis + 1 if axis != -1 else int(np.iinfo(np.int64).max)
        return self.one("Slice", self.one("Shape", tensor), [axis], [end])

    def span(self, size: Tensor, trailing: int) -> Variable:
        """0, 1, 2 and so on up to a size, followed by axes of size 1."""
        places = self.one("Range", 0, self.one("Squeeze", size), 1)
        return self.one("Reshape", places, [-1] + [1] * trailing)


def attribute_or_input(node: Node, name: str, index: int) -> Any:
    """An argument that became an input at some opset: its attribute, else the constant input, else None."""
    if name in node.attrs:
        return node.attrs[name]
    if index < len(node.inputs) and node.inputs[index].name:
        value = constant_of(node.inputs[index])
        return None if value is None else value.tolist()
    return None


def with_attrs(node: Node, **attrs: Any) -> dict[str, Any]:
    """The node's attributes with some changed; None removes one."""
    merged = {**node.attrs, **attrs}
    return {k: v for k, v in merged.items() if v is not None}


def normalised(axis: int, rank: int) -> int:
    return axis + rank if axis < 0 else axis


def opset_of(model: ModelProto) -> int:
    return next((int(o.version) for o in model.opset_import if o.domain in DEFAULT_DOMAINS), 1)


def standard(node: Node) -> bool:
    """Whether an op is ONNX's own."""
    return node.domain in DEFAULT_DOMAINS
