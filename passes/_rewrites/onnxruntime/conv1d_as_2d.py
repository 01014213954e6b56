"""Turns 1-D convolutions into 2-D convolutions, which onnxruntime runs faster."""

from __future__ import annotations

import math
from typing import Any

from graphc.api import Constant, Node, OpSet, Rewrite, Scene, Tensor, register_rewrite, weight_of

SMALLEST_WEIGHT = 12_000


@register_rewrite
class Conv1dAs2d(Rewrite):
    """A 1-D Conv becomes a 2-D Conv whose first spatial axis has size 1: onnxruntime's 2-D kernels are several times
    faster (docs/fusion.md has the measurement).
    """

    name = "conv1d_as_2d"
    stage = "target"

    @classmethod
    def suits(cls, target: OpSet) -> bool:
        return target.gains.conv_over_two_axes

    def apply(self, scene: Scene) -> int:
        count = 0
        for conv in scene.nodes("Conv"):
            shape, out = scene.fixed(conv.inputs[0]), scene.fixed(conv.outputs[0])
            if shape is None or out is None or len(shape) != 3 or not worth_it(conv):
                continue
            weight = weight_of(conv.inputs[1])
            if weight is None or str(conv.attrs.get("auto_pad", "NOTSET")) not in ("NOTSET", "VALID"):
                continue
            base = conv.name or conv.outputs[0].name
            attrs = flat(dict(conv.attrs))
            source = channels_last(scene, conv.inputs[0])
            if source is not None:
                rows = scene.reshaped(source, [shape[0], 1, shape[2], shape[1]], base)
                wide = scene.transposed(rows, [0, 3, 1, 2], base)
            else:
                wide = scene.reshaped(conv.inputs[0], [shape[0], shape[1], 1, shape[2]], base)
            kernel = scene.constant(f"{base}/flat", weight[:, :, None, :])
            made = scene.add(
                "Conv",
                [wide, kernel, *conv.inputs[2:]],
                attrs,
                base=base,
                shapes=[[out[0], out[1], 1, out[2]]],
                dtype=scene.dtype(conv.inputs[0]),
            )[0]
            if source is not None:
                rows = scene.transposed(made, [0, 2, 3, 1], base)
                flat_rows = scene.reshaped(rows, [out[0], out[2], out[1]], base)
                scene.replace(conv.outputs[0], scene.transposed(flat_rows, [0, 2, 1], base))
            else:
                scene.replace(conv.outputs[0], scene.reshaped(made, out, base))
            count += 1
        return count


def channels_last(scene: Scene, tensor: Tensor) -> Tensor | None:
    """The tensor with channels last from which a Transpose made the input of a convolution; None if there is none.

    A Reshape may follow that Transpose. onnxruntime merges a Transpose of four axes into the convolution next to it.
    """
    shape = scene.fixed(tensor)
    maker = scene.maker(tensor, "Reshape")
    inner = tensor if maker is None else maker.inputs[0]
    turn, before = scene.maker(inner, "Transpose"), scene.fixed(inner)
    if turn is None or shape is None or before is None or shape[0] != 1:
        return None
    swapped = [*range(len(before) - 2), len(before) - 1, len(before) - 2]
    alike = before[-2:] == shape[-2:] and math.prod(before[:-2]) == 1
    source: Tensor = turn.inputs[0]
    return source if alike and list(turn.attrs.get("perm", [])) == swapped else None


def worth_it(conv: Node) -> bool:
    """Whether the 2-D kernel is faster: always for depthwise convolutions, for others only if the weight is large."""
    weight = conv.inputs[1]
    if not isinstance(weight, Constant):
        return False
    depthwise = int(conv.attrs.get("group", 1)) > 1 and weight.shape[1] == 1
    return bool(depthwise or (math.prod(weight.shape) >= SMALLEST_WEIGHT and weight.shape[-1] > 1))


def flat(attrs: dict[str, Any]) -> dict[str, Any]:
    """Changes the attributes of a 1-D Conv to those of a 2-D Conv whose first spatial axis has size 1."""
    for name in ("dilations", "strides", "kernel_shape"):
        if name in attrs:
            attrs[name] = [1, *attrs[name]]
    if "pads" in attrs:
        before, after = attrs["pads"]
        attrs["pads"] = [0, before, 0, after]
    attrs.pop("auto_pad", None)
    return attrs
