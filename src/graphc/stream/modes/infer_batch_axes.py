"""Finds the axis on which each tensor of a streaming model has the streams of a batch, by changing one stream."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from graphc.contract.signature import Signature
from graphc.ir.model import Model
from graphc.ir.ort_session import Session
from graphc.offline.feeds import Feeds
from graphc.offline.reference import Offline
from graphc.stream.facts.time_constant import Array
from graphc_runtime.errors import StreamError

CALLS_AFTER_DELAY = 3
SCALES = (8.0, 1.0)


@dataclass(frozen=True)
class BatchLayout:
    """The streams lie one after the other on an axis, ``repeats`` entries each (the heads of a stream, say)."""

    axis: int
    repeats: int


@dataclass(frozen=True)
class BatchObservation:
    """What was observed of some tensors of a streaming model.

    Args:
        values: the tensors' values in the last call of a random batch.
        layouts: the layouts of the tensors in which a change of one stream changes only the entries of that stream.
        mixed: the tensors in which a change of one stream changes other streams too.
    """

    values: Mapping[str, Array]
    layouts: Mapping[str, BatchLayout]
    mixed: frozenset[str]


@dataclass(frozen=True)
class BatchDraw:
    """A few calls of a random batch, and the same number of calls of another batch, which replaces single streams."""

    draws: list[Feeds]
    others: list[Feeds]

    @classmethod
    def drawn(cls, offline: Offline, signature: Signature, scale: float) -> BatchDraw:
        """Draws enough calls to pass every delay, all with the static inputs of the first call."""
        lag = math.ceil(max((o.delay / o.rate for o in signature.outputs if o.axis is not None), default=0))
        calls = lag // signature.smallest + CALLS_AFTER_DELAY
        rng = np.random.default_rng(0)
        statics = [i.name for i in signature.inputs if i.axis is None]
        draws, others = ([offline.draw(signature.smallest, rng, scale) for _ in range(calls)] for _ in range(2))
        for batch in (draws, others):
            for feeds in batch:
                feeds.update({name: batch[0][name] for name in statics})
        return cls(draws, others)

    def changed(self, offline: Offline, stream: int) -> list[Feeds]:
        """The batch with one stream taken from the other batch."""
        return [with_row(offline, a, b, stream) for a, b in zip(self.draws, self.others, strict=True)]


def look(model: Model, offline: Offline, names: Sequence[str]) -> BatchObservation:
    """Observes where tensors have the streams of a batch: runs a few random calls, then again with one stream changed.

    The changed stream is the first, the second and the last in turn.

    Small and large values are tried, since some nodes may mix streams only if values are large.

    Errors:
        StreamError: an output depends on a stream's place in the batch.
    """
    signature = model.signature
    assert signature is not None
    proto = model.proto()
    known = {p.name for p in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in known)
    session = Session(proto, optimize=False)
    streams = sorted({0, min(1, offline.batch - 1), offline.batch - 1})
    changes: dict[int, dict[str, Array]] = {stream: {} for stream in streams}
    runs: list[tuple[dict[str, Array], dict[str, Array]]] = []
    for scale in SCALES:
        trial = BatchDraw.drawn(offline, signature, scale)
        base = last_call(signature, session, trial.draws)
        for stream in streams:
            run = last_call(signature, session, trial.changed(offline, stream))
            moved = {n: differs(base[n], run[n]) for n in names}
            changes[stream] = {n: d | changes[stream].get(n, np.zeros((), bool)) for n, d in moved.items()}
        runs.append((base, last_call(signature, session, [turned(offline, feeds) for feeds in trial.draws])))
    observed = observed_in(runs[-1][0], changes, names, offline.batch)
    for output in signature.outputs:
        if output.name in observed.layouts and not all(
            same_in_every_place(base[output.name], rolled[output.name], observed.layouts[output.name])
            for base, rolled in runs
        ):
            raise StreamError(
                f"the output '{output.name}' depends on a stream's position in the batch",
                hint="leave out stream.clocks; all streams then begin together",
            )
    return observed


def observed_in(
    values: Mapping[str, Array], changes: Mapping[int, Mapping[str, Array]], names: Sequence[str], batch: int
) -> BatchObservation:
    """The observation of some tensors, from the entries that change when one stream of the batch changes.

    Args:
        changes: for each changed stream, which entries of each tensor changed.
    """
    layouts: dict[str, BatchLayout] = {}
    mixed: set[str] = set()
    for name in names:
        found = {stream: changed[name] for stream, changed in changes.items()}
        layout = layout_of(found, batch)
        if layout is not None:
            layouts[name] = layout
        elif all(c.any() for c in found.values()):
            mixed.add(name)
    return BatchObservation({n: values[n] for n in names}, layouts, frozenset(mixed))


def same_in_every_place(base: Array, rolled: Array, layout: BatchLayout) -> bool:
    """Whether every stream gives the same output after all streams have moved one place further in the batch."""
    want = np.roll(base, layout.repeats, axis=layout.axis)
    return bool(np.allclose(rolled, want, rtol=1e-3, atol=1e-3 * np.abs(want).max(initial=0), equal_nan=True))


def turned(offline: Offline, feeds: Feeds) -> Feeds:
    """The feeds with every stream moved one place further in the batch."""
    axes = offline.batch_axes
    return {name: np.roll(value, 1, axis=axes[name]) if name in axes else value for name, value in feeds.items()}


def last_call(signature: Signature, session: Session, draws: Sequence[Feeds]) -> dict[str, Array]:
    """All outputs of the last of the calls ``draws``, which run in order and carry the states."""
    taken = [i.name for i in signature.inputs]
    states = {s.input: s.init for s in signature.states}
    counts = {} if signature.valid_frames is None else {signature.valid_frames: np.array([signature.smallest])}
    results: dict[str, Array] = {}
    for feeds in draws:
        results = session.run({**{n: feeds[n] for n in taken}, **states, **counts})
        states = {s.input: results[s.output] for s in signature.states}
    return results


def with_row(offline: Offline, feeds: Feeds, other: Feeds, stream: int) -> Feeds:
    """The feeds with one stream's rows taken from other feeds."""
    mixed = {name: value.copy() for name, value in feeds.items()}
    for name, axis in offline.batch_axes.items():
        if name in mixed:
            place = (slice(None),) * axis + (stream,)
            mixed[name][place] = other[name][place]
    return mixed


def differs(a: Array, b: Array) -> Array:
    same = a == b
    if a.dtype.kind == "f":
        same |= np.isnan(a) & np.isnan(b)
    return np.asarray(~same)


def layout_of(changed: Mapping[int, Array], batch: int) -> BatchLayout | None:
    """The layout in which each stream's changes lie in its own part of one axis; None if there is none."""
    shape = next(iter(changed.values())).shape
    for axis, size in enumerate(shape):
        if size == 0 or size % batch:
            continue
        repeats = size // batch
        places = {
            s: np.flatnonzero(c.any(axis=tuple(a for a in range(c.ndim) if a != axis))) for s, c in changed.items()
        }
        if all(p.size and (p // repeats == s).all() for s, p in places.items()):
            return BatchLayout(axis, repeats)
    return None


def needed(observed: BatchObservation, name: str, node: str | None = None) -> BatchLayout:
    """The layout of a tensor.

    Errors:
        StreamError: the tensor mixes streams of the batch, or its streams cannot be told apart.
    """
    layout = observed.layouts.get(name)
    if layout is None:
        raise StreamError(
            f"in '{name}', one stream of the batch changes another"
            if name in observed.mixed
            else f"in '{name}', the streams of the batch cannot be told apart",
            node=node,
            hint="leave out stream.clocks; all streams then begin together",
        )
    return layout
