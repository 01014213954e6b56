"""Observes what a model does along an axis of an input, by changing one index and comparing every tensor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import onnx

from graphc.discover.trial_run import TrialRun
from graphc.ir.graph import proto_label
from graphc.ir.ort_session import Session
from graphc.offline.feeds import Array, Feeds
from graphc.spec.input_roles import Port
from graphc_runtime.errors import RunError

MOST_ELEMENTS = 24_000_000
PLACES = (0.15, 0.3, 0.5, 0.7, 0.85)
FEW_PLACES = (0.3, 0.7)
SLOW_RUN_S = 0.3
NEAR = 3.0
RECURRENT = ("LSTM", "GRU", "RNN", "Scan", "Loop", "DynamicQuantizeLSTM")
NOISE = 1e-6
POOLS = (
    "ReduceMean",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "ReduceMax",
    "ReduceSum",
    "ReduceL2",
    "AveragePool",
    "MaxPool",
)
Reach = Literal["own", "near", "after", "all", "gone"]


@dataclass(frozen=True)
class Response:
    """How a change at one index of an input's axis reaches the tensors of a model.

    Args:
        own: whether a change reaches only the same index in every tensor, as along a batch.
        slides: the first node that mixes an index with those near it, as ``name (OpType)``.
        runs: the first node after which a change reaches all later indices.
        spreads: the first node after which a change reaches all indices, but its index can still be recognized.
        ends: the node after which no tensor has a corresponding axis, and its op type.
        outputs: for each output with a corresponding axis, this axis of the output.
    """

    own: bool = False
    slides: str | None = None
    runs: str | None = None
    spreads: str | None = None
    ends: tuple[str, str] | None = None
    outputs: Mapping[str, int] = field(default_factory=dict)

    @property
    def recurrence(self) -> str | None:
        """The recurrent node that runs along the axis; None if there is none."""
        told = (self.runs, self.spreads, self.slides)
        return self.runs or next((t for t in told if t and t.endswith(tuple(f"({op})" for op in RECURRENT))), None)

    @property
    def summed(self) -> bool:
        """Whether the axis ends, in a node that is not a pool, before any node mixes its indices."""
        return (
            self.ends is not None and not self.pooled and (self.slides, self.runs, self.spreads) == (None, None, None)
        )

    @property
    def pooled(self) -> bool:
        return self.ends is not None and self.ends[1] in POOLS


@dataclass
class Watch:
    """A model with its inner tensors as outputs, and the results of one run."""

    trial: TrialRun
    nodes: Sequence[onnx.NodeProto]
    session: Session
    base: Mapping[str, Array]
    feeds: Feeds
    seconds: float

    def response(self, port: Port, axis: int) -> Response:
        """The response of the model along an axis with more than one index."""
        size = self.feeds[port.name].shape[axis]
        wanted = FEW_PLACES if self.seconds > SLOW_RUN_S else PLACES
        places = sorted({min(size - 1, int(size * p)) for p in wanted})
        profiles = [self.profile(port, axis, place) for place in places]
        return followed(self.nodes, self.trial, port, axis, size, places, profiles)

    def profile(self, port: Port, axis: int, place: int) -> dict[str, list[Array]]:
        """For each tensor that a change at ``place`` affects, the largest change at every index of each of its axes."""
        feeds = dict(self.feeds)
        feeds[port.name] = disturbed(
            feeds[port.name], axis, place, np.random.default_rng(place), NEAR, self.trial.limits.get(port.name)
        )
        changed = {**self.session.run(feeds), port.name: feeds[port.name]}
        found = {}
        for name, value in changed.items():
            moved = distance(self.feeds[name] if name == port.name else self.base[name], value)
            if moved is not None:
                found[name] = [moved.max(axis=tuple(b for b in range(moved.ndim) if b != a)) for a in range(moved.ndim)]
        return found


def disturbed(
    value: Array, axis: int, place: int, rng: np.random.Generator, size: float, limit: int | None = None
) -> Array:
    """A copy of a value, changed at one index: floats get Gaussian noise, integers become others below ``limit``."""
    changed = value.copy()
    index: tuple[Any, ...] = (*[slice(None)] * axis, place)
    if value.dtype.kind == "f":
        changed[index] += (size * rng.standard_normal(value[index].shape)).astype(value.dtype)
    elif value.dtype.kind == "b":
        changed[index] = ~value[index]
    else:
        changed[index] = (value[index] + 1) % (limit or 2)
    return changed


def distance(before: Any, after: Any) -> Array | None:
    """|after - before|, with insignificant entries set to 0. None if nothing changed, or the shapes differ."""
    if not isinstance(before, np.ndarray) or before.shape != np.shape(after) or not before.size or not before.ndim:
        return None
    if before.dtype.kind not in "fiub":
        return None
    exact = before.dtype if before.dtype.kind == "f" else np.float64
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(np.subtract(after, before, dtype=exact))
    np.nan_to_num(moved, copy=False, posinf=min(1e30, float(np.finfo(moved.dtype).max)))
    most = float(moved.max())
    if most == 0:
        return None
    moved[moved < NOISE * most] = 0
    return np.asarray(moved)


def watch(trial: TrialRun) -> Watch | None:
    """The model with its inner tensors as extra outputs, as many as fit in memory. None if that model does not run."""
    model, feeds = trial.model, trial.draw()
    nodes = list(model.graph.node)
    names = list(watched_tensors(model, feeds))
    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    present = {o.name for o in seen.graph.output}
    seen.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    try:
        session = Session(seen, optimize=False, exact=True, varied=True)
        started = time.monotonic()
        base = session.run(feeds)
    except RunError:
        return None
    return Watch(trial, nodes, session, base, feeds, time.monotonic() - started)


def watched_tensors(model: onnx.ModelProto, feeds: Feeds) -> Iterator[str]:
    """The names of tensors in the order of the nodes, until their inferred sizes add up to too many entries."""
    sized = onnx.ModelProto()
    sized.CopyFrom(model)
    del sized.graph.value_info[:]
    for port in sized.graph.input:
        if port.name in feeds:
            del port.type.tensor_type.shape.dim[:]
            for size in feeds[port.name].shape:
                port.type.tensor_type.shape.dim.add(dim_value=size)
    try:
        inferred = onnx.shape_inference.infer_shapes(sized, data_prop=True)
    except onnx.shape_inference.InferenceError:
        inferred = sized
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim]
        for v in [*inferred.graph.value_info, *inferred.graph.output]
        if v.type.HasField("tensor_type")
    }
    others = {v.name for v in inferred.graph.value_info if not v.type.HasField("tensor_type")}
    usual = int(np.median([np.prod(s) for s in shapes.values() if s and all(s)] or [1]))
    held = 0
    for node in model.graph.node:
        for name in node.output:
            if not name or name in others:
                continue
            dims = shapes.get(name)
            held += int(np.prod(dims)) if dims and all(dims) else usual
            if held > MOST_ELEMENTS:
                return
            yield name


def followed(
    nodes: Sequence[onnx.NodeProto],
    trial: TrialRun,
    port: Port,
    axis: int,
    size: int,
    places: Sequence[int],
    profiles: Sequence[Mapping[str, list[Array]]],
) -> Response:
    """The response to changes at ``places``, found node by node."""
    reach: dict[str, tuple[Reach, int | None]] = {port.name: ("own", axis)}
    slides = runs = spreads = ends = None
    own = True
    for node in nodes:
        before = [reach[n][0] for n in node.input if n in reach]
        for name in node.output:
            if not all(name in p for p in profiles):
                continue
            now = reach[name] = reach_of([p[name] for p in profiles], places, size)
            own = own and now[0] == "own"
            told = proto_label(node)
            if now[0] == "near" and "own" in before and slides is None:
                slides = told
            if now[0] == "after" and {"own", "near"} & set(before) and runs is None:
                runs = told
            if now[0] == "all" and {"own", "near", "after"} & set(before) and spreads is None:
                spreads = told
            if now[0] == "gone" and set(before) - {"gone"}:
                ends = ends or (told, node.op_type)
    outputs = {o.name: reach[o.name] for o in trial.model.graph.output if o.name in reach}
    kept = {name: where for name, (kind, where) in outputs.items() if kind != "gone" and where is not None}
    return Response(own and bool(kept), slides, runs, spreads, None if kept else ends, kept)


def reach_of(profiles: Sequence[list[Array]], places: Sequence[int], size: int) -> tuple[Reach, int | None]:
    """How far a change reaches along the axis of a tensor that corresponds best to the changed axis, and that axis."""
    best: tuple[Reach, int | None] = ("gone", None)
    for axis, along in enumerate(zip(*profiles, strict=True)):
        found = reach_along(along, places, size)
        if ORDER.index(found) < ORDER.index(best[0]):
            best = (found, axis)
    return best


ORDER: tuple[Reach, ...] = ("own", "near", "after", "all", "gone")
MOST_OFF = 0.2
SHORTEST = 4


def reach_along(along: Sequence[Array], places: Sequence[int], size: int) -> Reach:
    """How far changes at ``places`` reach along one axis of a tensor; "gone" if that axis does not correspond.

    The axis corresponds if its first, last or most changed index shifts with the place, scaled to the size of the axis.
    """
    count = len(along[0])
    if count < 2 or len(places) < 2:
        return "gone"
    hits = [np.flatnonzero(p) for p in along]
    if any(not h.size for h in hits):
        return "gone"
    first, last = [int(h[0]) for h in hits], [int(h[-1]) for h in hits]
    scale = count / size
    fold = max(1, round(scale)) if scale >= 1 else 1
    width = max(b - a + 1 for a, b in zip(first, last, strict=True))
    if moves(first, places, scale, count) and moves(last, places, scale, count):
        return "own" if width <= fold else "near" if count >= SHORTEST else "gone"
    if count < SHORTEST:
        return "gone"
    if moves(first, places, scale, count) and all(b == last[0] for b in last):
        return "after"
    if moves(last, places, scale, count) and all(a == first[0] for a in first):
        return "all"
    most = [int(np.argmax(p)) for p in along]
    sharp = len(places) > len(FEW_PLACES) and all(float(np.max(p)) > 3 * float(np.median(p)) for p in along)
    return "all" if sharp and moves(most, places, scale, count) else "gone"


def moves(found: Sequence[int], places: Sequence[int], scale: float, count: int) -> bool:
    """Whether positions rise with the places, by about the same distance after scaling."""
    rising = all(a <= b for a, b in pairwise(found)) and found[0] < found[-1]
    went, should = found[-1] - found[0], (places[-1] - places[0]) * scale
    return rising and abs(went - should) <= max(1.0, MOST_OFF * count)
