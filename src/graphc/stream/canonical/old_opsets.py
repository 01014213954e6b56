"""Replaces ops that old opsets do not have for integers by ops that they have."""

from __future__ import annotations

from graphc.ir.graph import Graph, Node, Variable, names_in, standard, unused_name

EXTREMES = ("Max", "Min")
FIRST_WITH_WHOLE_EXTREMES = 12


def without_new_ops(graph: Graph, offline: Graph) -> None:
    """Replaces the Max and Min that a lift added by Less and Where, if the opset is before 12 (ONNX, Max-12).

    Args:
        offline: the offline graph. Its own Max and Min stay, since they take floats; they are known by their names.
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
    """Whether a node is one of the offline model's own, or one of several copies of it."""
    return node.name in own or node.name.rpartition("/")[0] in own
