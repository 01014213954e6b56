"""Replaces Max and Min of integers, which old opsets do not have, by ops that these opsets have."""

from __future__ import annotations

from graphc.ir.graph import Graph, Node, Variable, names_in, standard, unused_name

EXTREMES = ("Max", "Min")
FIRST_WITH_WHOLE_EXTREMES = 12


def without_new_ops(graph: Graph, offline: Graph) -> None:
    """Replaces each Max and Min that the lift added by Less and Where, if the opset is before 12 (ONNX, Max-12).

    Args:
        offline: the offline graph. Its Max and Min nodes are recognised by name and stay, since their inputs are
            floats.
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
    """Whether a node is a Max or Min of the offline model (named in ``own``), or one of several copies of it."""
    return node.name in own or node.name.rpartition("/")[0] in own
