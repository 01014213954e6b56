"""Convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as nn

from graphc.emit.onnx_node import spatial
from graphc.emit.torch_program.rule import Node, Tensor, rule

CONV = {1: nn.conv1d, 2: nn.conv2d, 3: nn.conv3d}
TRANSPOSED = {1: nn.conv_transpose1d, 2: nn.conv_transpose2d, 3: nn.conv_transpose3d}
MAX = {1: nn.max_pool1d, 2: nn.max_pool2d, 3: nn.max_pool3d}
MEAN = {1: nn.avg_pool1d, 2: nn.avg_pool2d, 3: nn.avg_pool3d}


def padded(x: Tensor, before: Sequence[int], behind: Sequence[int], fill: float = 0.0) -> Tensor:
    if not any((*before, *behind)):
        return x
    return nn.pad(x, [n for ends in reversed(list(zip(before, behind, strict=True))) for n in ends], value=fill)


@rule("Conv")
def conv(node: Node, x: Sequence[Tensor]) -> Tensor:
    strides, dilations, before, behind = spatial(node, x[0].shape[2:], x[1].shape[2:])
    made, pads = (x[0], before) if before == behind else (padded(x[0], before, behind), [0] * len(before))
    bias = x[2] if node.has(2) else None
    return CONV[x[0].ndim - 2](made, x[1], bias, strides, pads, dilations, node.attributes.get("group", 1))


@rule("ConvTranspose")
def conv_transpose(node: Node, x: Sequence[Tensor]) -> Tensor:
    if "output_shape" in node.attributes or b"SAME" in node.attributes.get("auto_pad", b""):
        raise node.refused("its pads depend on its output's shape", "export it with explicit pads")
    strides, dilations, before, behind = spatial(node, x[0].shape[2:], x[1].shape[2:])
    more = [int(n) for n in node.attributes.get("output_padding", [0] * len(strides))]
    bias = x[2] if node.has(2) else None
    same = before == behind
    made = TRANSPOSED[x[0].ndim - 2](
        x[0],
        x[1],
        bias,
        strides,
        before if same else [0] * len(before),
        more if same else [0] * len(before),
        node.attributes.get("group", 1),
        dilations,
    )
    if same:
        return made
    for i, (first, end, extra) in enumerate(zip(before, behind, more, strict=True)):
        if extra > end:
            raise node.refused(
                "its output_padding exceeds its end pads, which differ from its start pads",
                "export it with symmetric pads",
            )
        made = made.narrow(2 + i, first, made.shape[2 + i] - first - end + extra)
    return made


@rule("MaxPool", "AveragePool")
def pool(node: Node, x: Sequence[Tensor]) -> Tensor:
    if len([o for o in node.outputs if o]) > 1:
        raise node.refused("it also returns the indices of the maxima", "export it without them")
    if node.attributes.get("ceil_mode", 0):
        raise node.refused("it has ceil_mode", "export it without ceil_mode")
    kernel = [int(n) for n in node.attributes["kernel_shape"]]
    strides, dilations, before, behind = spatial(node, x[0].shape[2:], kernel)
    count = x[0].ndim - 2
    if node.op == "MaxPool":
        wide = padded(x[0], before, behind, float("-inf"))
        return MAX[count](wide, kernel, strides, 0, dilations)
    if any(d != 1 for d in dilations):
        raise node.refused("it is an average pool with dilation, which torch lacks")
    made = MEAN[count](padded(x[0], before, behind), kernel, strides)
    if not any((*before, *behind)) or node.attributes.get("count_include_pad", 0):
        return made
    real = MEAN[count](padded(torch.ones_like(x[0][:1, :1]), before, behind), kernel, strides)
    return made / real
