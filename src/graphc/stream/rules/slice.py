"""Slices and splits: on time an index shift or a stride, on other axes frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.boundary.constants import Core
from graphc.stream.evaluation.length_fit import explained
from graphc.stream.facts.facts import Array, Stream, TimeConstant
from graphc.stream.lowering.builder import INT64_MAX, Builder
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.rules.clamped_frames import picked_windows
from graphc.stream.time.window import Window, window_over, windowed_fact

UNBOUNDED = 2**31 - 1
FIRST_FRAMES = "give frames of a fixed number as an input of their own, or return every frame and let the client choose"
LAST_FRAMES = (
    "keeps frames counted from the end of the stream, which a stream never reaches",
    "return every frame and let the client take the last, or set stream.window",
)


@stream_rule("Slice")
def slice_rule(node: Node, facts: Facts) -> Lowering:
    """On time: where it starts and ends at every length tells how many frames it cuts off each end."""
    x = facts.only_stream()
    starts, ends = bounds(node, facts, "starts", 1), bounds(node, facts, "ends", 2)
    count = len(starts[0])
    axes = facts.argument("axes", 3) or list(range(count))
    steps = facts.argument("steps", 4) or [1] * count
    places = [normalised(int(a), x.rank) for a in axes]
    if x.axis not in places:
        return other_axes(node, facts, x, starts, ends, places, steps)
    if count > 1:
        return mixed_axes(node, facts, x, starts, ends, places, [int(s) for s in steps])
    index = places.index(x.axis)
    kept = cut_of(facts, x, index, starts, ends, int(steps[index]))
    facts.claim_kept(x.axis, kept.before, {x.axis: kept.step})
    return cut(node, facts, kept)


def bounds(node: Node, facts: Facts, name: str, index: int) -> list[list[int]]:
    """Starts or ends at every length."""
    if name in node.attrs:
        return [[int(v) for v in node.attrs[name]]] * len(facts.lengths)
    fact = facts[index]
    if not isinstance(fact, TimeConstant):
        facts.refuse(f"'{name}' depends on data", "slice by constants")
    return [[int(v) for v in value.ravel()] for value in fact.values]


@dataclass(frozen=True)
class Cut:
    """What a slice keeps of time: all but the first ``before`` frames, every ``step``-th, up to a length."""

    before: int
    step: int
    length: Length


def cut_of(facts: Facts, x: Stream, index: int, starts: list[list[int]], ends: list[list[int]], step: int) -> Cut:
    """What is kept, as a function of the length that explains the bounds at every length evaluated.

    Refuses steps backwards, and bounds that no such function explains.
    """
    if step < 0:
        facts.refuse("reverses time", "a stream never sees its end first; export without the reversal")
    sizes = [x.length(n) for n in facts.lengths]
    fronts = {resolved(s[index], size) for s, size in zip(starts, sizes, strict=True)}
    if len(fronts) > 1 or all(s[index] < 0 for s in starts):
        facts.refuse(*LAST_FRAMES)
    stops = [resolved(e[index], size) for e, size in zip(ends, sizes, strict=True)]
    raw = {e[index] for e in ends}
    if raw == {1} and fronts == {0} and len(facts.lengths) > 1:
        return Cut(0, 1, Length.fixed(1))
    if len(raw) == 1 and 0 <= ends[0][index] < UNBOUNDED and (len(facts.lengths) > 1 or stops != sizes):
        facts.refuse("keeps only the first frames of the stream", FIRST_FRAMES)
    (before,) = fronts
    proved = facts.proved_length(x.axis, x.rate / step)
    if proved is not None:
        return Cut(before, step, proved)
    end = stop_length(facts, x, stops, next(iter(raw)) if len(raw) == 1 else None)
    return Cut(before, step, end.then(1, step - 1 - before, step))


def stop_length(facts: Facts, x: Stream, stops: list[int], fixed: int | None) -> Length:
    """The end of a slice as a length: that of the stream less some frames, that of another stream, or whole steps."""
    behinds = {x.length(n) - stop for n, stop in zip(facts.lengths, stops, strict=True)}
    if fixed is not None and len(behinds) == 1:
        return x.length.then(1, -behinds.pop(), 1)
    length = explained(facts, x, stops)
    if length is None:
        facts.refuse(
            f"ends after {listed(stops)} frames where the stream has {listed([x.length(n) for n in facts.lengths])}, "
            "which no length of the same rate explains",
            "slice off a fixed number of frames, or to another stream of the same rate",
        )
    return length


def listed(numbers: list[int]) -> str:
    """A few numbers, as a message shows them."""
    shown = [str(n) for n in dict.fromkeys(numbers)][:4]
    return ", ".join(shown)


def resolved(bound: int, size: int) -> int:
    return min(max(bound + size if bound < 0 else bound, 0), size)


def cut(node: Node, facts: Facts, kept: Cut, core: Core | None = None) -> Lowering:
    """The stream as a slice keeps it; ``core`` does the rest to the frames that are left."""
    x = facts.stream()
    window = Window(1, kept.step, -kept.before, 0, (1, kept.step - 1 - kept.before, kept.step))
    w = replace(window_over(facts, x, window), length=kept.length)

    def strided(b: Builder, chunk: Tensor) -> Sequence[Tensor | None]:
        if kept.step > 1:
            chunk = b.slice(chunk, x.axis, 0, INT64_MAX, kept.step, hint="strided")
        return core(b, chunk) if core is not None else [chunk]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return strided(b, w.chunk(b, inputs[0], "delay_line"))

    return Lowering((windowed_fact(facts, w, x.axis, strided),), emit)


def other_axes(
    node: Node,
    facts: Facts,
    x: Stream,
    starts: list[list[int]],
    ends: list[list[int]],
    places: list[int],
    steps: Sequence[int],
) -> Lowering:
    """A slice that leaves time alone; bounds that depend on the length are resolved where they cut the same."""
    check_steady(facts, x, [(starts, ends, i, axis, int(steps[i])) for i, axis in enumerate(places)])
    out = facts.out(x, x.axis)
    last = [[min(max(v, -INT64_MAX), INT64_MAX) for v in bound[-1]] for bound in (starts, ends)]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if "starts" in node.attrs:
            return b.copy(node, inputs)
        parts = [
            inputs[0],
            b.constant(last[0]),
            b.constant(last[1]),
            b.constant(places),
            b.constant(list(map(int, steps))),
        ]
        return b.copy(node, parts)

    return Lowering((out,), emit, local=True)


def mixed_axes(
    node: Node,
    facts: Facts,
    x: Stream,
    starts: list[list[int]],
    ends: list[list[int]],
    places: list[int],
    steps: list[int],
) -> Lowering:
    """A slice over time and other axes: time first, by its own step, then the others."""
    index = places.index(x.axis)
    kept = cut_of(facts, x, index, starts, ends, steps[index])
    rest = [i for i in range(len(places)) if i != index]
    facts.claim_kept(x.axis, kept.before, {x.axis: kept.step})
    check_steady(facts, x, [(starts, ends, i, places[i], steps[i]) for i in rest])
    last = [
        [starts[-1][i] for i in rest],
        [ends[-1][i] for i in rest],
        [places[i] for i in rest],
        [steps[i] for i in rest],
    ]

    def core(b: Builder, chunk: Tensor) -> Sequence[Tensor | None]:
        return [b.one("Slice", chunk, *(b.constant(v) for v in last), hint="sliced")]

    return cut(node, facts, kept, core)


def check_steady(facts: Facts, x: Stream, slices: list[tuple[list[list[int]], list[list[int]], int, int, int]]) -> None:
    """Refuses bounds on other axes that keep something else at another length."""
    for starts, ends, index, axis, step in slices:
        size = x.shape[axis]
        kept = {tuple(range(*slice(s[index], e[index], step).indices(size))) for s, e in zip(starts, ends, strict=True)}
        if len(kept) > 1:
            facts.refuse("cuts another axis than time by the length of the stream", "cut it by a fixed number")
        if len({s[index] for s in starts}) > 1:
            facts.doubt(1, "bounds on another axis follow the length")


@stream_rule("Split", "SplitToSequence")
def split(node: Node, facts: Facts) -> Lowering:
    x = facts.only_stream()
    if node.op == "SplitToSequence":
        facts.refuse("makes a sequence", "use Split")
    along = normalised(int(node.attrs.get("axis", 0)), x.rank)
    if along == x.axis:
        facts.refuse("splits time into parts", "a stream has no fixed parts; slice by offsets from the start")
    if facts[1] is not None:
        facts.array(1, "'split'")
    outputs = tuple(facts.out(x, x.axis, i) if t.name else None for i, t in enumerate(node.outputs))
    return Lowering(outputs, copied(node, facts), local=True)


@stream_rule("Gather")
def gather(node: Node, facts: Facts) -> Lowering:
    """A table looked up by a stream, or other axes picked from; on time, evenly spaced indices are a slice."""
    data, indices = facts[0], facts[1]
    along = normalised(int(node.attrs.get("axis", 0)), len(facts.input_shapes[0][0]))
    if isinstance(indices, Stream):
        if isinstance(data, Stream):
            facts.refuse("looks one stream up in another", "attention by indices cannot be streamed")
        return Lowering((facts.out(indices, along + indices.axis),), copied(node, facts), local=True)
    x = facts.only_stream()
    if along != x.axis:
        value = facts.array(1, "'indices'")
        assert value is not None
        axis = x.axis if x.axis < along else x.axis + value.ndim - 1
        return Lowering((facts.out(x, axis),), copied(node, facts), local=True)
    if not isinstance(indices, TimeConstant):
        facts.refuse("picks frames by data", "a stream has only the frames of a chunk")
    return gathered_frames(node, facts, x, indices.values)


def gathered_frames(node: Node, facts: Facts, x: Stream, values: Sequence[Array]) -> Lowering:
    """Frames picked by evenly spaced indices that reach to the end, or overlapping windows of them."""
    if all(v.ndim == 2 and v.size for v in values):
        return framed(node, facts, x, values)
    if any(v.ndim != 1 or not v.size for v in values) or all(v.size == 1 for v in values):
        facts.refuse("picks single frames by their place", "return every frame; the client picks")
    steps = {int(step) for v in values for step in np.diff(v)}
    starts = {int(v[0]) for v in values}
    if len(steps) != 1 or len(starts) != 1 or min(steps) < 1 or min(starts) < 0:
        windows = picked_windows(node, facts, x, values)
        if windows is not None:
            return windows
        facts.refuse("picks frames that are not evenly spaced from the start", "use Slice")
    step, start = steps.pop(), starts.pop()
    sizes = [x.length(n) for n in facts.lengths]
    afters = {size - int(v[-1]) - 1 for size, v in zip(sizes, values, strict=True)}
    if step == 1 and len(afters) > 1:
        facts.refuse("keeps only the first frames of the stream", FIRST_FRAMES)
    facts.claim_kept(x.axis, start, {x.axis: step})
    proved = facts.proved_length(x.axis, x.rate / step)
    if proved is not None:
        return cut(node, facts, Cut(start, step, proved))
    end = x.length.then(1, -min(afters), 1) if step == 1 else x.length
    return cut(node, facts, Cut(start, step, end.then(1, step - 1 - start, step)))


def framed(node: Node, facts: Facts, x: Stream, values: Sequence[Array]) -> Lowering:
    """Overlapping windows, as ``unfold`` makes them: indices [frames, kernel] or [kernel, frames], evenly spaced.

    Refuses any other table of indices.
    """
    longest = max(values, key=np.size)
    frames_first = len({v.shape[1] for v in values}) == 1
    table = longest if frames_first else longest.T
    start = int(table[0, 0])
    stride = int(table[1, 0] - table[0, 0]) if table.shape[0] > 1 else 1
    dilation = int(table[0, 1] - table[0, 0]) if table.shape[1] > 1 else 1
    kernel = table.shape[1]

    def window_table(count: int) -> Array:
        made = start + stride * np.arange(count)[:, None] + dilation * np.arange(kernel)[None]
        return made if frames_first else made.T

    count_axis = 0 if frames_first else 1
    if (
        stride < 1
        or dilation < 1
        or start < 0
        or any(not np.array_equal(v, window_table(v.shape[count_axis])) for v in values)
    ):
        facts.refuse("picks frames by a table that is no sliding window", "frame the signal with evenly spaced windows")
    extent = (kernel - 1) * dilation + 1
    frames_axis, taps_axis = (x.axis, x.axis + 1) if frames_first else (x.axis + 1, x.axis)
    facts.claim_kept(x.axis, start, {frames_axis: stride, taps_axis: dilation})
    w = window_over(facts, x, Window(extent, stride, -start, 0, (1, stride - extent - start, stride)))
    frames = facts.frames(x) // stride
    inner = stride * np.arange(frames)[:, None] + dilation * np.arange(kernel)[None]
    indices = inner if frames_first else inner.T

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        chunk = w.chunk(b, inputs[0], "conv_context")
        return [b.one("Gather", chunk, b.constant(indices.astype(np.int64)), axis=x.axis, hint="framed")]

    return Lowering((facts.out(w.x, x.axis + count_axis, delay=w.delay, length=w.length),), emit)
