"""Rewrites Gemm and FusedMatMul into products that onnxruntime's quantizers support, and names every node."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.api import (
    Constant,
    Graph,
    Model,
    Node,
    Tensor,
    Variable,
    names_in,
    op_of,
    sorted_nodes,
    static_shapes,
    unused_name,
    weight_of,
)


def named(model: Model) -> None:
    """Gives a name to every node without one, so that nodes can be told apart. Changes the model in place."""
    taken = {n.name for n in model.graph.nodes}
    for node in model.graph.nodes:
        node.name = node.name or unused_name(f"{node.outputs[0].name}/{node.op.lower()}", taken)


def plain_products(model: Model, excluded: Sequence[str]) -> None:
    """Removes transposes and factors from Gemms with a constant weight: onnxruntime's quantizers ignore the factors.

    A Transpose node replaces ``transA``. The weight is stored as [K, N], multiplied by alpha, and the bias is
    multiplied by beta. Changes the model in place.
    """
    graph = model.graph
    taken = names_in(graph)
    for node in [n for n in graph.nodes if n.op == "Gemm"]:
        weight = weight_of(node.inputs[1])
        if weight is None or weight.dtype != np.float32 or node.name in excluded:
            continue
        if node.attrs.pop("transA", 0):
            turned = Variable(unused_name(f"{node.name}/turned", taken), np.float32)
            graph.nodes.append(Node("Transpose", turned.name, {"perm": [1, 0]}, [node.inputs[0]], [turned]))
            node.inputs[0] = turned
        alpha, beta = (float(node.attrs.pop(name, 1.0)) for name in ("alpha", "beta"))
        turn = node.attrs.pop("transB", 0)
        if turn or alpha != 1:
            plain = (weight.T if turn else weight) * np.float32(alpha)
            node.inputs[1] = Constant(unused_name(f"{node.inputs[1].name}/plain", taken), np.ascontiguousarray(plain))
        if beta != 1 and len(node.inputs) > 2 and node.inputs[2].name:
            node.inputs[2] = scaled(graph, node.inputs[2], beta, taken)


def scaled(graph: Graph, tensor: Tensor, factor: float, taken: set[str]) -> Tensor:
    """A tensor times a number: a constant if the tensor is one, else the output of a Mul."""
    value = weight_of(tensor)
    if value is not None:
        return Constant(unused_name(f"{tensor.name}/scaled", taken), np.asarray(value * value.dtype.type(factor)))
    by = Constant(unused_name(f"{tensor.name}/factor", taken), np.asarray(factor, np.float32))
    product = Variable(unused_name(f"{tensor.name}/scaled", taken), np.float32)
    graph.nodes.append(Node("Mul", product.name, {}, [tensor, by], [product]))
    return product


def unfused_products(model: Model) -> None:
    """Turns onnxruntime's FusedMatMul with a float constant into a MatMul, which more quantizers support.

    The constant is transposed and multiplied by the factor of the FusedMatMul if it has one. A Transpose node replaces
    ``transA``. Changes the model in place.
    """
    graph = model.graph
    taken = names_in(graph)
    shapes = static_shapes(model)
    for node in [n for n in graph.nodes if op_of(n) == "com.microsoft::FusedMatMul"]:
        weight, shape = weight_of(node.inputs[1]), shapes.get(node.inputs[0].name)
        if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or shape is None:
            continue
        if node.attrs.get("transBatchA") or node.attrs.get("transBatchB"):
            continue
        if node.attrs.get("transA"):
            perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
            turned = Variable(unused_name(f"{node.name}/turned", taken), np.float32)
            graph.nodes.append(Node("Transpose", turned.name, {"perm": perm}, [node.inputs[0]], [turned]))
            node.inputs[0] = turned
        plain = np.swapaxes(weight, -1, -2) if node.attrs.get("transB") else weight
        plain = np.ascontiguousarray(plain * np.float32(node.attrs.get("alpha", 1.0)))
        node.inputs[1] = Constant(unused_name(f"{node.inputs[1].name}/plain", taken), plain)
        node.op, node.domain, node.attrs = "MatMul", None, {}
    graph.nodes = sorted_nodes(graph)


def products_and_sums(model: Model) -> None:
    """Turns each plain Gemm into MatMul and Add, because onnxruntime's dynamic quantizer supports only MatMul.

    Gemms that stay in float are included. Otherwise the quantizer would rewrite them too, under a name that no option
    excludes. Changes the model in place.
    """
    graph = model.graph
    taken = names_in(graph)
    for node in [n for n in graph.nodes if n.op == "Gemm" and is_plain(n)]:
        first, second, *bias = node.inputs
        output = node.outputs[0]
        summed = bool(bias) and bool(bias[0].name)
        product = Variable(unused_name(f"{node.name}/product", taken), np.float32) if summed else output
        node.inputs.clear()
        node.outputs.clear()
        graph.nodes.append(Node("MatMul", node.name, {}, [first, second], [product]))
        if summed:
            graph.nodes.append(Node("Add", f"{node.name}/bias", {}, [product, bias[0]], [output]))
    drop_emptied(graph)


def is_plain(node: Node) -> bool:
    """Whether a Gemm has a float32 constant as its weight, no factors and no transposes."""
    weight = weight_of(node.inputs[1])
    turned = node.attrs.get("transA") or node.attrs.get("transB")
    return weight is not None and weight.dtype == np.float32 and not is_scaled(node) and not turned


def is_scaled(node: Node) -> bool:
    return any(float(node.attrs.get(name, 1)) != 1 for name in ("alpha", "beta"))


def drop_emptied(graph: Graph) -> None:
    graph.nodes = [n for n in graph.nodes if n.outputs]
