"""The ports of the offline model that the streaming model renames or drops, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from graphc.contract.signature import StatePort
from graphc.ir.graph import Graph, Node, Tensor
from graphc.offline.reference import Offline
from graphc.spec.input_roles import CountsRole, MaskRole, StateRole
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Untimed, UntimedOrigin
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.index_maps.data_movement import PLAIN_MOVERS

COUNTS = "counts frames"
MASKS = "a mask over frames, which the streaming model computes itself"
FOLLOWS = "changes with the length of the whole stream"
AN_INPUT = "an input, returned unchanged"
LAST_STATE = "the state after the last frame, which no output needs"


def dropped_inputs(offline: Offline) -> dict[str, str]:
    """The inputs that a streaming model does not have."""
    why = {CountsRole: COUNTS, MaskRole: MASKS}
    return {name: why[type(role)] for name, role in offline.roles.items() if type(role) in why}


def changed_outputs(
    offline: Offline,
    facts: Mapping[str, Fact],
    known: Mapping[str, TimeConstant],
    tensors: Mapping[str, Tensor],
    graph: Graph,
    states: Sequence[StatePort],
    kept: Sequence[str],
) -> tuple[dict[str, str], dict[str, str]]:
    """The outputs that became states, each with the name of its state port, and the dropped outputs, with the reason.

    Args:
        known: the time-only tensors.
        tensors: for each offline tensor, by name, the tensor that replaces it in one call.
        kept: names of the outputs that the streaming model keeps as outputs.
    """
    given = {role.output for role in offline.roles.values() if isinstance(role, StateRole)}
    sources = state_sources(graph, states)
    made_by = {t.name: n for n in graph.nodes for t in n.outputs}
    renamed: dict[str, str] = {}
    dropped: dict[str, str] = {}
    for port in offline.model.graph.output:
        if port.name in kept or port.name in given:
            continue
        fact = facts.get(port.name)
        if port.name in offline.roles:
            dropped[port.name] = AN_INPUT
        elif isinstance(fact, Untimed) and fact.origin is UntimedOrigin.FINAL:
            tensor = tensors.get(port.name)
            state = sources.get(source_of(tensor, made_by).name) if tensor is not None else None
            if state is None:
                dropped[port.name] = LAST_STATE
            else:
                renamed[port.name] = state
        else:
            value = known.get(port.name)
            dropped[port.name] = FOLLOWS if value is not None and value.values[0].ndim > 1 else COUNTS
    return renamed, dropped


def state_sources(graph: Graph, states: Sequence[StatePort]) -> dict[str, str]:
    """The output port of each state, keyed by the name of the tensor (``source_of``) that the next value comes from."""
    made_by = {t.name: n for n in graph.nodes for t in n.outputs}
    ports = {t.name: t for t in graph.outputs}
    return {source_of(ports[s.output], made_by).name: s.output for s in states if s.output in ports}


def source_of(tensor: Tensor, made_by: Mapping[str, Node]) -> Tensor:
    """The tensor that ``tensor`` was made from: goes back through Cast, Where and ops that only move values."""
    while (node := made_by.get(tensor.name)) is not None and node.op in (*PLAIN_MOVERS, "Cast", "Where"):
        tensor = node.inputs[2] if node.op == "Where" else node.inputs[0]
    return tensor
