"""Compares the readings of several inputs: do they agree, and does the model run with them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import onnx

from graphc.discover.port_names import is_batch
from graphc.discover.reading import InputReading, Reading
from graphc.discover.time_axis import TimeAxis
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.spec.input_roles import Port
from graphc.spec.stream_schema import InputSpec
from graphc.system.deadline import TimeOverError, at_most
from graphc_runtime.errors import ModelError

RUNS = "the model runs at other lengths along it, but not along the axis that looked like time"
NO_KERNEL = "NOT_IMPLEMENTED"


def with_shared_dims(ports: Sequence[Port], axes: Mapping[str, TimeAxis]) -> dict[str, TimeAxis]:
    """Makes the time axis of one input the time axis of all inputs that share its dim.

    This applies to inputs with only one open axis (besides the batch), if several of them have the same name for it.
    """
    open_axes: dict[str, tuple[int, str]] = {}
    for port in ports:
        found = [(a, d) for a, d in enumerate(port.dims) if isinstance(d, str) and not is_batch(port.dims, a)]
        if len(found) == 1:
            open_axes[port.name] = found[0]
    shared = {d for _, d in open_axes.values() if sum(d == other for _, other in open_axes.values()) > 1}
    timed = {dim for name, (axis, dim) in open_axes.items() if axes[name].axis == axis}
    told = dict(axes)
    for name, (axis, dim) in open_axes.items():
        if dim in shared & timed and not (axes[name].axis == axis and axes[name].sure):
            others = tuple(c for c in axes[name].others if c.axis != axis)
            why = (f"its only open dim, '{dim}', is time in another input",)
            told[name] = TimeAxis(axis, why, True, others)
    return told


def with_conflicts(found: Mapping[str, InputReading]) -> dict[str, InputReading]:
    """Marks the reading of an input as a guess if another of its axes has a dim that is time in another input."""
    axes = {name: r.spec.axis for name, r in found.items() if r.spec.axis is not None and not r.as_told}
    times = {found[name].port.dims[axis]: name for name, axis in axes.items()}
    checked = dict(found)
    for name, axis in axes.items():
        dims = found[name].port.dims
        for other, dim in enumerate(dims):
            if isinstance(dim, str) and dim != dims[axis] and dim in times:
                checked[name] = replace(
                    found[name],
                    guess=True,
                    reasons=(*found[name].reasons[:1], f"but axis {other} is '{dim}', which is time in {times[dim]}"),
                    others=tuple(dict.fromkeys((f"axis: {other}", *found[name].others))),
                )
    return checked


def that_runs(
    source: onnx.ModelProto, reading: Reading, seconds: float, chunk: int | None = None
) -> tuple[Reading, Offline]:
    """The reading and its offline model. If the model does not run with guesses of fixed axes, open axes replace them.

    Args:
        seconds: the time limit for trying lengths.

    Errors:
        ModelError: the model runs neither with the guesses nor with open axes, or no length was found within the time
            limit; names the axes that were taken for time.
    """
    offline = offline_of(source, reading.stream_spec(chunk))
    if reading.pairs or reading.steps:
        return reading, offline
    try:
        with at_most(seconds):
            return first_that_runs(source, reading, offline, chunk)
    except TimeOverError:
        raise ModelError(
            f"no length at which the offline model runs was found within {seconds:.0f} s; {taken_for_time(reading)}",
            hint=another_axis(reading),
        ) from None


def first_that_runs(
    source: onnx.ModelProto, reading: Reading, offline: Offline, chunk: int | None
) -> tuple[Reading, Offline]:
    try:
        offline.some_lengths()
        return reading, offline
    except ModelError as err:
        refusal = err
    other = with_open_axes(reading)
    if other is not None:
        offline = offline_of(source, other.stream_spec(chunk))
        try:
            offline.some_lengths()
            return other, offline
        except ModelError:
            pass
    if NO_KERNEL in refusal.reason:
        raise ModelError(refusal.reason, hint="onnxruntime lacks this op for these types: export the model in float32")
    raise ModelError(f"{refusal.reason}; {taken_for_time(reading)}", hint=another_axis(reading))


def taken_for_time(reading: Reading) -> str:
    found = [(i.port.name, i.spec.axis, i.as_told) for i in reading.inputs if i.spec.axis is not None]
    told = ", ".join(f"{name}={axis}" for name, axis, as_told in found if as_told)
    guessed = ", ".join(f"{name}={axis}" for name, axis, as_told in found if not as_told)
    parts = (f"time was given as {told}" if told else "", f"time was taken to be on {guessed}" if guessed else "")
    return " and ".join(part for part in parts if part)


def another_axis(reading: Reading) -> str:
    """A hint to name the axis of inputs that were guessed, or to leave out axes that were given."""
    timed = [i for i in reading.inputs if i.spec.axis is not None]
    if guessed := [i.port.name for i in timed if not i.as_told]:
        return "name the axis that is time, as in " + " ".join(f"--input {name}=AXIS" for name in guessed)
    told = " ".join(f"--input {i.port.name}={i.spec.axis}" for i in timed)
    return f"another axis may be time: leave out {told}, and graphc looks for it"


def with_open_axes(reading: Reading) -> Reading | None:
    """The reading with each guess of a fixed axis changed to the first open axis. None if there is no such guess."""
    inputs = []
    for entry in reading.inputs:
        dims, axis = entry.port.dims, entry.spec.axis
        free = [a for a, d in enumerate(dims) if not isinstance(d, int)]
        if axis is None or not entry.guess or not isinstance(dims[axis], int) or not free:
            inputs.append(entry)
            continue
        others = tuple(dict.fromkeys((f"axis: {axis}", *(o for o in entry.others if o != f"axis: {free[0]}"))))
        inputs.append(replace(entry, spec=InputSpec(axis=free[0]), reasons=(RUNS,), others=others))
    changed = tuple(inputs) != reading.inputs
    return replace(reading, inputs=tuple(inputs)) if changed else None
