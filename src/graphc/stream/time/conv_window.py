"""The window of a convolution or a pool on the time axis: kernel, stride, dilation and padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphc.ir.graph import Node, with_attrs
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import Array
from graphc.stream.lowering.node_facts import Facts
from graphc.stream.time.window import Window


def spatial_window(
    node: Node, facts: Facts, x: Stream, kernel: Sequence[int], fill: float | Array
) -> tuple[Window, int]:
    """The node's window on the time axis, and the index of the time axis among the spatial axes.

    Refuses time on the channel axis, and padding that depends on the total length.
    """
    spatial = x.axis - 2
    if spatial < 0:
        facts.refuse("the stream's time axis is its channel axis", "transpose time to a spatial axis")
    count = len(kernel)
    stride = int(node.attrs.get("strides", [1] * count)[spatial])
    dilation = int(node.attrs.get("dilations", [1] * count)[spatial])
    extent = (int(kernel[spatial]) - 1) * dilation + 1
    auto = str(node.attrs.get("auto_pad", "NOTSET"))
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        before, after, length = same_padding(facts, auto, x, spatial, extent, stride)
    elif auto == "VALID":
        before, after, length = 0, 0, (1, stride - extent, stride)
    else:
        pads = [int(p) for p in node.attrs.get("pads", [0] * 2 * count)]
        before, after = pads[spatial], pads[spatial + count]
        length = (1, before + after - extent + stride, stride)
        if node.attrs.get("ceil_mode", 0) and stride > 1:
            length = rounded_up(facts, x, before, after, extent, stride)
            after = max(after, extent)
    return Window(extent, stride, before, after, length, fill), spatial


def rounded_up(facts: Facts, x: Stream, before: int, after: int, extent: int, stride: int) -> tuple[int, int, int]:
    """The step (mul, add, div) from the number of frames T to the number of windows, with ceil_mode.

    ONNX drops a window that would start in the padding after the last frame. The number of windows is the lesser of
    ceil((T + before + after - extent) / stride) + 1 and ceil((T + before) / stride).
    """
    step = (1, before + stride - 1 + min(after + stride - extent, 0), stride)
    length = x.length.then(*step)
    if any(s[x.axis] != length(n) for n, s in zip(facts.lengths, facts.output_shapes[0], strict=True)):
        facts.refuse(
            "its ceil_mode gives a number of frames that no known formula of the length gives",
            "export it without ceil_mode",
        )
    return step


def same_padding(
    facts: Facts, auto: str, x: Stream, spatial: int, extent: int, stride: int
) -> tuple[int, int, tuple[int, int, int]]:
    """The padding before and after the T frames, and the step (mul, add, div) from T to ceil(T / stride) frames.

    Refuses padding before the first frame that depends on T.
    """
    frames = range(extent + stride, extent + 2 * stride)
    if len(facts.lengths) == 1:
        only = facts.input_shapes[0][0][x.axis]
        frames = range(only, only + 1)
    splits = set()
    for count in frames:
        total = max((-(-count // stride) - 1) * stride + extent - count, 0)
        small = total // 2
        splits.add((small, total - small) if auto == "SAME_UPPER" else (total - small, small))
    befores = {before for before, _ in splits}
    if len(befores) > 1:
        facts.refuse(
            f"auto_pad={auto} with stride {stride} pads the start by {min(befores)} or {max(befores)} frames, "
            "which depends on the length of the whole stream",
            "export with explicit pads",
        )
    return befores.pop(), max(after for _, after in splits), (1, stride - 1, stride)


def without_padding(node: Node, facts: Facts, spatial: int, count: int) -> dict[str, Any]:
    """The node's attributes with no padding on the time axis; padding on other axes is made explicit."""
    auto = str(node.attrs.get("auto_pad", "NOTSET"))
    pads = [int(p) for p in node.attrs.get("pads", [0] * 2 * count)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        pads = explicit_pads(node, facts, auto, count)
    elif auto == "VALID":
        pads = [0] * 2 * count
    pads[spatial] = pads[spatial + count] = 0
    return with_attrs(node, auto_pad=None, pads=pads)


def explicit_pads(node: Node, facts: Facts, auto: str, count: int) -> list[int]:
    weights = next(
        (s[0][2:] for i, s in enumerate(facts.input_shapes) if i in (1, 3) and s and len(s[0]) == count + 2), None
    )
    kernel = [int(k) for k in node.attrs.get("kernel_shape", weights or [1] * count)]
    strides = [int(s) for s in node.attrs.get("strides", [1] * count)]
    dilations = [int(d) for d in node.attrs.get("dilations", [1] * count)]
    sizes = facts.input_shapes[0][0][2:]
    pads = [0] * 2 * count
    for axis in range(count):
        extent = (kernel[axis] - 1) * dilations[axis] + 1
        total = max((-(-sizes[axis] // strides[axis]) - 1) * strides[axis] + extent - sizes[axis], 0)
        small = total // 2
        pads[axis], pads[axis + count] = (small, total - small) if auto == "SAME_UPPER" else (total - small, small)
    return pads
