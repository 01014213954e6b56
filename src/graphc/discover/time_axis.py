"""Finds which axis of an input is time, by its name and by what the model does along it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphc.discover.axis_response import Response, watch
from graphc.discover.port_names import FEATURES, TIMES, dim_says, is_batch
from graphc.discover.trial_run import TrialRun
from graphc.spec.input_roles import Port
from graphc.system.deadline import TimeOverError, at_most

SURE_LEAD = 3.0
SURE_SCORE = 4.0
LONG = 4096
FEW = 64
BY_CUSTOM = "three axes are usually batch, time and features"


@dataclass(frozen=True)
class Candidate:
    """An axis that may be time. The score sums the evidence for it (positive) and against it."""

    axis: int
    score: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class TimeAxis:
    """The likeliest time axis (None if there is no evidence for any), and the other candidates in order.

    Args:
        sure: whether names or the graph rule out every other axis.
    """

    axis: int | None
    reasons: tuple[str, ...]
    sure: bool
    others: tuple[Candidate, ...]


def time_axis(port: Port, shape: Sequence[int], responses: Mapping[int, Response]) -> TimeAxis:
    """Finds the likeliest time axis of an input. Without evidence, three axes are taken to be batch, time and features.

    Args:
        shape: the shape of the input in the run that gave the responses.
    """
    found = [candidate(port, shape, axis, responses) for axis in candidates(port, shape)]
    found.sort(key=lambda c: (-c.score, c.axis))
    best = next(iter(found), None)
    if best is None or best.score <= 0:
        usual = next((c for c in found if c.axis == 1 and len(port.dims) == 3 and shape[2] > 1), None)
        if usual is None and len(port.dims) > 3 and found:
            longest = max(found, key=lambda c: shape[c.axis])
            return TimeAxis(longest.axis, ("it is the longest of its axes",), False, without(found, longest))
        if usual is None:
            return TimeAxis(None, (), False, tuple(found))
        return TimeAxis(1, (BY_CUSTOM,), False, without(found, usual))
    lead = best.score - max((c.score for c in found[1:]), default=0.0)
    sure = best.score >= SURE_SCORE and lead >= SURE_LEAD
    return TimeAxis(best.axis, best.reasons, sure, without(found, best))


def without(found: Sequence[Candidate], chosen: Candidate) -> tuple[Candidate, ...]:
    return tuple(c for c in found if c is not chosen)


def candidates(port: Port, shape: Sequence[int]) -> list[int]:
    """The axes that can be time: those that are open or have several entries, and are not named as the batch."""
    return [
        axis
        for axis, dim in enumerate(port.dims)
        if not is_batch(port.dims, axis) and not (isinstance(dim, int) and dim < 2) and (shape[axis] > 1 or dim != 1)
    ]


def candidate(port: Port, shape: Sequence[int], axis: int, responses: Mapping[int, Response]) -> Candidate:
    dim, response = port.dims[axis], responses.get(axis)
    weighed: list[tuple[float, str]] = []
    if dim_says(dim, TIMES):
        weighed.append((5.0, f"its dim is named '{dim}'"))
    elif dim_says(dim, FEATURES):
        weighed.append((-3.0, f"its dim is named '{dim}'"))
    others = [a for a in range(len(port.dims)) if a != axis]
    front = axis == 0 and len(port.dims) > 1 and not dim_says(dim, TIMES)
    alive = response is not None and bool(response.recurrence or response.slides)
    if not isinstance(dim, int) and (alive or not front):
        weighed.append((3.0, "the model leaves its size open"))
    elif shape[axis] >= LONG:
        weighed.append((3.0, f"its size is {shape[axis]}"))
    if response is not None:
        weighed += seen(response, front)
    if front and len(port.dims) == 2 and not isinstance(dim, int) and (last := responses.get(1)) is not None:
        weighed += [(5.0, "the other axis is summed over, as features are")] if last.summed else []
    if few_features(port):
        weighed.append((5.0, f"the other axis has {port.dims[1]} entries, as features have") if front else (-5.0, ""))
    if others and all(is_batch(port.dims, a) for a in others):
        weighed.append((1.0, "the other axis is named as the batch"))
    if len(port.dims) == 3 and axis == 1:
        weighed.append((0.5, "it stands between batch and features"))
    if len(port.dims) == 2 and axis == 1 and isinstance(port.dims[0], int):
        weighed.append((0.5, "it stands behind the batch"))
    fixed = any(isinstance(d, int) for d in port.dims)
    if fixed and shape[axis] > max((shape[a] for a in others), default=0):
        weighed.append((0.4, "it is the longest"))
    return Candidate(axis, sum(w for w, _ in weighed), tuple(r for w, r in sorted(weighed, reverse=True) if w > 0))


def few_features(port: Port) -> bool:
    """Whether an input is rows of features: an open axis that is not named as the batch, and a short fixed one."""
    return (
        len(port.dims) == 2
        and not isinstance(port.dims[0], int)
        and not is_batch(port.dims, 0)
        and isinstance(port.dims[1], int)
        and 1 < port.dims[1] < FEW
    )


def seen(response: Response, front: bool) -> list[tuple[float, str]]:
    """The evidence of a response for or against time. ``front`` is whether the axis is where the batch usually is."""
    found: list[tuple[float, str]] = []
    if response.recurrence is not None:
        found.append((5.0, f"{response.recurrence} runs along it"))
    elif response.slides is not None:
        found.append((4.0, f"{response.slides} slides along it"))
    elif response.spreads is not None:
        found.append((1.0, f"{response.spreads} looks at all of it"))
    if response.outputs and not (response.own and front):
        name, place = next(iter(response.outputs.items()))
        found.append((1.0, f"axis {place} of the output '{name}' grows with it"))
    if response.own and front:
        found.append((-3.0, "each index stands alone, as in a batch"))
    if response.ends is not None and response.pooled:
        found.append((0.5, f"{response.ends[0]} pools over it"))
    elif response.ends is not None and response.summed:
        found.append((-2.0, f"{response.ends[0]} sums over it"))
    return found


@dataclass
class Watching:
    """A model observed for a limited number of seconds."""

    trial: TrialRun | None
    seconds: float

    def axes_of(self, ports: Sequence[Port]) -> dict[str, TimeAxis]:
        """The time axis of each input, from what was observed within the time limit."""
        responses: dict[str, dict[int, Response]] = {p.name: {} for p in ports}
        if self.trial is not None and any(needs_watching(p, self.trial) for p in ports):
            try:
                with at_most(self.seconds):
                    self.respond(self.trial, ports, responses)
            except TimeOverError:
                self.seconds = 0.0
        return {p.name: time_axis(p, self.shape(p), responses[p.name]) for p in ports}

    def respond(self, trial: TrialRun, ports: Sequence[Port], responses: Mapping[str, dict[int, Response]]) -> None:
        watched = watch(trial)
        if watched is None:
            return
        for port in ports:
            shape = trial.shape(port)
            for axis in candidates(port, shape):
                if 1 < shape[axis] < LONG:
                    responses[port.name][axis] = watched.response(port, axis)

    def shape(self, port: Port) -> tuple[int, ...]:
        return self.trial.shape(port) if self.trial is not None else as_declared(port)


def as_declared(port: Port) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) else 2 for d in port.dims)


def needs_watching(port: Port, trial: TrialRun) -> bool:
    """Whether the model must run to find an input's role. It need not if the only candidate is a long axis."""
    shape = trial.shape(port)
    able = candidates(port, shape)
    return not (len(able) == 1 and shape[able[0]] >= LONG)
