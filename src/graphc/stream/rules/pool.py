"""Pooling: a window along time as in a convolution, but with another kind of padding."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import onnx

from graphc.ir.graph import Graph, Node, Tensor, Variable
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.conv_window import spatial_window, without_padding
from graphc.stream.time.frames_as_batch import each_alone
from graphc.stream.time.window import Windowed, window_over, windowed_fact

FIRST_SPATIAL = 2


def lowest(dtype: np.dtype[np.generic]) -> Array:
    """The value of MaxPool's padding, smaller than any other."""
    value = -np.inf if dtype.kind == "f" else np.iinfo(dtype.name).min
    return np.asarray(value, dtype=dtype)


@stream_rule("MaxPool")
def max_pool(node: Node, facts: Facts) -> Lowering:
    if len(node.outputs) > 1 and node.outputs[1].name:
        facts.refuse("returns indices into the whole stream", "export the model without its second output")
    x = facts.only_stream()
    return pooled(node, facts, lowest(x.dtype))


@stream_rule("LpPool")
def lp_pool(node: Node, facts: Facts) -> Lowering:
    return pooled(node, facts, 0.0)


def pooled(node: Node, facts: Facts, fill: float | Array) -> Lowering:
    """The lowering of a pool over a window.

    A dilated window may read only padding. For such a window, onnxruntime's MaxPool gives the lowest finite number.
    """
    if facts.only_stream().axis < FIRST_SPATIAL:
        return each_alone(node, facts, facts.only_stream())
    x, w, attrs = pool_window(node, facts, fill)
    may_be_empty = node.op == "MaxPool" and x.dtype.kind == "f" and max(node.attrs.get("dilations", [1])) > 1
    least = np.asarray(np.finfo(x.dtype.name).min if x.dtype.kind == "f" else 0, x.dtype)

    def core(b: Builder, chunk: Tensor) -> Sequence[Tensor | None]:
        found: Tensor = b.copy(node, [chunk], attrs)[0]
        return [b.one("Max", found, b.constant(least), hint="least")] if may_be_empty else [found]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return core(b, w.chunk(b, inputs[0], "pool_context"))

    return Lowering((windowed_fact(facts, w, x.axis, core),), emit)


def pool_window(
    node: Node, facts: Facts, fill: float | Array, settled: bool = False
) -> tuple[Stream, Windowed, dict[str, object]]:
    x = facts.only_stream()
    kernel = [int(k) for k in node.attrs["kernel_shape"]]
    window, axis = spatial_window(node, facts, x, kernel, fill)
    attrs = without_padding(node, facts, axis, len(kernel))
    attrs.pop("ceil_mode", None)
    if node.attrs.get("ceil_mode", 0) and len(kernel) > 1:
        attrs["pads"] = ceil_pads(node, attrs["pads"], facts, axis)
    return x, window_over(facts, x, window, settled), attrs


def ceil_pads(node: Node, pads: list[int], facts: Facts, time: int) -> list[int]:
    """Pads on the other axes that give the same output without ceil_mode as with it.

    Refuses a pool other than MaxPool if ceil_mode adds a window that reaches past the edge of another axis.
    """
    count = len(pads) // 2
    kernel = [int(k) for k in node.attrs["kernel_shape"]]
    strides = [int(s) for s in node.attrs.get("strides", [1] * count)]
    dilations = [int(d) for d in node.attrs.get("dilations", [1] * count)]
    for axis in range(count):
        if axis == time:
            continue
        size, out = facts.input_shapes[0][0][axis + 2], facts.output_shapes[0][0][axis + 2]
        needed = (out - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1 - size - pads[axis]
        if needed > pads[axis + count]:
            if node.op != "MaxPool":
                facts.refuse(
                    "ceil_mode adds a window past the edge of an axis other than time",
                    "pad that axis, without ceil_mode",
                )
            pads[axis + count] = needed
    return pads


@cache
def counts_missing_frames(opset: int) -> bool:
    """Whether onnxruntime divides by the whole kernel where ceil_mode adds a window with fewer frames.

    With count_include_pad, onnxruntime 1.27 does before opset 19; 1.32 always divides by the number of frames.
    """
    x, y = Variable("x", np.float32, (1, 1, 3)), Variable("y", np.float32)
    attrs = {"kernel_shape": [2], "strides": [2], "ceil_mode": 1, "count_include_pad": 1}
    graph = Graph(nodes=[Node("AveragePool", "pool", attrs, [x], [y])], inputs=[x], outputs=[y], opset=opset)
    session = Session(export_model(graph, onnx.ModelProto(ir_version=8)), optimize=False)
    return bool(np.ravel(session.run({"x": np.ones((1, 1, 3), np.float32)})["y"])[-1] < 1)


@stream_rule("AveragePool")
def average_pool(node: Node, facts: Facts) -> Lowering:
    """With count_include_pad, padding counts as zeros. Without it, the sum is divided by the number of real frames.

    Windows without real frames, beyond the ends, give 0, since NaN would pass through finite masks.
    """
    if facts.only_stream().axis < FIRST_SPATIAL:
        return each_alone(node, facts, facts.only_stream())
    x, w, attrs = pool_window(node, facts, 0.0, settled=True)
    padded = w.window.before > 0 or w.window.after > 0
    includes, partial = node.attrs.get("count_include_pad", 0), node.attrs.get("ceil_mode", 0)
    auto = str(node.attrs.get("auto_pad", "NOTSET"))
    explicit = bool(any(node.attrs.get("pads", []))) or auto != "NOTSET"
    if not padded or (includes and (not partial or (not explicit and counts_missing_frames(facts.opset)))):
        return pooled(node, facts, 0.0)
    if includes and explicit:
        facts.refuse(
            "count_include_pad counts its padding, but not what ceil_mode adds at the end",
            "pad with a Pad before it, or export it without ceil_mode",
        )
    included = {**attrs, "count_include_pad": 1}
    out = facts.out(w.x, x.axis, delay=w.delay, length=w.length)
    late = max(0, -w.delay)

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        settled = b.delayed(inputs[0], w.source, w.x.delay)
        values = b.masked(settled, w.x, 0.0, w.x.delay > 0, w.mask_after)
        sizes = [1 if a == x.axis or a < 2 else s for a, s in enumerate(x.shape)]
        ones = b.constant(np.ones(sizes, x.dtype), "ones")
        real = b.one("Mul", b.exists(w.x, w.window.reads_past_end()), ones, hint="real_frames")
        counted = Stream(
            x.axis,
            w.x.rate,
            w.x.delay,
            w.x.length,
            tuple(1 if a < 2 else -1 if a == x.axis else s for a, s in enumerate(x.shape)),
            x.dtype,
        )
        sums = b.one("AveragePool", b.cached(values, w.x, w.cache, 0.0, "pool_context"), hint="sums", **included)
        counts = b.one(
            "AveragePool", b.cached(real, counted, w.cache, 0.0, "pool_context", "count"), hint="counts", **included
        )
        least = b.constant(np.asarray(0.5 / np.prod(node.attrs["kernel_shape"]), x.dtype), "least")
        return [b.one("Div", sums, b.one("Max", counts, least, hint="some"), hint="average")]

    if late:
        facts.refuse("pads more frames at the start than its kernel covers", "make the padding smaller than the kernel")
    return Lowering((out,), emit)
