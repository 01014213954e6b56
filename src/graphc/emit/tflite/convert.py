"""Converts the ONNX graph: each node by its rule, or to constants if its inputs are known. Ports keep their names."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import graphc.emit.tflite.rules as rules
from graphc.emit.known_nodes import can_be_known, evaluated
from graphc.emit.onnx_node import attributes_of, label_of
from graphc.emit.tflite.emitter import Emitter, entries
from graphc.emit.tflite.flat_model import TYPES
from graphc.emit.tflite.rule import RULES, Node
from graphc.emit.tflite.rules.elementwise import cast_to
from graphc.emit.tflite.value import Array, Order, Value, known, straight
from graphc.ir.graph import opset_of
from graphc_runtime.errors import TargetError

for module in pkgutil.iter_modules(rules.__path__):
    importlib.import_module(f"{rules.__name__}.{module.name}")

KEEP_FINITE = frozenset(
    {
        "Abs",
        "Add",
        "AveragePool",
        "Cast",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "Cos",
        "Einsum",
        "Erf",
        "Expand",
        "GRU",
        "Gather",
        "GatherElements",
        "Gelu",
        "Gemm",
        "Identity",
        "LSTM",
        "LayerNormalization",
        "MatMul",
        "Max",
        "MaxPool",
        "Min",
        "Mul",
        "Neg",
        "Pad",
        "RNN",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Sin",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Sub",
        "Swish",
        "Tanh",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
COMPUTED = frozenset({"float32", "int32", "int64", "bool"})
OF_ANY_TYPE = frozenset(
    {
        "Cast",
        "Concat",
        "DequantizeLinear",
        "Gather",
        "Identity",
        "QuantizeLinear",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
HELD_IN_FLOAT = frozenset({"float16", "int8", "uint8", "int16"})
HUGE = 1e30


@dataclass(frozen=True)
class FlatFile:
    """A LiteRT model.

    Args:
        content: the content of the file.
        inputs, outputs: the index of each port's tensor, by ONNX name.
        orders: the order of each port's stored axes: ``order[i]`` is the ONNX axis at place i.
    """

    content: bytes
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    orders: Mapping[str, Order]


def to_tflite(model: onnx.ModelProto, states: Mapping[str, str]) -> FlatFile:
    """Converts a model of fixed sizes.

    Args:
        states: for each state's input, the output that becomes its next value. Both get the order of axes of the
            output.

    Errors:
        TargetError: names the node that LiteRT does not support.
    """
    taken: dict[str, Order] = {}
    for _ in range(2):
        e, inputs, values = emitted(model, taken)
        wanted = {i: values[o].order for i, o in states.items() if values[o].constant is None and i in inputs}
        if wanted == {i: taken.get(i, straight(inputs[i].rank)) for i in wanted}:
            break
        taken = wanted
    follows = {o: inputs[i].order for i, o in states.items() if i in inputs}
    outputs = {}
    orders = {name: value.order for name, value in inputs.items()}
    made: set[int] = {v.tensor for v in inputs.values() if v.tensor is not None}
    for port in model.graph.output:
        check_type(port)
        value = cast_to(e, values[port.name], onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type))
        order = follows.get(port.name, straight(value.rank))
        tensor = e.stored(value, order)
        if tensor in made or value.constant is not None:
            shape = [value.shape[a] for a in order]
            tensor = e.op("RESHAPE", [tensor, e.constant(shape, np.int32)], shape, value.dtype)
        made.add(tensor)
        e.flat.tensors[tensor].name = port.name
        outputs[port.name], orders[port.name] = tensor, order
    places = {name: value.tensor for name, value in inputs.items() if value.tensor is not None}
    return FlatFile(e.flat.packed(places, outputs), places, outputs, orders)


def emitted(model: onnx.ModelProto, orders: Mapping[str, Order]) -> tuple[Emitter, dict[str, Value], dict[str, Value]]:
    """Emits every node, with inputs stored in the given orders. Returns the emitter, the inputs and all values."""
    e = Emitter()
    values: dict[str, Value] = {i.name: known(wide(numpy_helper.to_array(i))) for i in model.graph.initializer}
    inputs: dict[str, Value] = {}
    for port in model.graph.input:
        if port.name in values:
            continue
        tensor = port.type.tensor_type
        shape, dtype = [d.dim_value for d in tensor.shape.dim], onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        check_type(port)
        order = orders.get(port.name, straight(len(shape)))
        made = e.flat.tensor(port.name, [shape[a] for a in order], dtype)
        inputs[port.name] = e.value(made, shape, dtype, order)
        values[port.name] = cast_to(e, inputs[port.name], widened(dtype))
    bounded = set(inputs)
    opset = opset_of(model)
    for index, proto in enumerate(model.graph.node):
        label, attributes = label_of(proto, index), attributes_of(proto)
        taken = [values[name] if name else None for name in proto.input]
        finite = [is_finite(v, name in bounded) for name, v in zip(proto.input, taken, strict=True)]
        node = Node(proto.op_type, label, proto.output, attributes, opset, taken, finite)
        if proto.op_type in KEEP_FINITE and all(finite):
            bounded |= set(proto.output)
        values |= zip(proto.output, computed(e, node, proto, model), strict=False)
    return e, inputs, values


def check_type(port: onnx.ValueInfoProto) -> None:
    """Refuses a port of a type that LiteRT lacks.

    Errors:
        TargetError: names the port.
    """
    dtype = onnx.helper.tensor_dtype_to_np_dtype(port.type.tensor_type.elem_type)
    if str(dtype) not in TYPES:
        raise TargetError(f"'{port.name}' is {dtype}, and LiteRT has no ports of that type")


def widened(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type to compute in. float16 and small integers are computed in float32: LiteRT has few kernels for them."""
    return np.dtype(np.float32) if str(dtype) in HELD_IN_FLOAT else dtype


def wide(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == np.float16 else array


def is_finite(value: Value | None, computed_so: bool) -> bool:
    if value is None or value.dtype.kind != "f":
        return True
    return computed_so if value.constant is None else bool((np.abs(value.constant) < HUGE).all())


def computed(e: Emitter, node: Node, proto: onnx.NodeProto, model: onnx.ModelProto) -> Sequence[Value]:
    """Converts a node, or evaluates it if its inputs are known, and returns its outputs."""
    if proto.domain not in ("", "ai.onnx"):
        raise node.refused(f"it is an op of {proto.domain}, and graphc only converts ONNX's own ops to LiteRT")
    if can_be_known(proto) and all(v is None or v.constant is not None for v in node.inputs):
        arrays = {n: entries(v) for n, v in zip(proto.input, node.inputs, strict=True) if v is not None}
        found = evaluated(proto, arrays, model)
        return [known(wide(found[name])) for name in proto.output if name]
    if node.op not in RULES:
        raise node.refused("graphc cannot convert this op to LiteRT", "`graphc targets litert` lists those that it can")
    odd = next((v.dtype for v in node.inputs if v is not None and str(v.dtype) not in COMPUTED), None)
    if odd is not None and node.op not in OF_ANY_TYPE:
        raise node.refused(
            f"one of its inputs is {odd}, but LiteRT computes in float32, int32 and int64", "export it in float32"
        )
    return RULES[node.op](e, node)


def rules_of_ops() -> list[str]:
    """The ONNX ops that can be converted, sorted by name."""
    return sorted(RULES)
