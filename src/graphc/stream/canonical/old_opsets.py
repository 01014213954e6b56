"""Replaces ops that old opsets lack for integers by ops that they have."""

from __future__ import annotations

from graphc.ir.graph import Graph, Node, Variable, names_in, standard, unused_name

EXTREMES = ("Max", "Min")
FIRST_WITH_WHOLE_EXTREMES = 12


def without_new_ops(graph: Graph, offline: Graph) -> None:
    """Writes the Max and Min that a lift added as Less and Where, in a graph of an opset before 12 (ONNX, Max-12).

    Args:
        offline: whose own ones have floats, as such an opset allows, and keep their names.
    """
    if graph.opset >= FIRST_WITH_WHOLE_EXTREMES:
        return
    taken, own = names_in(graph), {n.name for n in offline.nodes if n.op in EXTREMES}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op in EXTREMES and standard(node) and not is_copy(node, own):
            one, other = node.inputs
            less = Variable(unused_name(f"{node.outputs[0].name}/less", taken))
            nodes.append(Node("Less", less.name, {}, [one, other], [less]))
            chosen = [less, other, one] if node.op == "Max" else [less, one, other]
            nodes.append(Node("Where", node.name, {}, chosen, list(node.outputs)))
            node.inputs.clear()
            node.outputs.clear()
        else:
            nodes.append(node)
    graph.nodes = nodes


def is_copy(node: Node, own: set[str]) -> bool:
    """Whether a node is one of the model's, perhaps one of several copies of it."""
    return node.name in own or node.name.rpartition("/")[0] in own
