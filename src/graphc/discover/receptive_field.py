"""Measures how far an output sees, by changing frames of the input."""

from __future__ import annotations

import numpy as np

from graphc.discover.axis_response import disturbed
from graphc.ir.graph import reads
from graphc.ir.model import Model
from graphc.offline.feeds import Array
from graphc.offline.reference import Offline
from graphc.spec.input_roles import StreamRole
from graphc.stream.facts.stream import Stream
from graphc.stream.propagation.analysis import Analysis
from graphc_runtime.errors import RunError

ENDLESS = ("rnn_hidden", "rnn_cell", "scan_carry", "running_sum")
DISTURBANCES = 3
LONGEST_MEASURED = 400_000
FIRST_MEASURED = 20_000
MOST_PHASES = 16
FAR = 10.0
NO_SEED = np.random.default_rng(0)


Field = dict[str, int | bool | None]


def receptive_field(offline: Offline, analysis: Analysis, model: Model, output: str) -> Field | None:
    """Measures how many input frames before and after its own an output frame depends on.

    Frames in the middle of a stream are changed by large amounts, one at a time, to see which output frames change. The
    stream is doubled until no output frame near its ends changes; ``at_least`` is set if some still do. ``left`` is
    None if the output depends on a carried value, whose reach no measurement bounds. The result is None if a stream
    input does not hold floats.
    """
    fact = analysis.facts.get(output)
    streams = {n: r for n, r in offline.roles.items() if isinstance(r, StreamRole)}
    if not isinstance(fact, Stream) or any(offline.draw(1, NO_SEED)[n].dtype.kind != "f" for n in streams):
        return None
    endless = hangs_on_a_carry(model, output)
    frames = first_length(offline, model, fact)
    while True:
        try:
            left, right, inside = measured(offline, streams, output, fact, frames, endless)
        except RunError:
            return None
        if inside or 2 * frames > LONGEST_MEASURED or not offline.accepts(2 * frames):
            return {"left": None if endless else left, "right": right, "at_least": not inside}
        frames *= 2


def first_length(offline: Offline, model: Model, fact: Stream) -> int:
    """The first length to try. It is as long as a memory may be, so that gaps between taps do not hide its reach."""
    assert model.signature is not None
    memory = max((max(s.init.shape, default=0) for s in model.signature.states), default=0)
    seen = max((n for n in offline.accepted if n <= FIRST_MEASURED), default=min(offline.accepted))
    wanted = min(FIRST_MEASURED, int(2 * memory / fact.rate))
    return next((n for n in (wanted, wanted + seen) if n > seen and offline.accepts(n)), seen)


def measured(
    offline: Offline, streams: dict[str, StreamRole], output: str, fact: Stream, frames: int, endless: bool
) -> tuple[int, int, bool]:
    """The frames seen before and after, the most over all phases of the rate, and whether the ends did not change."""
    left = right = 0
    inside = True
    others = tuple(a for a in range(fact.rank) if a != fact.axis)
    for place in range(frames // 2, frames // 2 + max(DISTURBANCES, min(fact.rate.denominator, MOST_PHASES))):
        rng = np.random.default_rng(place)
        feeds = offline.draw(frames, rng)
        changed = {n: changed_at(v, streams[n], place, rng) if n in streams else v for n, v in feeds.items()}
        base, other = offline.run(feeds)[output], offline.run(changed)[output]
        hits = np.flatnonzero(np.asarray(base != other).any(axis=others))
        if hits.size:
            left = max(left, int(hits[-1] / fact.rate) - place)
            right = max(right, place - int(hits[0] / fact.rate))
            count = base.shape[fact.axis]
            inside = inside and bool(4 * hits[0] >= count and (endless or 4 * hits[-1] <= 3 * count))
    return left, right, inside


def changed_at(value: Array, role: StreamRole, place: int, rng: np.random.Generator) -> Array:
    """The value with one frame changed. ``place`` is in input frames."""
    index = min(int(place * role.rate), value.shape[role.axis] - 1)
    return disturbed(value, role.axis, index, rng, FAR)


def hangs_on_a_carry(model: Model, output: str) -> bool:
    """Whether an output depends on a recurrence or a running sum."""
    assert model.signature is not None
    endless = {s.input for s in model.signature.states if s.kind in ENDLESS and s.node != "valid_frames"}
    made_by = {t.name: n for n in model.graph.nodes for t in n.outputs}
    waiting, seen = [output], set()
    while waiting:
        name = waiting.pop()
        if name in endless:
            return True
        if name not in seen and name in made_by:
            waiting += [t.name for t in reads(made_by[name])]
        seen.add(name)
    return False
