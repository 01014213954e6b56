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
    """Replaces each such node over the last axes, with a constant scale in float or halves, by the ops it stands for.

    A node divides by the root of the mean square and multiplies by a scale (onnxruntime, ContribOperators.md). The
    model is not checked yet: whatever is no such node is left to onnx's checker.
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
    given = attributes(node)
    axis, epsilon = given.get("axis", -1), given.get("epsilon", 1e-5)
    known = isinstance(axis, int) and -MOST_AXES <= axis < 0 and isinstance(epsilon, float)
    return known and types.get(node.input[1]) in (TensorProto.FLOAT, *HALVES)


def is_value(attribute: onnx.AttributeProto) -> bool:
    return bool(attribute.name == "value" and attribute.HasField("t"))


def attributes(node: NodeProto) -> dict[str, int | float | None]:
    """The numbers among the attributes, and None for each of another type."""
    kinds = onnx.AttributeProto
    return {a.name: a.i if a.type == kinds.INT else a.f if a.type == kinds.FLOAT else None for a in node.attribute}


def written_out(node: NodeProto, opset: int, types: dict[str, int]) -> list[NodeProto]:
    x, scale = node.input[:2]
    result, *more = node.output
    given = attributes(node)
    base = f"{node.name or result}/{OP}"
    half = types[scale] if types[scale] in HALVES else None
    axes = np.arange(int(given.get("axis", -1) or -1), 0)
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
    epsilon = constant(np.array(given.get("epsilon", 1e-5) or 0.0, np.float32), "epsilon")
    root = add("Sqrt", [add("Add", [mean, epsilon], f"{base}/more")], f"{base}/root")
    normal = add("Div", [whole, root], f"{base}/normal")
    if half:
        normal = add("Cast", [normal], f"{base}/half", to=half)
    add("Mul", [normal, scale], result)
    if more and more[0]:
        add("Reciprocal", [root], more[0])
    return made
