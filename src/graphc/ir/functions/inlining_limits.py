"""The size of a model after its local functions are inlined."""

from __future__ import annotations

from collections.abc import Iterable

import onnx

from graphc.ir.subgraphs import nodes_of
from graphc_runtime.errors import ModelError

MOST_NODES = 1_000_000
Key = tuple[str, str]


def check_functions(proto: onnx.ModelProto, where: str) -> None:
    """Refuses functions that call themselves, and nested functions that would make too many nodes.

    Errors:
        ModelError: names the function.
    """
    if not proto.functions:
        return
    bodies = {(f.domain, f.name): f for f in proto.functions}
    sizes: dict[Key, int] = {}
    for key in called_first(bodies, where):
        sizes[key] = size(bodies[key].node, sizes)
        if sizes[key] > MOST_NODES:
            raise ModelError(
                f"its local function '{'::'.join(key)}' inlines to {sizes[key]} nodes, more than {MOST_NODES}",
                where=where,
                hint="export the model without nested functions",
            )
    whole = size(proto.graph.node, sizes)
    if whole > MOST_NODES:
        raise ModelError(f"with its local functions inlined it has {whole} nodes, more than {MOST_NODES}", where=where)


def called_first(bodies: dict[Key, onnx.FunctionProto], where: str) -> list[Key]:
    """The functions in an order in which each comes after those that it calls.

    Errors:
        ModelError: some functions call each other in a cycle.
    """
    calls = {
        key: {k for n in nodes_of(body.node) if (k := (n.domain, n.op_type)) in bodies} for key, body in bodies.items()
    }
    order: list[Key] = []
    while len(order) < len(bodies):
        ready = [key for key, called in calls.items() if key not in order and called <= set(order)]
        if not ready:
            ring = ", ".join(sorted("::".join(k) for k in set(calls) - set(order)))
            raise ModelError(f"its local functions call themselves: {ring}", where=where)
        order += ready
    return order


def size(nodes: Iterable[onnx.NodeProto], sizes: dict[Key, int]) -> int:
    return sum(sizes.get((n.domain, n.op_type), 1) for n in nodes_of(nodes))
