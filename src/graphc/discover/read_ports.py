"""Finds the roles of a model's ports: states first, then counts and settings, then streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

import onnx

from graphc.discover.agreement import with_conflicts, with_shared_dims
from graphc.discover.carried_states import carried_states
from graphc.discover.port_names import LENGTHS, RATES, SETTINGS, SOUNDS, STATES, is_batch, says
from graphc.discover.reading import TOLD, USUAL_CHUNK, InputReading, Progress, Reading, Told
from graphc.discover.state_pairs import StatePair, state_pairs
from graphc.discover.time_axis import BY_CUSTOM, Candidate, TimeAxis, Watching
from graphc.discover.trial_run import USUAL_RATE, TrialRun, dim_key, trial_run
from graphc.errors import SpecError
from graphc.offline.prepare import fix_sizes
from graphc.spec.input_roles import INTEGERS, Port, check_ports, graph_ports
from graphc.spec.nearest import nearest
from graphc.spec.stream_schema import InputSpec
from graphc_runtime.errors import ModelError

WATCHED_S = 15.0
SHORTEST_CALL = 8
ONE_FRAME = "the model's states are its ports, and it has an axis of size 1"


def read_ports(
    model: onnx.ModelProto,
    told: Told | None = None,
    seconds: float = WATCHED_S,
    progress: Progress = lambda what: None,
) -> Reading:
    """Finds the roles of a model's ports.

    Args:
        seconds: the time limit for observing the model. After that, roles are decided from what is known.
        progress: is called with each step.

    Errors:
        SpecError: a given name is not in the model, or no input can be a stream.
        ModelError: onnxruntime does not accept the model, or a port is no tensor of numbers.
    """
    told = told or Told()
    check_ports(model)
    check_told(told, *graph_ports(model))
    model = with_told_sizes(model, told)
    inputs, outputs = graph_ports(model)
    progress("looking for sizes at which it runs")
    try:
        trial: TrialRun | None = trial_run(model)
        no_trial = None
    except ModelError as err:
        trial, no_trial = None, err.reason
    free = [p for p in inputs if p.name not in told.inputs]
    pairs = [StatePair(s.input, s.output, (TOLD,), True) for s in told.states]
    if not told.states:
        shapes = shapes_of(trial) if trial is not None else {}
        pairs = state_pairs(model, [p for p in free if may_be_state(p, trial)], outputs, shapes, len(inputs))
    paired = {p.input for p in pairs}
    progress("watching what it does along its axes")
    left = [p for p in inputs if p.name not in paired]
    found = read_inputs(left, told, Watching(trial, seconds), stateful=bool(pairs))
    reading = Reading(tuple(found), tuple(pairs), None, told.chunk, None, told.window, trial, no_trial)
    if not any(i.is_stream for i in found):
        shapes_told = ", ".join(f"{p.name}{list(p.dims)}" for p in inputs)
        raise SpecError(
            f"no input looks like a stream: {shapes_told}", hint="name the axis that is time, as in --input features=1"
        )
    return with_chunk(with_carried(reading, told), told)


def check_told(told: Told, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
    taken, given = [p.name for p in inputs], [p.name for p in outputs]
    for name in (*told.inputs, *told.sizes, *(s.input for s in told.states)):
        if name not in taken:
            raise SpecError(f"the model has no input '{name}'", hint=nearest(name, taken))
    for state in told.states:
        if state.output not in given:
            raise SpecError(f"the model has no output '{state.output}'", hint=nearest(state.output, given))
    for port in inputs:
        axis = told.inputs[port.name].axis if port.name in told.inputs else None
        if axis is not None and not -len(port.dims) <= axis < len(port.dims):
            raise SpecError(f"'{port.name}' has {len(port.dims)} axes", hint=f"axis {axis} is none of them")


def with_told_sizes(model: onnx.ModelProto, told: Told) -> onnx.ModelProto:
    """The model with the given sizes in place of open ones."""
    names = [name for name in (*told.inputs, *told.sizes) if told.sized(name).sizes]
    if not names:
        return model
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    for name in names:
        fix_sizes(sized, name, told.sized(name), None)
    return sized


def shapes_of(trial: TrialRun) -> dict[str, tuple[int, ...]]:
    return {**trial.shapes, **{p.name: trial.shape(p) for p in trial.ports}}


def may_be_state(port: Port, trial: TrialRun | None) -> bool:
    """Whether an input may hold a state. Counts, rates, settings and table indices do not."""
    if port.elem_type in INTEGERS:
        return says(port.name, STATES) and len(port.dims) > 0 and not (trial is not None and port.name in trial.limits)
    return bool(port.dims)


def read_inputs(ports: Sequence[Port], told: Told, watching: Watching, stateful: bool) -> list[InputReading]:
    """The roles of the inputs that are not states: the given ones, then counts and settings, then streams."""
    trial = watching.trial
    given = [p for p in ports if p.name in told.inputs]
    plain = {p.name: plain_input(p, trial) for p in ports if p.name not in told.inputs}
    rest = [p for p in ports if p.name in plain and plain[p.name] is None]
    seen = watching.axes_of([*(p for p in given if told.inputs[p.name].axis is not None), *rest])
    found = {p.name: told_input(p, told.inputs[p.name], seen.get(p.name)) for p in given}
    found |= {name: reading for name, reading in plain.items() if reading is not None}
    axes = with_shared_dims(rest, {p.name: seen[p.name] for p in rest})
    if stateful:
        axes = {p.name: of_a_call(axes[p.name], p) for p in rest}
    timed = [name for name, time in axes.items() if time.axis is not None]
    timed += [name for name, reading in found.items() if reading.spec.axis is not None]
    for port in rest:
        found[port.name] = with_sizes(timed_input(port, axes[port.name], bool(timed), stateful), trial)
    found = {name: with_these(reading, told.sized(name).sizes) for name, reading in found.items()}
    found = with_conflicts(found)
    first = next((n for n in (p.name for p in ports) if n in found and found[n].is_stream), None)
    streams = sum(reading.is_stream for reading in found.values())
    return with_rates([of_stream(found[p.name], first, streams) for p in ports], trial)


def told_input(port: Port, spec: InputSpec, seen: TimeAxis | None) -> InputReading:
    """An input as the user describes it, with a note if the analysis disagrees."""
    reasons = [TOLD]
    if seen is not None and seen.sure and spec.axis is not None and seen.axis not in (None, spec.axis % len(port.dims)):
        reasons.append(f"but axis {seen.axis} looks like time: {seen.reasons[0]}")
    return InputReading(port, spec, tuple(reasons))


def plain_input(port: Port, trial: TrialRun | None) -> InputReading | None:
    """The reading of a sample rate, a count of frames or a static value, if name and shape show it; else None."""
    if says(port.name, RATES) and len(port.dims) <= 1:
        rate = float(USUAL_RATE)
        return InputReading(
            port,
            InputSpec(static=True, range=(rate, rate)),
            (f"its name is that of a sample rate; {USUAL_RATE} is usual",),
            True,
        )
    if port.elem_type in INTEGERS and len(port.dims) <= 1 and not (trial is not None and port.name in trial.limits):
        if says(port.name, LENGTHS):
            return InputReading(port, InputSpec(counts=""), ("an integer, named like a length",))
        return InputReading(
            port, InputSpec(static=True), ("an integer; nothing says that it counts frames",), True, ("counts: …",)
        )
    if not port.dims:
        return InputReading(port, InputSpec(static=True), ("one number",))
    if says(port.name, STATES) and not says(port.name, LENGTHS | SOUNDS) and all(isinstance(d, int) for d in port.dims):
        return InputReading(
            port, InputSpec(static=True), ("named like a state, but no output gives its next value",), True
        )
    return None


def of_a_call(time: TimeAxis, port: Port) -> TimeAxis:
    """The time axis of an input of a model with states. Calls are short, so a small fixed size is not a time axis."""
    size = port.dims[time.axis] if time.axis is not None else None
    if isinstance(size, int) and len(port.dims) > 2 and 1 in port.dims[1:]:
        return TimeAxis(None, (), False, (*time.others, Candidate(time.axis or 0, 0.0, time.reasons)))
    if isinstance(size, int) and (size < SHORTEST_CALL or time.reasons == (BY_CUSTOM,)):
        return TimeAxis(None, (), False, time.others)
    return time


def timed_input(port: Port, time: TimeAxis, others_have_time: bool, stateful: bool) -> InputReading:
    """The reading of an input: with a time axis or, without one, with one frame per call or one static value."""
    others = tuple(f"axis: {c.axis}" for c in time.others)
    if time.axis is not None and not (says(port.name, SETTINGS) and others_have_time and not time.sure):
        return InputReading(port, InputSpec(axis=time.axis), time.reasons, not time.sure, (*others, "static: true"))
    if others_have_time:
        named = says(port.name, SETTINGS)
        reasons = (
            ("named like a setting",) if named else ("none of its axes looks like time, and one of another input does",)
        )
        return InputReading(port, InputSpec(static=True), reasons, not named, others)
    reasons = (
        (ONE_FRAME if 1 in port.dims[1:] else "none of its axes looks like time, and the model's states are its ports",)
        if stateful
        else ("none of its axes looks like time, so each call takes one frame",)
    )
    return InputReading(port, InputSpec(step=True), reasons, not stateful, others)


def with_sizes(reading: InputReading, trial: TrialRun | None) -> InputReading:
    """The reading with the sizes of open axes, if the model does not run when they are 1."""
    if trial is None or reading.spec.static:
        return reading
    port, sizes = reading.port, {}
    for axis, dim in enumerate(port.dims):
        if isinstance(dim, int) or axis == reading.spec.axis or is_batch(port.dims, axis):
            continue
        size = trial.sizes.dims[dim_key(port, axis)]
        smaller = replace(trial.sizes, dims={**trial.sizes.dims, dim_key(port, axis): 1})
        if size > 1 and trial.runs_at(smaller) is None:
            sizes[axis] = size
    if not sizes:
        return reading
    told = ", ".join(f"the model runs with {s} on axis {a}" for a, s in sizes.items())
    return replace(
        reading, spec=reading.spec.model_copy(update={"sizes": sizes}), reasons=(*reading.reasons, told), guess=True
    )


def with_rates(readings: list[InputReading], trial: TrialRun | None) -> list[InputReading]:
    """The readings, with rates for the streams whose lengths differ from that of the first stream."""
    timed = [r for r in readings if r.spec.axis is not None]
    if trial is None or len(timed) < 2:
        return readings
    keys = {r.port.name: dim_key(r.port, r.spec.axis or 0) for r in timed}
    first, *others = timed
    rates = {r.port.name: trial.rate_between(keys[first.port.name], keys[r.port.name]) for r in others}
    return [with_rate(r, rates.get(r.port.name), first.port.name) for r in readings]


def with_rate(reading: InputReading, rate: Fraction | None, first: str) -> InputReading:
    if rate is None:
        return reading
    told = f"{rate} frames for each frame of '{first}', the only ratio tried at which the model runs"
    return replace(
        reading, spec=reading.spec.model_copy(update={"rate": rate}), reasons=(told, *reading.reasons), guess=True
    )


def with_these(reading: InputReading, sizes: Mapping[int, int]) -> InputReading:
    if not sizes:
        return reading
    return replace(reading, spec=reading.spec.model_copy(update={"sizes": {**reading.spec.sizes, **sizes}}))


def of_stream(reading: InputReading, first: str | None, streams: int) -> InputReading:
    """Completes the reading of a count with the stream that is counted. Without a stream, the input becomes static."""
    if reading.spec.counts != "":
        return reading
    if first is None:
        return replace(reading, spec=InputSpec(static=True))
    return replace(reading, spec=InputSpec(counts=first), guess=reading.guess or streams > 1)


def with_carried(reading: Reading, told: Told) -> Reading:
    """The reading with the results of feeding states back. Pairs that do not continue a stream become static inputs."""
    if not reading.pairs or reading.trial is None:
        return reading
    axes = {i.port.name: i.spec.axis for i in reading.inputs if i.spec.axis is not None}
    carried = carried_states(reading.trial, reading.pairs, axes)
    if carried.agrees is not False or told.states:
        return replace(reading, carried=carried)
    why = "looks like a state, but two calls that carry it do not equal one call of twice the frames"
    by_name = {p.name: p for p in reading.trial.ports}
    static = tuple(
        InputReading(by_name[p.input], InputSpec(static=True, range=(0.0, 0.0)), (why,), True) for p in reading.pairs
    )
    return replace(reading, pairs=(), carried=carried, inputs=(*reading.inputs, *static))


def with_chunk(reading: Reading, told: Told) -> Reading:
    """The reading with the frames of a call, for a model with states: the declared number, or one that runs."""
    if reading.steps:
        if told.window is not None or told.chunk not in (None, 1):
            name = next(i.port.name for i in reading.inputs if i.spec.step)
            raise SpecError(
                f"'{name}' takes one frame a call, so neither a window nor another chunk fits",
                hint=f"name its time axis, as in --input {name}=1, or leave out --window and --chunk",
            )
        return replace(reading, chunk=1)
    if told.chunk is not None or not reading.pairs:
        return reading
    first = next(i for i in reading.inputs if i.is_stream)
    assert first.spec.axis is not None
    declared = first.port.dims[first.spec.axis]
    if isinstance(declared, int):
        return replace(reading, chunk=declared)
    if reading.carried is not None and reading.carried.agrees:
        return replace(reading, chunk=min(USUAL_CHUNK, reading.carried.frames))
    size = reading.carried.frames if reading.carried is not None else USUAL_CHUNK
    return replace(
        reading, chunk=size, chunk_guess="it runs; which number the model was trained with is not in the file"
    )
