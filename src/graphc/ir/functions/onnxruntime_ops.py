"""Writes out SimplifiedLayerNormalization, which onnxruntime's optimizer puts into onnx's own domain.

onnx does not know the op there, so its checker refuses every such model.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from graphc.ir.subgraphs import graphs_in

OP = "SimplifiedLayerNormalization"
AXES_AS_INPUT = 18  # ReduceMean


def write_out_own_ops(model: onnx.ModelProto) -> None:
    """Replaces each such node over the last axes by the ops that it stands for.

    It divides by the root of the mean square and multiplies by a scale (onnxruntime, ContribOperators.md).
    """
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 1)
    types = {t.name: t.data_type for g in graphs_in(model.graph) for t in g.initializer}
    for graph in list(graphs_in(model.graph)):
        if not any(is_own(node) for node in graph.node):
            continue
        nodes = [n for node in graph.node for n in (written_out(node, opset, types) if is_own(node) else [node])]
        del graph.node[:]
        graph.node.extend(nodes)


def is_own(node: NodeProto) -> bool:
    return node.op_type == OP and node.domain in ("", "ai.onnx") and attributes(node).get("axis", -1) < 0


def attributes(node: NodeProto) -> dict[str, int | float]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def written_out(node: NodeProto, opset: int, types: dict[str, int]) -> list[NodeProto]:
    x, scale = node.input[:2]
    result, *more = node.output
    given = attributes(node)
    base = f"{node.name or result}/{OP}"
    half = types.get(scale) if types.get(scale) in (TensorProto.FLOAT16, TensorProto.BFLOAT16) else None
    axes = np.arange(int(given.get("axis", -1)), 0)
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
    epsilon = constant(np.array(given.get("epsilon", 1e-5), np.float32), "epsilon")
    root = add("Sqrt", [add("Add", [mean, epsilon], f"{base}/more")], f"{base}/root")
    normal = add("Div", [whole, root], f"{base}/normal")
    if half:
        normal = add("Cast", [normal], f"{base}/half", to=half)
    add("Mul", [normal, scale], result)
    if more and more[0]:
        add("Reciprocal", [root], more[0])
    return made
