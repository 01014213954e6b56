"""Upsampling and downsampling by whole factors: each frame repeated, or every n-th frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import onnx

from graphc.ir.graph import Constant, Graph, Node, Tensor, Variable
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.builder import Builder
from graphc.stream.lowering.lowering import Lowering
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.lowering.rule import stream_rule
from graphc.stream.symbolic.domain.exactness import is_power_of_two
from graphc.stream.time.frames_as_batch import each_alone
from graphc.stream.time.window import Window, window_over, windowed_fact
from graphc_runtime.errors import RunError

ROI_OPTIONAL = 13
FEW_FRAMES = 12
PROBED = 2**20
EXACT = 2**23
TRIED_LENGTHS = range(1, 2000)


@stream_rule("Resize", "Upsample")
def resize(node: Node, facts: Facts) -> Lowering:
    """Resizing a ramp shows which frames are read: each frame k times, or every k-th frame; others are refused.

    onnxruntime computes the position of an output frame in float32. The ramp has up to ``PROBED`` frames, which shows
    where that position is rounded. For a factor that is a power of two, positions are exact up to ``EXACT``.
    """
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
    held = constant_scales(node, facts, x)
    ratio = time_ratio(facts, x, None if held is None else held[x.axis])
    mode = str(node.attrs.get("mode", "nearest"))
    scales = held or scales_of_sizes(facts, x)
    scales[x.axis] = float(ratio)
    if ratio == 1:
        return frame_by_frame_resize(node, facts, x, scales)
    if mode != "nearest":
        facts.refuse(
            f"interpolates between frames (mode {mode}, factor {ratio}) in a way that is not supported",
            "use nearest, or linear by a whole factor with half_pixel (align_corners=False in torch)",
        )
    source = learnt(node, facts, x, ratio)
    if ratio.denominator == 1:
        factor = ratio.numerator
        exact = agreeing(source, np.arange(len(source)) // factor)
        if exact < FEW_FRAMES * factor:
            facts.refuse(
                "does not repeat every frame equally often with these rounding modes",
                "use nearest_mode floor and coordinate_transformation_mode asymmetric",
            )
        x0 = x if x.delay >= 0 else x.at(0)
        out = facts.out(x0, x.axis, delay=x0.delay * factor, length=x.length.then(factor, 0, 1))
        far = (out.length, exact_frames(ratio, exact, len(source)))
        return Lowering((out,), repeating(node, facts, x, x0, scales), local=True, rounded_beyond=far)
    if ratio.numerator != 1:
        facts.refuse(f"resizes time by a factor of {ratio}", "resize by a whole factor, or by one over a whole number")
    step, start = ratio.denominator, int(source[0])
    exact = agreeing(source, start + step * np.arange(len(source)))
    if exact < FEW_FRAMES:
        facts.refuse(
            "does not pick evenly spaced frames with these rounding modes",
            "use nearest_mode floor and coordinate_transformation_mode asymmetric",
        )
    picks = picked(node, facts, x, start, step, scales)
    return replace(picks, rounded_beyond=(x.length, step * exact_frames(ratio, exact, len(source))))


def agreeing(source: Array, wanted: Array) -> int:
    """The number of leading entries before the first at which the two arrays differ."""
    wrong = np.flatnonzero(source != wanted)
    return int(wrong[0]) if len(wrong) else len(source)


def exact_frames(ratio: Fraction, agree: int, seen: int) -> int:
    """The number of output frames for which the offline model surely reads the expected input frames.

    Args:
        agree: the number of leading output frames of the ramp that were as expected.
        seen: the number of output frames of the ramp.
    """
    factor = max(ratio.numerator, ratio.denominator)
    if is_power_of_two(factor) and agree == seen:
        return EXACT // ratio.denominator
    lengths = np.arange(PROBED)
    right = agreeing(sizes_by(float(ratio), lengths), lengths * ratio.numerator // ratio.denominator)
    return min(agree, right // ratio.denominator)


def sizes_by(scale: float, sizes: Array) -> Array:
    """The sizes times a float32 scale, rounded down; -1 where products in float32 and in float64 differ."""
    one = np.floor(np.float32(scale) * sizes.astype(np.float32))
    other = np.floor(np.float64(np.float32(scale)) * sizes.astype(np.float64))
    return np.where(one == other, one, -1.0).astype(np.int64)


def time_ratio(facts: Facts, x: Stream, scale: float | None) -> Fraction:
    """Output frames for each input frame, the same at every length.

    If the node has sizes, not scales, output and input sizes must have one exact ratio. Refuses any other.
    """
    if scale is not None:
        near = Fraction(round(scale)) if scale >= 1 else Fraction(1, round(1 / scale))
        if np.float32(scale) != np.float32(float(near)):
            facts.refuse(
                f"resizes time by a factor of {scale:g}", "resize by a whole factor, or by one over a whole number"
            )
        return near
    ratios = {
        Fraction(new[x.axis], old[x.axis])
        for old, new in zip(facts.input_shapes[0], facts.output_shapes[0], strict=True)
    }
    if len(ratios) != 1 or (min(ratios) < 1 and any(x.length(n) * min(ratios) % 1 for n in TRIED_LENGTHS)):
        few = ", ".join(str(r) for r in sorted(ratios)[:3])
        facts.refuse(
            f"resizes time by a factor that depends on the length: {few} …",
            "resize by a whole factor (scale_factor in torch), and cut what is too long with a Slice",
        )
    return ratios.pop()


def constant_scales(node: Node, facts: Facts, x: Stream) -> list[float] | None:
    """The factors of all axes; None if the node has sizes instead."""
    held = node.attrs.get("scales")
    index = 1 if node.op == "Upsample" or facts.opset < 11 else 2
    if held is None and len(facts) > index and facts[index] is not None:
        held = facts.array(index, "'scales'")
    if held is None or not len(held):
        return None
    scales = [1.0] * x.rank
    for axis, scale in zip(node.attrs.get("axes", range(x.rank)), held, strict=True):
        scales[axis] = float(scale)
    return scales


def scales_of_sizes(facts: Facts, x: Stream) -> list[float]:
    """The factors that give the sizes of the axes other than time."""
    scales = [1.0] * x.rank
    for axis, (old, new) in enumerate(zip(facts.input_shapes[0][0], facts.output_shapes[0][0], strict=True)):
        if axis != x.axis and old:
            scales[axis] = float(np.float32(new) / np.float32(old))
            if sizes_by(scales[axis], np.array(old)) != new:
                facts.refuse(
                    f"resizes an axis from {old} to {new}, which no float32 scale gives exactly",
                    "export scales, not sizes",
                )
    return scales


def resize_inputs(b: Builder, node: Node, chunk: Tensor | None, scales: list[float], opset: int) -> list[Tensor | None]:
    values = b.constant(np.asarray(scales, np.float32), "scales")
    if node.op == "Upsample" or opset < 11:
        return [chunk, values]
    return [chunk, None if opset >= ROI_OPTIONAL else b.constant(np.zeros(0, np.float32), "roi"), values]


def frame_by_frame_resize(node: Node, facts: Facts, x: Stream, scales: list[float]) -> Lowering:
    attrs = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        return b.copy(node, resize_inputs(b, node, inputs[0], scales, facts.opset), attrs)

    return Lowering((facts.out(x, x.axis),), emit, local=True)


def repeating(node: Node, facts: Facts, source: Stream, x: Stream, scales: list[float]):  # type: ignore[no-untyped-def]
    attrs = {k: v for k, v in node.attrs.items() if k not in ("axes", "keep_aspect_ratio_policy")}

    def emit(b: Builder, inputs: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        assert inputs[0] is not None
        chunk = b.delayed(inputs[0], source, x.delay)
        return b.copy(node, resize_inputs(b, node, chunk, scales, facts.opset), attrs)

    return emit


def picked(node: Node, facts: Facts, x: Stream, start: int, step: int, scales: list[float]) -> Lowering:
    """The lowering to every step-th frame. Refuses to resize other axes at the same time."""
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


def learnt(node: Node, facts: Facts, x: Stream, ratio: Fraction) -> Array:
    """The index of the input frame that each output frame reads, found by resizing a ramp."""
    frames = max(PROBED // ratio.numerator, 1) * ratio.denominator
    frames = min(frames, PROBED)
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
        facts.refuse(f"onnxruntime cannot run it: {err}", "use a mode that onnxruntime has for its dtype")
    return np.ravel(value["learnt"]).astype(np.int64)


@stream_rule("DepthToSpace", "SpaceToDepth")
def between_depth_and_space(node: Node, facts: Facts) -> Lowering:
    """Channels become ``blocksize`` frames, or ``blocksize`` frames become the channels of one frame."""
    source = facts.only_stream()
    block = int(node.attrs["blocksize"])
    if source.axis == 0:
        return each_alone(node, facts, source)
    if source.axis < 2:
        facts.refuse("the stream's time axis is its channel axis", "transpose time to a spatial axis")
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
