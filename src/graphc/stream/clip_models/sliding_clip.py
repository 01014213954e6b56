"""A clip model over the last N frames: the input window is a state, and every call runs the model on that window."""

from __future__ import annotations

import numpy as np

from graphc.contract.length import Length
from graphc.contract.signature import Signature, StatePort, StreamInput, StreamOutput
from graphc.errors import RandomError
from graphc.ir.graph import Constant, Variable, drop_dead, label, names_in, replace_tensor, sorted_nodes
from graphc.ir.model import Model
from graphc.ir.ort_session import Session
from graphc.offline.reference import Offline
from graphc.spec.input_roles import TIME_ONLY, StateRole, StreamRole
from graphc.stream.changed_ports import dropped_inputs
from graphc.stream.evaluation.dependence import draws
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.builder import Builder, finished
from graphc_runtime.errors import RunError, StreamError


def slide(offline: Offline, window: int, chunk: int, frame_ms: float | None = None) -> Model:
    """The model with its input window as a state; each call gives the outputs for the last ``window`` frames.

    Errors:
        StreamError: the offline model does not run on ``window`` frames.
        RandomError: the model draws random numbers.
    """
    try:
        run = offline.run(offline.draw(window, np.random.default_rng(0)))
    except (RunError, ValueError) as err:
        declared = f"set stream.window to {offline.declared}" if offline.declared else "try another stream.window"
        raise StreamError(
            f"the offline model does not run on a window of {window} frames: {err}", hint=declared
        ) from err
    model = Model.of(offline.model)
    graph = model.graph
    for node in graph.nodes:
        if draws(node):
            raise RandomError(label(node))
    builder = Builder(chunk, names_in(graph))
    types = Session(offline.model, optimize=False).output_types()
    inputs = []
    shapes: dict[str, tuple[int, ...]] = {}
    for old in list(graph.inputs):
        role = offline.roles.get(old.name)
        if role is None:
            continue
        if isinstance(role, TIME_ONLY):
            old.to_constant(offline.draw_input(old.name, window, np.random.default_rng(0), 1.0))
            continue
        inputs.append(old)
        if isinstance(role, StreamRole):
            kept, taken = offline.frames_of(old.name, window), offline.frames_of(old.name, chunk)
            shape = [
                -1 if a == role.axis else d if isinstance(d, int) else offline.batch
                for a, d in enumerate(offline.ports[old.name].dims)
            ]
            stream = Stream(role.axis, role.rate, 0, Length(), tuple(shape), np.dtype(old.dtype))
            shapes[old.name] = tuple(taken if s < 0 else s for s in shape)
            port = Variable(old.name, old.dtype, [None if s < 0 else s for s in shape])
            inputs[-1] = port
            builder.node = old.name
            whole = builder.cached(port, stream, kept - taken, 0.0, "window")
            if kept < taken:
                whole = builder.slice(port, role.axis, taken - kept, taken, hint="last")
            old.name = builder.name(f"{old.name}/window")
            replace_tensor(graph, old, whole)
    nodes = list(graph.nodes)
    graph.inputs = inputs
    finished(builder, graph)
    for state in builder.states:
        axis = roles_axis(offline, state)
        for port in builder.ports[state.input]:
            port.shape = [None if a == axis else size for a, size in enumerate(state.init.shape)]
    graph.nodes = [*graph.nodes, *nodes]
    graph.nodes = sorted_nodes(graph)
    outputs = []
    given = {role.output: name for name, role in offline.roles.items() if isinstance(role, StateRole)}
    drawn = offline.draw(window, np.random.default_rng(0))
    for tensor in graph.outputs[: len(graph.outputs) - len(builder.states)]:
        if isinstance(tensor, Constant):
            raise StreamError(f"the output '{tensor.name}' is a constant", hint="remove it from the model")
        shapes[tensor.name] = np.shape(run[tensor.name])
        tensor.dtype, tensor.shape = types[tensor.name][0], [None] * len(shapes[tensor.name])
        if tensor.name not in given:
            outputs.append(StreamOutput(tensor.name))
    for tensor in inputs:
        if isinstance(offline.roles[tensor.name], StateRole):
            shapes[tensor.name] = tuple(drawn[tensor.name].shape)
    carried = [StatePort(name, output, drawn[name], "given", name) for output, name in given.items()]
    drop_dead(graph)
    model.signature = Signature(
        chunk=chunk,
        chunk_multiple=1,
        outputs=tuple(outputs),
        states=(*carried, *builder.states),
        window=window,
        shapes=shapes,
        frame_ms=frame_ms,
        dropped=dropped_inputs(offline),
        inputs=tuple(
            StreamInput(t.name, role.axis, role.rate) if isinstance(role, StreamRole) else StreamInput(t.name)
            for t in inputs
            for role in [offline.roles[t.name]]
            if not isinstance(role, StateRole)
        ),
    )
    return model


def roles_axis(offline: Offline, state: StatePort) -> int | None:
    """The stream axis of the input that a window state caches; None for any other state."""
    role = offline.roles.get(state.node)
    return role.axis if isinstance(role, StreamRole) else None
