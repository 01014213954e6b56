"""A model whose states are already ports: its stream signature, read from one call."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from graphc.contract.length import Length
from graphc.contract.signature import Signature, StatePort, StreamInput, StreamOutput
from graphc.ir.model import Model
from graphc.ir.ort_session import Session
from graphc.offline.feeds import Feeds
from graphc.offline.reference import Offline
from graphc.spec.input_roles import TIME_ONLY, Role, StateRole, StepRole, StreamRole
from graphc.stream.changed_ports import dropped_inputs
from graphc_runtime.errors import ModelError, RunError, StreamError


def given_stream(offline: Offline, chunk: int, frame_ms: float | None = None) -> Model:
    """The model as one call of a stream, with its ports bound to the chunk.

    If the model also takes twice the chunk, the one axis of an output that doubles is time. If no axis doubles, or if
    the model takes only one size, each call gives one value of the output.

    Errors:
        ModelError: the model does not run on the chunk.
        StreamError: the output of a state has another shape than its input.
    """
    rng = np.random.default_rng(0)
    try:
        run = offline.run(offline.draw(chunk, rng))
    except (RunError, ValueError) as err:
        raise ModelError(f"the model does not run on a chunk of {chunk} frames: {err}") from err
    feeds = offline.draw(chunk, rng)
    check_states(offline, feeds, run)
    longer = {}
    steps = any(isinstance(role, StepRole) for role in offline.roles.values())
    if not steps and offline.accepts(2 * chunk):
        longer = offline.run(offline.draw(2 * chunk, rng))
    model = Model.of(offline.model)
    hold_counts(model, offline, feeds)
    types = Session(offline.model, optimize=False).output_types()
    shapes = {name: tuple(value.shape) for name, value in feeds.items()}
    outputs: list[StreamOutput] = []
    state_outputs = {role.output for role in offline.roles.values() if isinstance(role, StateRole)}
    for port in model.graph.outputs:
        shape = np.shape(run[port.name])
        port.dtype, port.shape, shapes[port.name] = types[port.name][0], [None] * len(shape), shape
        if port.name in state_outputs:
            continue
        grown = [
            a
            for a, (one, two) in enumerate(zip(shape, np.shape(longer.get(port.name, ())), strict=False))
            if two == 2 * one
        ]
        if len(grown) == 1:
            rate = Fraction(shape[grown[0]], chunk)
            outputs.append(
                StreamOutput(port.name, grown[0], rate, 0, Length().then(rate.numerator, 0, rate.denominator))
            )
        else:
            outputs.append(StreamOutput(port.name, step=steps))
    roles = offline.roles
    model.signature = Signature(
        chunk=chunk,
        chunk_multiple=1 if longer else chunk,
        frame_ms=frame_ms,
        outputs=tuple(outputs),
        shapes=shapes,
        inputs=tuple(
            given_input(name, role) for name, role in roles.items() if not isinstance(role, (StateRole, *TIME_ONLY))
        ),
        dropped=dropped_inputs(offline),
        states=tuple(
            StatePort(name, role.output, np.full(feeds[name].shape, role.init, feeds[name].dtype), "given", name)
            for name, role in roles.items()
            if isinstance(role, StateRole)
        ),
    )
    return model


def hold_counts(model: Model, offline: Offline, feeds: Feeds) -> None:
    """Turns inputs that count or mask the frames of a call into constants: all calls have the same number of frames."""
    for port in list(model.graph.inputs):
        if isinstance(offline.roles.get(port.name), TIME_ONLY):
            port.to_constant(feeds[port.name])
            model.graph.inputs.remove(port)


def given_input(name: str, role: Role) -> StreamInput:
    if isinstance(role, StreamRole):
        return StreamInput(name, role.axis, role.rate)
    return StreamInput(name, step=isinstance(role, StepRole))


def check_states(offline: Offline, feeds: Feeds, run: Mapping[str, Any]) -> None:
    """Refuses a state whose output shape differs from its input shape."""
    for name, role in offline.roles.items():
        if not isinstance(role, StateRole):
            continue
        before, after = np.shape(feeds[name]), np.shape(run[role.output])
        if len(before) != len(after):
            alike = [name for name, value in run.items() if np.shape(value) == before]
            raise StreamError(
                f"the state '{name}' has the shape {list(before)}, but its next value, the output '{role.output}', has "
                f"{list(after)}",
                hint=f"pair it in stream.states with an output of its shape: {', '.join(alike)}"
                if alike
                else "no output has the shape of this state; check stream.states",
            )
        if before != after:
            raise StreamError(
                f"the state '{name}' goes in as {list(before)} and comes out as {list(after)} ('{role.output}'), "
                "but a state must keep its shape from call to call",
                hint="keep a fixed number of frames in the model, or export it without states and use lift_state",
            )
