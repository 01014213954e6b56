"""Collects the values of a model's tensors while it streams: in every call of every sequence, with states carried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray

from graphc.ir.model import Model
from graphc.ir.ort_session import Session, Watched
from graphc.measure.quant_ranges import Histogram, Method, Range, chosen_range, outward
from graphc.offline.random_inputs import whole_feeds
from graphc.offline.recordings import recorded_stream
from graphc.offline.reference import Offline
from graphc.validate.run_streams import compiled_of, stream_all
from graphc.validate.validation_streams import streamed, with_silence
from graphc_runtime.errors import ModelError, RunError
from graphc_runtime.open_compiled import Compiled
from graphc_runtime.session import StreamSession

Array = NDArray[Any]
Feeds = dict[str, Array]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Seen:
    """The values of one tensor in all calls.

    Args:
        low, high: the lowest and highest finite value, in the tensor's dtype: for each element if the tensor is a
            state, else for the whole tensor.
        range: the range that a quantizer should map to integers.
    """

    low: Array
    high: Array
    range: Range


class Collector(Protocol):
    """Collects the values of tensors, call by call."""

    def add(self, name: str, value: Array) -> None: ...


C = TypeVar("C", bound=Collector)


@dataclass
class Extremes:
    """The lowest and highest finite value of each tensor or, for tensors in ``whole``, of each element."""

    whole: frozenset[str]
    low: dict[str, Array] = field(default_factory=dict)
    high: dict[str, Array] = field(default_factory=dict)

    def add(self, name: str, value: Array) -> None:
        if not value.size:
            return
        finite = np.isfinite(value)
        low, high = np.where(finite, value, np.inf), np.where(finite, value, -np.inf)
        self.merge(name, *((low, high) if name in self.whole else (low.min(), high.max())))

    def merge(self, name: str, low: Array, high: Array) -> None:
        self.low[name] = np.minimum(low, self.low.get(name, np.asarray(low)))
        self.high[name] = np.maximum(high, self.high.get(name, np.asarray(high)))


@dataclass
class Histograms:
    """Counts of values in bins between the extremes."""

    held: dict[str, Histogram]

    def add(self, name: str, value: Array) -> None:
        if name in self.held:
            self.held[name].add(value)


@dataclass(frozen=True)
class Streams:
    """The sequences that a model is calibrated on.

    Args:
        feeds: for each sequence, a function that returns the whole streams of its inputs when its turn comes.
        carried: whether states are carried from call to call; if not, each call begins with the first values.
        workers: the number of sequences that run at once, in threads, because onnxruntime and numpy release the
            interpreter's lock. The results do not depend on this number.
    """

    feeds: Sequence[Callable[[], Feeds]]
    carried: bool = True
    workers: int = 1

    def collect(
        self, runner: Runner, names: Sequence[str], make: Callable[[], C], progress: Progress = lambda d, t: None
    ) -> Iterator[C]:
        """Runs all sequences, and yields a collector with the values of all calls for each sequence, in order."""
        done: list[int] = []

        def one(feeds: Callable[[], Feeds]) -> C:
            collector = make()
            runner.run(feeds(), names, collector, self.carried)
            done.append(1)
            progress(len(done), len(self.feeds))
            return collector

        with ThreadPoolExecutor(self.workers) as pool:
            yield from pool.map(one, self.feeds)


def recorded_sequences(files: Sequence[Path], offline: Offline, frame_ms: float | None) -> list[Callable[[], Feeds]]:
    """The sequences of recordings, one for each file."""

    def stream(path: Path) -> Feeds:
        return streamed(offline, recorded_stream(path, offline, frame_ms))

    return [partial(stream, path) for path in files]


def random_sequences(
    model: Model, source: onnx.ModelProto, offline: Offline | None, count: int, frames: tuple[int, int], seed: int
) -> list[Callable[[], Feeds]]:
    """Random streams for a streaming model, every other one with silence inside; random inputs for any other model.

    The logarithm of the length is uniform, so that short streams, whose first call is their last, are frequent.
    """
    signature = model.signature
    if offline is None:
        return [partial(dict, feeds) for feeds in whole_feeds(source, None, count, seed)]
    least, most = (1, None) if signature is None else (signature.min_frames, signature.max_frames)
    low, high = (min(max(f, least), most or f) for f in frames)
    drawn = np.exp(np.random.default_rng(seed).uniform(np.log(low), np.log(high + 1), count))
    lengths = [int(n) for n in drawn]
    if signature is None:
        taken = offline.some_lengths()
        lengths = [n if offline.accepts(n) else taken[i % len(taken)] for i, n in enumerate(lengths)]

    def stream(index: int, length: int) -> Feeds:
        feeds = offline.draw(length, np.random.default_rng([seed, index]))
        feeds = with_silence(offline, feeds, length) if index % 2 else feeds
        return feeds if signature is None else streamed(offline, feeds)

    return [partial(stream, i, n) for i, n in enumerate(lengths)]


class Runner:
    """Runs sequences through a model and passes the values of tensors in each call to a collector.

    Errors:
        ModelError: onnxruntime does not run the model.
    """

    def __init__(self, model: Model, names: Sequence[str]):
        proto = model.proto()
        ports = {p.name for p in [*proto.graph.output, *proto.graph.input]}
        proto.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names if n not in ports)
        self.compiled: Compiled | None = None
        try:
            if model.signature is not None:
                self.compiled = compiled_of(model, proto)
            else:
                self.session = Session(proto)
        except RunError as err:
            raise ModelError(f"onnxruntime cannot run the model that is calibrated: {err}") from err

    def outputs(self, feeds: Feeds) -> dict[str, Array]:
        """The outputs of a whole sequence."""
        if self.compiled is None:
            return self.session.run(feeds)
        return stream_all(StreamSession(self.compiled), [feeds])[0]

    def run(self, feeds: Feeds, names: Sequence[str], collector: Collector, carried: bool) -> None:
        if self.compiled is None:
            show(names, feeds, self.session.run(feeds), collector)
            return
        watched = Watched(
            self.compiled.runner,
            lambda given, results: show(names, given, results, collector),
            None if carried else self.compiled.first,
        )
        stream_all(StreamSession(replace(self.compiled, runner=watched)), [feeds], smallest=True)


def show(names: Sequence[str], feeds: Mapping[str, Array], results: Mapping[str, Array], collector: Collector) -> None:
    for name in names:
        collector.add(name, np.asarray(results[name] if name in results else feeds[name]))


def calibrate(
    model: Model,
    names: Sequence[str],
    streams: Streams,
    method: Method = "minmax",
    percentile: float = 99.99,
    progress: Progress = lambda done, total: None,
) -> dict[str, Seen]:
    """The values of a model's tensors over all sequences, and the range of each.

    All methods except ``minmax`` stream twice: for the extremes, then for histograms between them.

    Errors:
        ModelError: the model does not run on the sequences.
    """
    runner = Runner(model, names)
    signature = model.signature
    states = frozenset(s.input for s in signature.states) if signature is not None else frozenset()
    passes = 1 if method == "minmax" else 2
    total = passes * len(streams.feeds)
    extremes = Extremes(states)
    for one in streams.collect(runner, names, lambda: Extremes(states), lambda d, t: progress(d, total)):
        for name in one.low:
            extremes.merge(name, one.low[name], one.high[name])
    whole = {name: whole_range(extremes, name) for name in extremes.low}
    if method != "minmax":
        held = {name: Histogram.empty(r.low, r.high) for name, r in whole.items()}

        def empty() -> Histograms:
            return Histograms({name: Histogram.empty(r.low, r.high) for name, r in whole.items()})

        for seen in streams.collect(runner, names, empty, lambda d, t: progress(t + d, total)):
            for name, histogram in seen.held.items():
                held[name].counts += histogram.counts
        whole = {name: chosen_range(h, method, percentile) for name, h in held.items()}
    return {name: seen_of(extremes, name, whole[name]) for name in whole}


def seen_of(extremes: Extremes, name: str, chosen: Range) -> Seen:
    low, high = extremes.low[name], extremes.high[name]
    finite = Range(float(outward(np.asarray(chosen.low), False)), float(outward(np.asarray(chosen.high), True)))
    return Seen(outward(low, False).astype(low.dtype), outward(high, True).astype(high.dtype), finite)


def outputs_on(model: Model, streams: Streams) -> list[dict[str, Array]]:
    """The outputs of a model for each sequence.

    Errors:
        ModelError: the model does not run on the sequences.
    """
    runner = Runner(model, [])
    with ThreadPoolExecutor(streams.workers) as pool:
        return list(pool.map(lambda feeds: runner.outputs(feeds()), streams.feeds))


def whole_range(extremes: Extremes, name: str) -> Range:
    low, high = float(np.min(extremes.low[name])), float(np.max(extremes.high[name]))
    return Range(low, high) if low <= high else Range(0.0, 0.0)
