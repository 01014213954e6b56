"""Slices and splits: on time an index shift or a stride, on other axes frame by frame."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.graph import Node, Tensor, normalised
from graphc.stream.facts import Array, Known, Stream
from graphc.stream.ports import INT64_MAX, Builder
from graphc.stream.rule import Facts, StreamStep, copied, stream_rule
from graphc.stream.windowed import Window, window_over, windowed_fact

UNBOUNDED = 2**31 - 1
LAST_FRAMES = (
    "keeps frames counted from the end of the stream, which a stream never reaches",
    "return every frame and let the client take the last, or set stream.window",
)


@stream_rule("Slice")
def slice_rule(node: Node, facts: Facts) -> StreamStep:
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
    before, after, step = cut_amounts(facts, x, index, starts, ends, int(steps[index]))
    return cut(node, facts, before, after, step)


def bounds(node: Node, facts: Facts, name: str, index: int) -> list[list[int]]:
    """Starts or ends at every length."""
    if name in node.attrs:
        return [[int(v) for v in node.attrs[name]]] * len(facts.lengths)
    fact = facts[index]
    if not isinstance(fact, Known):
        facts.refuse(f"'{name}' depends on data", "slice by constants")
    return [[int(v) for v in value.ravel()] for value in fact.values]


def cut_amounts(
    facts: Facts, x: Stream, index: int, starts: list[list[int]], ends: list[list[int]], step: int
) -> tuple[int, int, int]:
    """Frames cut in front and behind, and the step.

    Refuses steps backwards, and cuts that are not the same at every length.
    """
    if step < 0:
        facts.refuse("reverses time", "a stream never sees its end first; export without the reversal")
    sizes = [x.length(n) for n in facts.lengths]
    fronts = {resolved(s[index], size) for s, size in zip(starts, sizes, strict=True)}
    behinds = {size - resolved(e[index], size) for e, size in zip(ends, sizes, strict=True)}
    if len(fronts) > 1 or all(s[index] < 0 for s in starts):
        facts.refuse(*LAST_FRAMES)
    fixed_end = len({e[index] for e in ends}) == 1 and 0 <= ends[0][index] < UNBOUNDED
    if len(behinds) > 1 or (fixed_end and (len(facts.lengths) > 1 or behinds != {0})):
        facts.refuse("keeps only the first frames of the stream", "return every frame; the client takes the first")
    return fronts.pop(), behinds.pop(), step


def resolved(bound: int, size: int) -> int:
    return min(max(bound + size if bound < 0 else bound, 0), size)


def cut(node: Node, facts: Facts, before: int, after: int, step: int) -> StreamStep:
    """The stream without its first ``before`` and last ``after`` frames, every ``step``-th of the rest."""
    x = facts.stream()
    window = Window(1, step, -before, 0, (1, step - 1 - before - after, step))
    w = window_over(facts, x, window)

    def core(b: Builder, chunk: Tensor) -> Sequence[Tensor | None]:
        return [b.slice(chunk, x.axis, 0, INT64_MAX, step, hint="strided") if step > 1 else chunk]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return core(b, w.chunk(b, inputs[0], "delay_line"))

    return StreamStep((windowed_fact(facts, w, x.axis, core),), emit)


def other_axes(
    node: Node, facts: Facts, x: Stream, starts: list[list[int]], ends: list[list[int]], places: list[int],
    steps: Sequence[int],
) -> StreamStep:
    """A slice that leaves time alone; bounds that depend on the length are resolved where they cut the same."""
    fixed = [
        {tuple(range(*slice(s[i], e[i], int(steps[i])).indices(x.shape[axis]))) for s, e in zip(starts, ends, strict=True)}
        for i, axis in enumerate(places)
    ]
    if any(len(kept) > 1 for kept in fixed):
        facts.refuse("cuts another axis by the length of the stream")
    out = facts.out(x, x.axis)
    last = [[min(max(v, -INT64_MAX), INT64_MAX) for v in bound[-1]] for bound in (starts, ends)]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        if "starts" in node.attrs:
            return b.copy(node, inputs)
        parts = [inputs[0], b.constant(last[0]), b.constant(last[1]), b.constant(places), b.constant(list(map(int, steps)))]
        return b.copy(node, parts)

    return StreamStep((out,), emit, local=True)


def mixed_axes(
    node: Node, facts: Facts, x: Stream, starts: list[list[int]], ends: list[list[int]], places: list[int],
    steps: list[int],
) -> StreamStep:
    """A slice over time and other axes: time first, by its own step, then the others."""
    index = places.index(x.axis)
    before, after, step = cut_amounts(facts, x, index, starts, ends, steps[index])
    rest = [i for i in range(len(places)) if i != index]
    for i in rest:
        kept = {
            tuple(range(*slice(s[i], e[i], steps[i]).indices(x.shape[places[i]])))
            for s, e in zip(starts, ends, strict=True)
        }
        if len(kept) > 1:
            facts.refuse("cuts another axis by the length of the stream")
    window = Window(1, step, -before, 0, (1, step - 1 - before - after, step))
    w = window_over(facts, x, window)
    last = [[starts[-1][i] for i in rest], [ends[-1][i] for i in rest], [places[i] for i in rest], [steps[i] for i in rest]]

    def core(b: Builder, chunk: Tensor) -> Sequence[Tensor | None]:
        if step > 1:
            chunk = b.slice(chunk, x.axis, 0, INT64_MAX, step, hint="strided")
        return [b.one("Slice", chunk, *(b.constant(v) for v in last), hint="sliced")]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return core(b, w.chunk(b, inputs[0], "delay_line"))

    return StreamStep((windowed_fact(facts, w, x.axis, core),), emit)


@stream_rule("Split", "SplitToSequence")
def split(node: Node, facts: Facts) -> StreamStep:
    x = facts.only_stream()
    if node.op == "SplitToSequence":
        facts.refuse("makes a sequence", "use Split")
    along = normalised(int(node.attrs.get("axis", 0)), x.rank)
    if along == x.axis:
        facts.refuse("splits time into parts", "a stream has no fixed parts; slice by offsets from the start")
    if facts[1] is not None:
        facts.array(1, "'split'")
    outputs = tuple(facts.out(x, x.axis, i) if t.name else None for i, t in enumerate(node.outputs))
    return StreamStep(outputs, copied(node, facts), local=True)


@stream_rule("Gather", "GatherElements")
def gather(node: Node, facts: Facts) -> StreamStep:
    """A table looked up by a stream, or a stream's other axes picked from; on time, evenly spaced indices are a slice."""
    data, indices = facts[0], facts[1]
    along = normalised(int(node.attrs.get("axis", 0)), len(facts.input_shapes[0][0]))
    if node.op == "GatherElements":
        facts.refuse("picks elements by an index for each", "use Gather or Slice")
    if isinstance(indices, Stream):
        if isinstance(data, Stream):
            facts.refuse("looks one stream up in another", "attention by indices cannot be streamed")
        return StreamStep((facts.out(indices, along + indices.axis),), copied(node, facts), local=True)
    x = facts.only_stream()
    if along != x.axis:
        value = facts.array(1, "'indices'")
        assert value is not None
        axis = x.axis if x.axis < along else x.axis + value.ndim - 1
        return StreamStep((facts.out(x, axis),), copied(node, facts), local=True)
    if not isinstance(indices, Known):
        facts.refuse("picks frames by data", "a stream has only the frames of a chunk")
    return gathered_frames(node, facts, x, indices.values)


def gathered_frames(node: Node, facts: Facts, x: Stream, values: Sequence[Array]) -> StreamStep:
    """Frames picked by evenly spaced indices that reach to the end."""
    if any(v.ndim == 0 or v.size < 2 for v in values):
        facts.refuse("picks single frames by their place", "return every frame; the client picks")
    steps = {int(v[1] - v[0]) for v in values} if all(v.ndim == 1 for v in values) else set()
    starts = {int(v[0]) for v in values}
    even = all(v.ndim == 1 and np.all(np.diff(v) == v[1] - v[0]) for v in values)
    if not even or len(steps) != 1 or len(starts) != 1 or min(steps) < 1 or min(starts) < 0:
        facts.refuse("picks frames that are not evenly spaced from the start", "use Slice")
    step, start = steps.pop(), starts.pop()
    sizes = [x.length(n) for n in facts.lengths]
    afters = {size - int(v[-1]) - 1 for size, v in zip(sizes, values, strict=True)}
    behind = min(afters) if len(afters) == 1 else 0
    if step == 1 and len(afters) > 1:
        facts.refuse("keeps only the first frames of the stream", "return every frame; the client takes the first")
    return cut(node, facts, start, behind if step == 1 else 0, step)


