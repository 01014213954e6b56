"""Slices: on time an index shift or a stride, on other axes frame by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from graphc.contract.length import Length
from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.boundary.run_constants import Core
from graphc.stream.evaluation.length_fit import explained
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import TimeConstant
from graphc.stream.lowering.builder import INT64_MAX, Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.window import Window, window_over, windowed_fact

UNBOUNDED = 2**31 - 1
FIRST_FRAMES = "make a fixed number of frames a separate input, or return every frame and let the client choose"
LAST_FRAMES = (
    "its start depends on the length or is counted from the end, which a stream never reaches",
    "return every frame and let the client take the last, or set stream.window",
)


@dataclass(frozen=True)
class Bounds:
    """Where a slice begins and ends on one axis, at every length evaluated."""

    axis: int
    step: int
    starts: tuple[int, ...]
    ends: tuple[int, ...]


@stream_rule("Slice")
def slice_rule(node: Node, facts: Facts) -> Lowering:
    """On time, the starts and ends at all lengths evaluated show how many frames the slice cuts off at each end."""
    x = facts.only_stream()
    starts, ends = bounds(node, facts, "starts", 1), bounds(node, facts, "ends", 2)
    count = len(starts[0])
    axes = facts.argument("axes", 3) or list(range(count))
    steps = facts.argument("steps", 4) or [1] * count
    found = [
        Bounds(normalised(int(axes[i]), x.rank), int(steps[i]), tuple(s[i] for s in starts), tuple(e[i] for e in ends))
        for i in range(count)
    ]
    over_time = next((b for b in found if b.axis == x.axis), None)
    others = [b for b in found if b is not over_time]
    if over_time is None:
        return other_axes(node, facts, x, others)
    kept = cut_of(facts, x, over_time)
    facts.claim_kept(x.axis, kept.before, {x.axis: kept.step})
    check_steady(facts, x, others)
    return cut(node, facts, kept, sliced_core(others) if others else None)


def bounds(node: Node, facts: Facts, name: str, index: int) -> list[list[int]]:
    """The starts or ends of all sliced axes, for each length evaluated.

    Args:
        name: "starts" or "ends".
        index: the input that has them, if no attribute does.
    """
    if name in node.attrs:
        return [[int(v) for v in node.attrs[name]]] * len(facts.lengths)
    fact = facts[index]
    if not isinstance(fact, TimeConstant):
        facts.refuse(f"'{name}' depends on data", "use constants, or numbers that depend on the length alone")
    return [[int(v) for v in value.ravel()] for value in fact.values]


@dataclass(frozen=True)
class Cut:
    """The frames that a slice keeps: every ``step``-th after the first ``before`` ones, ``length`` frames in all."""

    before: int
    step: int
    length: Length


def cut_of(facts: Facts, x: Stream, bounds: Bounds) -> Cut:
    """The frames that a slice keeps, as a function of the length that gives the bounds at every length evaluated.

    Refuses negative steps, and bounds that no such function gives.
    """
    starts, ends, step = bounds.starts, bounds.ends, bounds.step
    if step < 0:
        facts.refuse("reverses time", "a stream never sees its end first; export without the reversal")
    sizes = [x.length(n) for n in facts.lengths]
    fronts = {resolved(s, size) for s, size in zip(starts, sizes, strict=True)}
    told = set(starts)
    if len(fronts) > 1 or (len(told) == 1 and min(told) < 0):
        facts.refuse(*LAST_FRAMES)
    stops = [resolved(e, size) for e, size in zip(ends, sizes, strict=True)]
    raw = set(ends)
    if raw == {1} and fronts == {0} and len(facts.lengths) > 1:
        return Cut(0, 1, Length.fixed(1))
    if len(raw) == 1 and 0 <= ends[0] < UNBOUNDED and (len(facts.lengths) > 1 or stops != sizes):
        facts.refuse("keeps only the first frames of the stream", FIRST_FRAMES)
    (before,) = fronts
    proved = facts.proved_length(x.axis, x.rate / step)
    if proved is not None:
        return Cut(before, step, proved)
    end = stop_length(facts, x, stops, next(iter(raw)) if len(raw) == 1 else None)
    return Cut(before, step, end.then(1, step - 1 - before, step))


def stop_length(facts: Facts, x: Stream, stops: list[int], fixed: int | None) -> Length:
    """The end of a slice as a length: the stream's length less some frames, another stream's length, or whole steps."""
    behinds = {x.length(n) - stop for n, stop in zip(facts.lengths, stops, strict=True)}
    if fixed is not None and len(behinds) == 1:
        return x.length.then(1, -behinds.pop(), 1)
    length = explained(facts, x, stops)
    if length is None:
        facts.refuse(
            f"ends after {listed(stops)} of {listed([x.length(n) for n in facts.lengths])} frames, "
            "which no known formula of the length gives",
            "slice off a fixed number of frames, or to another stream of the same rate",
        )
    return length


def listed(numbers: list[int]) -> str:
    """The first few different numbers, as text for an error message."""
    shown = [str(n) for n in dict.fromkeys(numbers)][:4]
    return ", ".join(shown)


def resolved(bound: int, size: int) -> int:
    return min(max(bound + size if bound < 0 else bound, 0), size)


def cut(node: Node, facts: Facts, kept: Cut, core: Core | None = None) -> Lowering:
    """The lowering to the frames that a slice keeps; ``core`` is applied to these frames."""
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


def other_axes(node: Node, facts: Facts, x: Stream, others: Sequence[Bounds]) -> Lowering:
    """The lowering of a slice on axes other than time. Bounds must keep the same entries at every length."""
    check_steady(facts, x, others)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        in_attributes = "starts" in node.attrs
        return b.copy(node, inputs if in_attributes else [inputs[0], *map(b.constant, last_bounds(others))])

    return Lowering((facts.out(x, x.axis),), emit, local=True)


def sliced_core(others: Sequence[Bounds]) -> Core:
    """A function that slices the other axes of the frames that are kept."""

    def core(b: Builder, chunk: Tensor) -> Sequence[Tensor | None]:
        return [b.one("Slice", chunk, *map(b.constant, last_bounds(others)), hint="sliced")]

    return core


def last_bounds(others: Sequence[Bounds]) -> list[list[int]]:
    """The inputs of a Slice: starts, ends, axes and steps, as they are at the last length evaluated."""
    starts, ends = (
        [max(of[-1], -INT64_MAX) for of in kind] for kind in zip(*((b.starts, b.ends) for b in others), strict=True)
    )
    return [starts, ends, [b.axis for b in others], [b.step for b in others]]


def check_steady(facts: Facts, x: Stream, others: Sequence[Bounds]) -> None:
    """Refuses bounds on other axes that keep different entries at different lengths."""
    for b in others:
        places = range(x.shape[b.axis])
        if len({places[start : end : b.step] for start, end in zip(b.starts, b.ends, strict=True)}) > 1:
            facts.refuse(
                "slices an axis other than time by a number that depends on the length", "slice it by a fixed number"
            )
        if len(set(b.starts)) > 1:
            facts.doubt(1, "it bounds a slice on an axis other than time, and depends on the length")
