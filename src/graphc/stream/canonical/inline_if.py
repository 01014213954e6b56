"""Puts the branch that a resolved ``If`` takes in the place of the node."""

from __future__ import annotations

from graphc.ir.graph import Graph, Node, names_in, place_of


def inline_branch(graph: Graph, node: Node, taken: bool) -> None:
    """Replaces ``node`` by its then or else branch; inner names that are taken outside get a number."""
    branch = node.attrs["then_branch" if taken else "else_branch"]
    outer = names_in(graph)
    local = {t.name: t for n in branch.nodes for t in n.outputs if t.name}
    for name, tensor in local.items():
        tensor.name = f"{node.outputs[0].name}/{name}"
        while tensor.name in outer:
            tensor.name += "_"
    for inner in branch.nodes:
        inner.name = f"{node.name}/{inner.name}" if inner.name else ""
    results = list(node.outputs)
    position = place_of(graph, node)
    node.inputs.clear()
    node.outputs.clear()
    new_nodes = list(branch.nodes)
    for result, value in zip(results, branch.outputs, strict=True):
        new_nodes.append(Node("Identity", f"{result.name}/taken", inputs=[value], outputs=[result]))
    graph.nodes[position : position + 1] = new_nodes
