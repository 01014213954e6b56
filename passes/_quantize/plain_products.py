"""Products in the form that quantizers know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.api import Constant, Graph, Model, Node, Variable, names_in, unused_name, weight_of


def named(model: Model) -> None:
    """Gives a name to nodes that have none, so that they can be told apart. Changes the model in place."""
    taken = {n.name for n in model.graph.nodes}
    for node in model.graph.nodes:
        node.name = node.name or unused_name(f"{node.outputs[0].name}/{node.op.lower()}", taken)


def plain_products(model: Model, excluded: Sequence[str]) -> None:
    """Gemm of a constant weight takes its input as it is, by a Transpose before it where it took it transposed, and its
    weight [K, N]. Changes the model in place."""
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
        if node.attrs.pop("transB", 0):
            name = unused_name(f"{node.inputs[1].name}/turned", taken)
            node.inputs[1] = Constant(name, np.ascontiguousarray(weight.T))


def products_and_sums(model: Model) -> None:
    """Plain Gemm becomes MatMul and Add, of which onnxruntime's dynamic quantizer knows the first. Changes the model in
    place.

    Nodes that are to stay in float as well: the quantizer does the same to all, under a name that nothing excludes.
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
    """Whether a Gemm by a float constant neither scales nor transposes."""
    weight = weight_of(node.inputs[1])
    scaled = any(float(node.attrs.get(name, 1)) != 1 for name in ("alpha", "beta"))
    turned = node.attrs.get("transA") or node.attrs.get("transB")
    return weight is not None and weight.dtype == np.float32 and not scaled and not turned


def drop_emptied(graph: Graph) -> None:
    graph.nodes = [n for n in graph.nodes if n.outputs]
