"""Puts the branch that a resolved ``If`` takes in the place of the node."""

from __future__ import annotations

from graphc.graph import Constant, Graph, Node, Tensor, Variable, names_in, subgraphs


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
    position = graph.nodes.index(node)
    node.inputs.clear()
    node.outputs.clear()
    new_nodes = list(branch.nodes)
    for result, value in zip(results, branch.outputs, strict=True):
        new_nodes.append(Node("Identity", f"{result.name}/taken", inputs=[value], outputs=[result]))
    graph.nodes[position : position + 1] = new_nodes


def rename_captures(node: Node, renamed: dict[str, Tensor]) -> None:
    """Makes the subgraphs of a node read other outer tensors, by name."""
    for inner_graph in subgraphs(node):
        local = {t.name for t in inner_graph.inputs} | {t.name for n in inner_graph.nodes for t in n.outputs}
        for inner in inner_graph.nodes:
            inner.inputs = [
                renamed[t.name] if is_captured(t, local) and t.name in renamed else t for t in inner.inputs
            ]
            rename_captures(inner, {k: v for k, v in renamed.items() if k not in local})
        inner_graph.outputs = [
            renamed[t.name] if is_captured(t, local) and t.name in renamed else t for t in inner_graph.outputs
        ]


def is_captured(tensor: Tensor, local: set[str]) -> bool:
    return bool(tensor.name) and tensor.name not in local and not isinstance(tensor, Constant)


def fresh(name: str, taken: set[str]) -> str:
    """The name, or the name with the smallest number that makes it new; taken from then on."""
    candidate, number = name, 1
    while candidate in taken:
        candidate, number = f"{name}_{number}", number + 1
    taken.add(candidate)
    return candidate


def variable(name: str) -> Variable:
    return Variable(name)
