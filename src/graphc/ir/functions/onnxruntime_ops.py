"""Writes out SimplifiedLayerNormalization, which onnxruntime's optimizer puts into onnx's own domain.

onnx does not know the op there, so its checker refuses every such model.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from graphc.ir.graph import DEFAULT_DOMAINS, opset_of
from graphc.ir.subgraphs import graphs_in

OP = "SimplifiedLayerNormalization"
AXES_AS_INPUT = 18  # ReduceMean
MOST_AXES = 64
HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def write_out_own_ops(model: onnx.ModelProto) -> None:
    """Replaces each node of the op by standard ops, if its scale is a constant in float or half precision.

    The op divides by the root of the mean square over the last axes, and multiplies by a scale (onnxruntime,
    ContribOperators.md). The model is not checked yet: nodes of any other form are left to onnx's checker.
    """
    opset = opset_of(model)
    types: dict[str, int] = {}
    for graph in graphs_in(model.graph):
        types |= {t.name: t.data_type for t in graph.initializer}
        types |= {n.output[0]: a.t.data_type for n in graph.node if n.output for a in n.attribute if is_value(a)}
    for graph in list(graphs_in(model.graph)):
        if not any(is_own(node, types) for node in graph.node):
            continue
        nodes = [n for node in graph.node for n in (written_out(node, opset, types) if is_own(node, types) else [node])]
        del graph.node[:]
        graph.node.extend(nodes)


def is_own(node: NodeProto, types: dict[str, int]) -> bool:
    if node.op_type != OP or node.domain not in DEFAULT_DOMAINS or len(node.input) < 2 or not node.output:
        return False
    return settings_of(node) is not None and types.get(node.input[1]) in (TensorProto.FLOAT, *HALVES)


def is_value(attribute: onnx.AttributeProto) -> bool:
    return bool(attribute.name == "value" and attribute.HasField("t"))


def settings_of(node: NodeProto) -> tuple[int, float] | None:
    """The first axis (negative, counted from the end) and epsilon. None if an attribute is not such a number."""
    kinds = onnx.AttributeProto
    given = {a.name: a for a in node.attribute}
    axis = given.get("axis") or helper.make_attribute("axis", -1)
    epsilon = given.get("epsilon") or helper.make_attribute("epsilon", 1e-5)
    numbers = axis.type == kinds.INT and -MOST_AXES <= axis.i < 0 and epsilon.type == kinds.FLOAT
    return (axis.i, epsilon.f) if numbers else None


def written_out(node: NodeProto, opset: int, types: dict[str, int]) -> list[NodeProto]:
    x, scale = node.input[:2]
    result, *more = node.output
    settings = settings_of(node)
    assert settings is not None
    axis, rounding = settings
    base = f"{node.name or result}/{OP}"
    half = types[scale] if types[scale] in HALVES else None
    axes = np.arange(axis, 0)
    made: list[NodeProto] = []

    def add(op: str, inputs: list[str], name: str, **attrs: object) -> str:
        made.append(helper.make_node(op, inputs, [name], name, **attrs))
        return name

    def constant(value: np.ndarray, name: str) -> str:
        return add("Constant", [], f"{base}/{name}", value=numpy_helper.from_array(value))

    whole = add("Cast", [x], f"{base}/float", to=TensorProto.FLOAT) if half else x
    square = add("Mul", [whole, whole], f"{base}/square")
    if opset >= AXES_AS_INPUT:
        mean = add("ReduceMean", [square, constant(axes, "axes")], f"{base}/mean", keepdims=1)
    else:
        mean = add("ReduceMean", [square], f"{base}/mean", axes=axes.tolist(), keepdims=1)
    epsilon = constant(np.array(rounding, np.float32), "epsilon")
    root = add("Sqrt", [add("Add", [mean, epsilon], f"{base}/more")], f"{base}/root")
    normal = add("Div", [whole, root], f"{base}/normal")
    if half:
        normal = add("Cast", [normal], f"{base}/half", to=half)
    add("Mul", [normal, scale], result)
    if more and more[0]:
        add("Reciprocal", [root], more[0])
    return made
