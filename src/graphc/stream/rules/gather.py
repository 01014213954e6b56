"""Gather: a table looked up by a stream, frames picked evenly, or overlapping windows of frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from graphc.ir.graph import Node, Tensor, normalised
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array, TimeConstant
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.frame_by_frame import copied
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.rules.clamped_frames import picked_windows
from graphc.stream.rules.slice import FIRST_FRAMES, Cut, cut
from graphc.stream.time.first_frame import first_frame, is_held
from graphc.stream.time.window import Window, window_over, windowed_fact


@stream_rule("Gather")
def gather(node: Node, facts: Facts) -> Lowering:
    """Looks up a table by a stream, or picks entries from axes other than time, or picks frames of the stream."""
    data, indices = facts[0], facts[1]
    along = normalised(int(node.attrs.get("axis", 0)), len(facts.input_shapes[0][0]))
    if isinstance(indices, Stream):
        if isinstance(data, Stream):
            facts.refuse(
                "takes both its data and its indices from the stream",
                "use indices that depend on the length alone, or look up a fixed table",
            )
        return Lowering((facts.out(indices, along + indices.axis),), copied(node, facts), local=True)
    x = facts.only_stream()
    if along != x.axis:
        value = facts.array(1, "'indices'")
        assert value is not None
        axis = x.axis if x.axis < along else x.axis + value.ndim - 1
        return Lowering((facts.out(x, axis),), copied(node, facts), local=True)
    if not isinstance(indices, TimeConstant):
        facts.refuse("picks frames by indices that depend on data", "a call has only its own frames; use fixed indices")
    return gathered_frames(node, facts, x, indices.values)


def gathered_frames(node: Node, facts: Facts, x: Stream, values: Sequence[Array]) -> Lowering:
    """The lowering for frames picked by indices: the first frame, evenly spaced frames up to the end, or windows."""
    if all(v.ndim == 2 and v.size for v in values):
        return framed(node, facts, x, values)
    if len(facts.lengths) > 1 and all(v.size == 1 and v.ndim < 2 and not v.any() for v in values):
        if is_held(x):
            return first_frame(x, keeps_axis=values[0].ndim == 1)
        if x.delay <= 0:
            facts.refuse(f"reads the first frame of a tensor of type {x.dtype}", "cast it to float or int32")
        facts.refuse(
            f"reads the first frame of a tensor that is delayed by {x.delay} frames",
            "read the first frame before the ops that look ahead",
        )
    if all(v.size == 1 for v in values):
        facts.refuse(
            "picks a single frame by its index",
            "return every frame and let the client pick one; if the export unrolled a loop over time, script the loop",
        )
    if any(v.ndim != 1 or not v.size for v in values):
        facts.refuse("picks frames by indices that are neither a list nor a table of windows", "use a list of indices")
    steps = {int(step) for v in values for step in np.diff(v)}
    starts = {int(v[0]) for v in values}
    if len(steps) != 1 or len(starts) != 1 or min(steps) < 1 or min(starts) < 0:
        windows = picked_windows(node, facts, x, values)
        if windows is not None:
            return windows
        facts.refuse("picks frames whose indices are not evenly spaced from the start", "use a Slice")
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
    """The lowering to overlapping windows, as ``unfold`` makes them.

    The indices are [frames, kernel] or [kernel, frames], evenly spaced along both axes.

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
        facts.refuse(
            "picks frames by a table of indices that is not a sliding window",
            "use evenly spaced windows, as unfold does",
        )
    extent = (kernel - 1) * dilation + 1
    frames_axis, taps_axis = (x.axis, x.axis + 1) if frames_first else (x.axis + 1, x.axis)
    facts.claim_kept(x.axis, start, {frames_axis: stride, taps_axis: dilation})
    w = window_over(facts, x, Window(extent, stride, -start, 0, (1, stride - extent - start, stride)))
    frames = facts.frames(x) // stride
    inner = stride * np.arange(frames)[:, None] + dilation * np.arange(kernel)[None]
    indices = inner if frames_first else inner.T

    def framed(b: Builder, chunk: Tensor, places: Array) -> list[Tensor | None]:
        return [b.one("Gather", chunk, b.constant(places.astype(np.int64)), axis=x.axis, hint="framed")]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return framed(b, w.chunk(b, inputs[0], "conv_context"), indices)

    first = indices.take([0], axis=count_axis)
    return Lowering((windowed_fact(facts, w, x.axis + count_axis, lambda b, chunk: framed(b, chunk, first)),), emit)
