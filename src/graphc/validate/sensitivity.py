"""Measures how far each state moves the outputs: the validation proves nothing about a state that moves none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphc.contract.signature import StatePort
from graphc.ir.model import Model
from graphc.spec.schema import ToleranceSpec
from graphc.system.parallel import side_by_side
from graphc.validate.compare import Array, widened
from graphc.validate.run_streams import RecordedCall, ValidationStream, allowance, recorded
from graphc_runtime.errors import RunError
from graphc_runtime.session import StreamSession

SIGHT = 10.0
CALLS_TO_SHOW = 12


@dataclass(frozen=True)
class StateSensitivity:
    """How far the outputs move when one state is disturbed, divided by the tolerance."""

    state: str
    ratio: float

    @property
    def proven(self) -> bool:
        return self.ratio >= SIGHT


def sensitivity_of(
    session: StreamSession, model: Model, trials: list[ValidationStream], tolerance: ToleranceSpec
) -> list[StateSensitivity]:
    """Disturbs each state at a few calls of the longest stream, and continues from there until an output moves.

    A state that moves no output far beyond the tolerance is not proven by the validation.
    """
    assert model.signature is not None
    trial = max(trials, key=lambda t: t.frames)
    calls = recorded(session, trial.feeds)
    allowed = {
        name: allowance(np.concatenate([c.results[name].ravel() for c in calls]), tolerance) for name in session.outputs
    }
    last = len(calls) - 1
    moments = list(dict.fromkeys((len(calls) // 2, last, min(1, last), 0)))

    def moved_by(state: StatePort) -> StateSensitivity:
        places: list[tuple[slice, ...]] = [()] if state.pack is None else state.pack.slices()
        ratios = [seen_at(Disturbance(state.input, place), session, calls, moments, allowed) for place in places]
        return StateSensitivity(state.input, min(ratios))

    return side_by_side(moved_by, model.signature.states)


@dataclass(frozen=True)
class Disturbance:
    """The part of a state that is disturbed."""

    state: str
    place: tuple[slice, ...]


def seen_at(
    what: Disturbance, session: StreamSession, calls: list[RecordedCall], moments: list[int], allowed: dict[str, float]
) -> float:
    """The most that a disturbance moves an output, over some calls. The search stops far beyond the tolerance."""
    ratio = 0.0
    for moment in moments:
        for sign in (1.0, -1.0):
            ratio = max(ratio, moved_by(session, calls, what, moment, sign, allowed))
            if ratio >= SIGHT:
                return ratio
    return ratio


def moved_by(
    session: StreamSession,
    calls: list[RecordedCall],
    what: Disturbance,
    moment: int,
    sign: float,
    allowed: dict[str, float],
) -> float:
    """How far a disturbance at one call moves the outputs' kept frames from then on, divided by what is allowed.

    The run ends early if a disturbed integer is an index beyond the end of a table.
    """
    states = {s.input: s.output for s in session.manifest.states}
    held = {name: calls[moment].feeds[name] for name in states}
    held[what.state] = held[what.state].copy()
    held[what.state][what.place] = disturbed(held[what.state][what.place], moment, sign)
    worst = 0.0
    streams = [o for o in session.outputs.values() if o.axis is not None]
    late = max((math.ceil(o.delay / (session.chunk * o.pace)) for o in streams), default=0)
    given = {o.name: sum(c.results[o.name].shape[o.axis or 0] for c in calls[:moment]) for o in streams}
    for index in range(moment, min(len(calls), moment + late + CALLS_TO_SHOW)):
        try:
            results = session.runner.run({**calls[index].feeds, **held})
        except RunError:
            return worst
        held = {name: results[output] for name, output in states.items()}
        for name, entry in session.outputs.items():
            want, got = (widened(r[name]) for r in (calls[index].results, results))
            if entry.axis is not None:
                frames = want.shape[entry.axis]
                early = min(max(entry.delay - given[name], 0), frames)
                given[name] += frames
                want, got = (v.take(range(early, frames), axis=entry.axis) for v in (want, got))
            with np.errstate(invalid="ignore"):
                error = np.nan_to_num(np.abs(got - want), nan=0.0, posinf=1e300)
            worst = max(worst, float(error.max(initial=0.0)) / allowed[name])
        if worst >= SIGHT:
            break
    return worst


def disturbed(value: Array, moment: int, sign: float) -> Array:
    rng = np.random.default_rng(moment)
    if value.dtype.kind == "b":
        changed: Any = ~value
    elif value.dtype.kind in "iu" and value.size > 1 and value.min() < value.max():
        changed = np.where(value == value.max(), value.min(), value.max())
    elif value.dtype.kind in "iu":
        changed = value + np.asarray(sign * 1000).astype(value.dtype)
    else:
        base = np.where(np.isfinite(value), value, 0)
        spread = max(1.0, float(np.std(base.astype(np.float64))))
        changed = base + (sign * spread * rng.standard_normal(value.shape)).astype(value.dtype)
    return np.asarray(changed, dtype=value.dtype)
