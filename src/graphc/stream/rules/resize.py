"""Upsampling and downsampling by whole factors: each frame repeated, or every n-th frame."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import onnx

from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable
from graphc.ir.import_export import export_model
from graphc.ir.runtime import Session
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.time.frames_as_batch import each_alone
from graphc.stream.time.window import Window, window_over, windowed_fact
from graphc_runtime.errors import RunError

ROI_OPTIONAL = 13
PROBED_FRAMES = 12


@stream_rule("Resize", "Upsample")
def resize(node: Node, facts: Facts) -> Lowering:
    """Resizing a ramp shows which frames are read: they must be each frame k times, or every k-th frame."""
    x = facts.only_stream()
    if (
        facts[1] is not None
        and node.op == "Resize"
        and len(facts) > 1
        and facts.input_shapes[1]
        and facts.input_shapes[1][0] not in ((), (0,))
        and node.attrs.get("coordinate_transformation_mode") == "tf_crop_and_resize"
    ):
        facts.refuse("crops while it resizes", "slice, then resize")
    ratio = time_ratio(facts, x)
    mode = str(node.attrs.get("mode", "nearest"))
    scales = [
        Fraction(new, old) if old else Fraction(1)
        for old, new in zip(facts.input_shapes[0][0], facts.output_shapes[0][0], strict=True)
    ]
    scales[x.axis] = ratio
    if ratio == 1:
        return frame_by_frame_resize(node, facts, x, scales)
    if mode != "nearest":
        facts.refuse(
            f"interpolates between frames ({mode}) by a factor of {ratio}, or between the ends of the utterance",
            "use nearest, or linear by a whole factor with half_pixel (align_corners=False in torch)",
        )
    source = learnt(node, facts, x, ratio)
    if ratio.denominator == 1:
        factor = ratio.numerator
        if source != [o // factor for o in range(len(source))]:
            facts.refuse(
                "does not repeat each frame alike (nearest with these rounding modes)",
                "use the asymmetric mode with floor",
            )
        x0 = x if x.delay >= 0 else x.at(0)
        out = facts.out(x0, x.axis, delay=x0.delay * factor, length=x.length.then(factor, 0, 1))
        return Lowering((out,), repeating(node, facts, x, x0, scales), local=True)
    if ratio.numerator != 1:
        facts.refuse(f"changes the rate by {ratio}", "resize by a whole factor")
    step = ratio.denominator
    start = source[0]
    if source != [start + o * step for o in range(len(source))]:
        facts.refuse(
            "does not pick evenly spaced frames with these rounding modes",
            "use nearest_mode floor and coordinate_transformation_mode asymmetric",
        )
    return picked(node, facts, x, start, step, scales)


def time_ratio(facts: Facts, x: Stream) -> Fraction:
    """Output frames for each input frame, the same at every length."""
    ratios = {
        Fraction(new[x.axis], old[x.axis])
        for old, new in zip(facts.input_shapes[0], facts.output_shapes[0], strict=True)
    }
    whole = {r if r >= 1 else Fraction(1, round(1 / r)) for r in ratios}
    if len(whole) != 1:
        few = ", ".join(str(r) for r in sorted(ratios)[:3])
        facts.refuse(
            f"resizes time by a factor that depends on the length, as to the size of another stream: {few} …",
            "resize by a whole factor (scale_factor in torch), and cut what is too long with a Slice",
        )
    return whole.pop()


def resize_inputs(
    b: Builder, node: Node, chunk: Tensor | None, scales: list[Fraction], opset: int
) -> list[Tensor | None]:
    values = b.constant(np.asarray([float(s) for s in scales], np.float32), "scales")
    if node.op == "Upsample" or opset < 11:
        return [chunk, values]
    return [chunk, None if opset >= ROI_OPTIONAL else b.constant(np.zeros(0, np.float32), "roi"), values]


def frame_by_frame_resize(node: Node, facts: Facts, x: Stream, scales: list[Fraction]) -> Lowering:
    attrs = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return b.copy(node, resize_inputs(b, node, inputs[0], scales, facts.opset), attrs)

    return Lowering((facts.out(x, x.axis),), emit, local=True)


def repeating(node: Node, facts: Facts, source: Stream, x: Stream, scales: list[Fraction]):  # type: ignore[no-untyped-def]
    attrs = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], source, x.delay)
        return b.copy(node, resize_inputs(b, node, chunk, scales, facts.opset), attrs)

    return emit


def picked(node: Node, facts: Facts, x: Stream, start: int, step: int, scales: list[Fraction]) -> Lowering:
    """Every step-th frame; other axes must keep their size."""
    if any(s != 1 for a, s in enumerate(scales) if a != x.axis):
        facts.refuse("drops frames and resizes another axis at once", "resize one axis at a time")
    window = Window(1, step, -start, 0, (1, 0, step))
    w = window_over(facts, x, window)

    def core(b: Builder, chunk: Tensor) -> Sequence[Tensor | None]:
        return [b.slice(chunk, x.axis, 0, 2**63 - 1, step, hint="strided")]

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return core(b, w.chunk(b, inputs[0], "delay_line"))

    return Lowering((windowed_fact(facts, w, x.axis, core),), emit)


def learnt(node: Node, facts: Facts, x: Stream, ratio: Fraction) -> list[int]:
    """The input frame that each output frame reads, found by resizing a ramp."""
    frames = PROBED_FRAMES * ratio.denominator
    shape = [frames if a == x.axis else 1 for a in range(x.rank)]
    ramp = np.arange(frames, dtype=np.float32).reshape(shape)
    scales = np.asarray([float(ratio) if a == x.axis else 1.0 for a in range(x.rank)], np.float32)
    inputs: list[Tensor] = [Constant("ramp", ramp), Constant("scales", scales)]
    if node.op == "Resize" and facts.opset >= 11:
        inputs.insert(1, Variable.empty() if facts.opset >= ROI_OPTIONAL else Constant("roi", np.zeros(0, np.float32)))
    attrs = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}
    out = Variable("learnt")
    graph = Graph(
        [Node(node.op, "learnt", attrs, inputs, [out])],
        [],
        [out],
        opset=facts.opset,
        import_domains=list(facts.domains),
    )
    try:
        value = Session(export_model(graph, onnx.ModelProto(ir_version=facts.ir_version)), optimize=False).run({})
    except RunError as err:
        facts.refuse(f"onnxruntime does not run it: {err}", "use a mode that onnxruntime knows for its dtype")
    return [int(v) for v in np.ravel(value["learnt"])]


@stream_rule("DepthToSpace", "SpaceToDepth")
def between_depth_and_space(node: Node, facts: Facts) -> Lowering:
    """Channels become ``blocksize`` frames, or ``blocksize`` frames become channels of one."""
    source = facts.only_stream()
    block = int(node.attrs["blocksize"])
    if source.axis == 0:
        return each_alone(node, facts, source)
    if source.axis < 2:
        facts.refuse("stream time lies on its channel axis", "transpose time to a spatial axis")
    if node.op == "DepthToSpace":
        x = source.at(max(source.delay, 0))
        out = facts.out(x, x.axis, delay=x.delay * block, length=x.length.then(block, 0, 1))
    else:
        x = source.at(-(-max(source.delay, 0) // block) * block)
        out = facts.out(x, x.axis, delay=x.delay // block, length=x.length.then(1, 0, block))

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        return b.copy(node, [b.delayed(inputs[0], source, x.delay)])

    return Lowering((out,), emit, local=True)
