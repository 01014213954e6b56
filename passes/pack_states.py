"""Packs states into fewer ports, so that the client carries fewer arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from graphc.api import (
    Model,
    Node,
    Pass,
    PassConfig,
    PassContext,
    PassResult,
    Signature,
    StatePack,
    StatePart,
    StatePort,
    Tensor,
    Variable,
    names_in,
    register_pass,
    sorted_nodes,
    unused_name,
)

FIRST_NUM_OUTPUTS = 18
UNPACKED = ("given", "clock")


@register_pass
class PackStates(Pass[PassConfig]):
    """Packs states of one kind, shape and dtype into one port.

    What it does:
        Concatenates the states of one kind, shape and dtype along an axis, into one port. A Split after the input port
        and a Concat before the output port convert between this port and the states. The manifest lists the name, node
        and size of each part.

    Why:
        A client carries a few arrays instead of a hundred.

    Example:
        passes:
          - lift_state: {pack: true}

    Limits:
        The Split and the Concat copy every state. In onnxruntime, if there are many ports, packing saves more time than
        these copies take (docs/performance.md). ``lift_state: {pack: true}`` runs the pass last, because passes after
        it no longer find the cache ports. These are not packed: ports that the spec names as states, the clock, and
        ports whose only axis is the batch.
    """

    name = "pack_states"
    requires = "streaming"

    def run(self, model: Model, config: PassConfig, context: PassContext) -> PassResult:
        signature = model.signature
        assert signature is not None
        groups: dict[tuple[object, ...], list[StatePort]] = {}
        for state in signature.states:
            if pack_axis(state, signature) is not None:
                alike = (state.kind, state.init.shape, str(state.init.dtype), signature.batch_axes.get(state.input))
                groups.setdefault(alike, []).append(state)
        notes: list[str] = []
        for group in groups.values():
            if len(group) > 1:
                axis = pack_axis(group[0], signature)
                assert axis is not None
                packed = pack(model, group, axis)
                notes.append(f"{packed.input} holds {len(group)} states of {list(group[0].init.shape)} on axis {axis}")
        model.graph.nodes = sorted_nodes(model.graph)
        assert model.signature is not None
        left = len(model.signature.states)
        return PassResult(model, [f"{left} state ports, {len(signature.states)} before", *notes])


def pack_axis(state: StatePort, signature: Signature) -> int | None:
    """The first axis along which a state can be packed with others; None if the state cannot be packed."""
    if state.kind in UNPACKED or state.pack is not None:
        return None
    batch = signature.batch_axes.get(state.input)
    return next((a for a in range(state.init.ndim) if a != batch), None)


def pack(model: Model, group: Sequence[StatePort], axis: int) -> StatePort:
    """Replaces the states of a group by one, concatenated along ``axis``. Changes the model, returns the new state."""
    graph, signature = model.graph, model.signature
    assert signature is not None
    taken = names_in(graph)
    base = f"packed_{group[0].kind}"
    inputs, outputs = ({t.name: t for t in ports} for ports in (graph.inputs, graph.outputs))
    heard: list[Tensor] = [inputs[s.input] for s in group]
    given: list[Tensor] = [outputs[s.output] for s in group]
    init = np.concatenate([s.init for s in group], axis=axis)
    source, result = (
        Variable(unused_name(f"{base}{end}", taken), heard[0].dtype, list(init.shape)) for end in ("_in", "_out")
    )
    attrs = {"axis": axis} if graph.opset < FIRST_NUM_OUTPUTS else {"axis": axis, "num_outputs": len(group)}
    graph.nodes += [
        Node("Split", f"{source.name}/split", attrs, [source], heard),
        Node("Concat", f"{result.name}/concat", {"axis": axis}, given, [result]),
    ]
    graph.inputs = with_one(graph.inputs, heard, source)
    graph.outputs = with_one(graph.outputs, given, result)
    parts = tuple(StatePart(s.input, s.output, s.node, s.init.shape[axis], s.scale) for s in group)
    port = StatePort(source.name, result.name, init, group[0].kind, group[0].node, StatePack(axis, parts))
    states: list[StatePort] = []
    for state in signature.states:
        if state is group[0]:
            states.append(port)
        elif not any(state is s for s in group):
            states.append(state)
    batch = signature.batch_axes.get(group[0].input)
    axes = {n: a for n, a in signature.batch_axes.items() if n not in inputs or inputs[n] not in heard}
    model.signature = replace(
        signature, states=tuple(states), batch_axes=axes if batch is None else {**axes, port.input: batch}
    )
    return port


def with_one(ports: Sequence[Tensor], several: Sequence[Tensor], one: Tensor) -> list[Tensor]:
    """The ports without ``several``, and with ``one`` at the position of the first of them."""
    kept = [one if p is several[0] else p for p in ports]
    return [p for p in kept if not any(p is s for s in several)]
