"""Finds which tensors depend on stream data, on static inputs, or only on time."""

from __future__ import annotations

from graphc.errors import RandomError
from graphc.ir.graph import RANDOM_OPS, Constant, Graph, Node, label, reads, subgraphs
from graphc.offline.reference import Offline
from graphc.spec.input_roles import StateRole, StaticRole, StreamRole
from graphc.stream.evaluation.time_only import values_read


def reachable(graph: Graph, offline: Offline) -> tuple[set[str], set[str]]:
    """The names of tensors that depend on stream data, and of those that depend only on static inputs or given states.

    Errors:
        RandomError: a node that does not depend on stream data draws random numbers.
    """
    roles = offline.roles
    data = {name for name, role in roles.items() if isinstance(role, StreamRole)}
    static = {name for name, role in roles.items() if isinstance(role, StaticRole | StateRole)}
    for node in graph.nodes:
        sources = {t.name for t in values_read(node)}
        outputs = {t.name for t in node.outputs if t.name}
        if sources & data:
            data |= outputs
        elif draws(node):
            raise RandomError(label(node))
        elif sources & static:
            static |= outputs
    return data, static


def draws(node: Node) -> bool:
    """Whether a node, or a node in one of its subgraphs, draws random numbers."""
    return node.op in RANDOM_OPS or any(draws(n) for inner in subgraphs(node) for n in inner.nodes)


def frontier(graph: Graph, data: set[str]) -> set[str]:
    """The names of the time-only tensors that are read to compute data tensors, or that are outputs of the graph."""
    made = {t.name for node in graph.nodes for t in node.outputs if t.name} | {t.name for t in graph.inputs}
    wanted = {t.name for t in graph.outputs if t.name not in data}
    for node in graph.nodes:
        if any(t.name in data for t in node.outputs):
            wanted |= {t.name for t in reads(node) if t.name not in data and not isinstance(t, Constant)}
    return wanted & made
