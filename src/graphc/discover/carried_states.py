"""Runs a model with its states fed back: do the states matter, and do consecutive calls equal one longer call?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphc.discover.port_names import SOUNDS, says
from graphc.discover.state_pairs import StatePair
from graphc.discover.trial_run import Sizes, TrialRun, dim_key
from graphc.offline.feeds import Array, Feeds
from graphc.spec.input_roles import INTEGERS
from graphc_runtime.errors import RunError

CALLS = {"sound": (512, 576, 480, 320, 256, 160, 1536, 640, 1600), "frames": (16, 8, 4, 32, 64, 100, 2, 1)}
SEEN, NEAR, NEAR_IN_INTEGERS = 1e-6, 1e-3, 0.1
INTEGER_OPS = frozenset({"DynamicQuantizeLinear", "DynamicQuantizeLSTM", "MatMulInteger", "DynamicQuantizeMatMul"})


@dataclass(frozen=True)
class CarriedStates:
    """The results of running a model with its states at zero, then with the states that the first call gave.

    Args:
        frames: the frames of each call.
        moved: state inputs whose carried value changes an output of the next call.
        idle: state inputs whose carried value changes no output of the next call.
        grows: state inputs whose paired output has another shape.
        agrees: whether two calls that carry the states give what one call of twice the frames gives. None if
            this cannot be determined.
    """

    frames: int
    moved: tuple[str, ...]
    idle: tuple[str, ...]
    grows: tuple[str, ...]
    agrees: bool | None


def carried_states(trial: TrialRun, pairs: Sequence[StatePair], axes: Mapping[str, int]) -> CarriedStates:
    """Runs a model for two calls in a row, with states that start at zero.

    Args:
        axes: the time axis of each input that has one; empty for a model that takes one frame per call.
    """
    frames, sizes = call_size(trial, pairs, axes)
    feeds = with_zeros(trial.draw(1, sizes), pairs)
    first = trial.session.run(feeds)
    grows = tuple(p.input for p in pairs if np.shape(first[p.output]) != feeds[p.input].shape)
    if grows:
        return CarriedStates(frames, (), (), grows, None)
    data = [name for name in trial.shapes if name not in {p.output for p in pairs}]
    moved = []
    for pair in pairs:
        after = trial.session.run({**feeds, pair.input: first[pair.output]})
        if any(differ(first[name], after[name], SEEN) for name in data):
            moved.append(pair.input)
    idle = tuple(p.input for p in pairs if p.input not in moved)
    return CarriedStates(frames, tuple(moved), idle, (), split_agrees(trial, pairs, axes, frames, sizes, data))


def call_size(trial: TrialRun, pairs: Sequence[StatePair], axes: Mapping[str, int]) -> tuple[int, Sizes]:
    """The frames and sizes of a call: the declared number of frames, or the first usual one at which the model runs."""
    ports = {p.name: p for p in trial.ports}
    open_axes = {name: axis for name, axis in axes.items() if not isinstance(ports[name].dims[axis], int)}
    if not open_axes:
        name, axis = next(iter(axes.items()), (None, None))
        return (1 if name is None or axis is None else trial.shape(ports[name])[axis]), trial.sizes
    name, axis = next(iter(open_axes.items()))
    alone = sum(d > 1 for d in trial.shape(ports[name])) <= 1 or says(name, SOUNDS)
    sound = alone and len(ports[name].dims) < 3 and ports[name].elem_type not in INTEGERS
    for frames in CALLS["sound" if sound else "frames"]:
        sizes = sized(trial, open_axes, frames)
        if trial.runs_at(sizes) is not None:
            return frames, sizes
    return trial.shape(ports[name])[axis], trial.sizes


def sized(trial: TrialRun, axes: Mapping[str, int], frames: int) -> Sizes:
    ports = {p.name: p for p in trial.ports}
    dims = {**trial.sizes.dims, **{dim_key(ports[name], axis): frames for name, axis in axes.items()}}
    return replace(trial.sizes, dims=dims, count=frames)


def with_zeros(feeds: Feeds, pairs: Sequence[StatePair]) -> Feeds:
    return {**feeds, **{p.input: np.zeros_like(feeds[p.input]) for p in pairs}}


def split_agrees(
    trial: TrialRun, pairs: Sequence[StatePair], axes: Mapping[str, int], frames: int, sizes: Sizes, data: Sequence[str]
) -> bool | None:
    """Whether one call of twice the frames equals two consecutive calls. None if this cannot be determined."""
    ports = {p.name: p for p in trial.ports}
    if not axes or any(isinstance(ports[n].dims[a], int) for n, a in axes.items()):
        return None
    twice = sized(trial, axes, 2 * frames)
    whole = with_zeros(trial.draw(2, twice), pairs)
    try:
        want = trial.session.run(whole)
        parts, states = [], {p.input: whole[p.input] for p in pairs}
        for half in range(2):
            taken = {n: whole[n].take(range(half * frames, (half + 1) * frames), axis=a) for n, a in axes.items()}
            counts = {n: v for n, v in trial.draw(2, sizes).items() if n not in axes and n not in states}
            kept = {
                n: whole[n] if whole[n].shape == v.shape and whole[n].dtype.kind == "f" else v
                for n, v in counts.items()
            }
            got = trial.session.run({**kept, **taken, **states})
            states = {p.input: got[p.output] for p in pairs}
            parts.append(got)
    except (RunError, ValueError):
        return None
    near = NEAR_IN_INTEGERS if any(n.op_type in INTEGER_OPS for n in trial.model.graph.node) else NEAR
    told = [grown(want[name], parts[0][name], parts[1][name], near) for name in data]
    found = [one for one in told if one is not None]
    return all(found) if found else None


def grown(want: Array, first: Array, second: Array, near: float) -> bool | None:
    """Whether an output of a long call equals those of two calls, joined. None if it does not grow with the frames."""
    for axis in range(np.ndim(want)):
        if first.ndim == want.ndim and first.shape[axis] + second.shape[axis] == want.shape[axis]:
            return not differ(want, np.concatenate([first, second], axis=axis), near)
    return None


def differ(one: Array, other: Array, near: float) -> bool:
    """Whether two outputs differ by more than ``near`` times the largest magnitude of the first."""
    if np.shape(one) != np.shape(other):
        return True
    a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return bool(np.nanmax(np.abs(a - b), initial=0.0) > near * max(1e-6, float(np.nanmax(np.abs(a), initial=0.0))))
