"""Products of matrices, reductions over axes, and the normalisations that are built from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nn

from graphc.emit.torch_program.rule import Node, Tensor, rule

REDUCERS: dict[str, Callable[[Any, list[int], bool], Any]] = {
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keepdim=keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keepdim=keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keepdim=keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keepdim=keep),
    "ReduceSumSquare": lambda x, axes, keep: (x * x).sum(axes, keepdim=keep),
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keepdim=keep),
    "ReduceL2": lambda x, axes, keep: (x * x).sum(axes, keepdim=keep).sqrt(),
    "ReduceLogSum": lambda x, axes, keep: x.sum(axes, keepdim=keep).log(),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keepdim=keep),
}


@rule("MatMul")
def matmul(node: Node, x: Sequence[Tensor]) -> Tensor:
    """A product with a weight becomes a linear layer, which runtimes for torch recognize."""
    if node.inputs[1] in node.known and x[1].ndim == 2 and x[0].ndim > 0:
        return nn.linear(x[0], x[1].t())
    return torch.matmul(x[0], x[1])


@rule("Gemm")
def gemm(node: Node, x: Sequence[Tensor]) -> Tensor:
    a = x[0].t() if node.attributes.get("transA", 0) else x[0]
    b = x[1] if node.attributes.get("transB", 0) else x[1].t()
    alpha, beta = node.attributes.get("alpha", 1.0), node.attributes.get("beta", 1.0)
    b = b if alpha == 1.0 else b * alpha
    if not node.has(2):
        return nn.linear(a, b)
    c = x[2] if beta == 1.0 else x[2] * beta
    return nn.linear(a, b, c) if tuple(c.shape) == (b.shape[0],) else nn.linear(a, b) + c


@rule("Einsum")
def einsum(node: Node, x: Sequence[Tensor]) -> Tensor:
    return torch.einsum(node.attributes["equation"].decode().replace(" ", ""), *x)


@rule(*REDUCERS, "ReduceProd")
def reduce_(node: Node, x: Sequence[Tensor]) -> Tensor:
    axes = node.numbers(1, "axes")
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return x[0]
    places = [a % x[0].ndim for a in axes] if axes else list(range(x[0].ndim))
    keep = bool(node.attributes.get("keepdims", 1))
    if node.op != "ReduceProd":
        return REDUCERS[node.op](x[0], places, keep)
    made = x[0]
    for axis in sorted(places, reverse=True):
        made = made.prod(axis, keepdim=keep)
    return made


@rule("ArgMax", "ArgMin")
def arg(node: Node, x: Sequence[Tensor]) -> Tensor:
    if node.attributes.get("select_last_index", 0):
        raise node.refused("it asks for the last of equal entries (select_last_index), and torch returns the first")
    find = torch.argmax if node.op == "ArgMax" else torch.argmin
    return find(x[0], node.attributes.get("axis", 0), keepdim=bool(node.attributes.get("keepdims", 1)))


@rule("CumSum")
def cumsum(node: Node, x: Sequence[Tensor]) -> Tensor:
    axis = int((node.numbers(1, "axis") or [0])[0]) % x[0].ndim
    made = x[0].flip(axis) if node.attributes.get("reverse", 0) else x[0]
    total = torch.cumsum(made, axis)
    total = total - made if node.attributes.get("exclusive", 0) else total
    return total.flip(axis) if node.attributes.get("reverse", 0) else total


@rule("LayerNormalization")
def layer_normalization(node: Node, x: Sequence[Tensor]) -> Sequence[Tensor]:
    axis = node.attributes.get("axis", -1) % x[0].ndim
    shape, epsilon = x[0].shape[axis:], node.attributes.get("epsilon", 1e-5)
    bias = x[2] if node.has(2) else None
    if tuple(x[1].shape) == tuple(shape):
        made = nn.layer_norm(x[0], shape, x[1], bias if bias is None else bias.reshape(shape), epsilon)
    else:
        made = nn.layer_norm(x[0], shape, eps=epsilon) * x[1]
        made = made if bias is None else made + bias
    if not any(node.outputs[1:]):
        return [made]
    axes = list(range(axis, x[0].ndim))
    variance = x[0].var(axes, correction=0, keepdim=True)
    return [made, x[0].mean(axes, keepdim=True), torch.rsqrt(variance + epsilon)]


@rule("RMSNormalization")
def rms_normalization(node: Node, x: Sequence[Tensor]) -> Tensor:
    axes = list(range(node.attributes.get("axis", -1) % x[0].ndim, x[0].ndim))
    root = torch.rsqrt((x[0] * x[0]).mean(axes, keepdim=True) + node.attributes.get("epsilon", 1e-5))
    return x[0] * root * x[1]


@rule("InstanceNormalization")
def instance_normalization(node: Node, x: Sequence[Tensor]) -> Tensor:
    return nn.instance_norm(x[0], weight=x[1], bias=x[2], eps=node.attributes.get("epsilon", 1e-5))


@rule("GroupNormalization")
def group_normalization(node: Node, x: Sequence[Tensor]) -> Tensor:
    if x[1].shape[0] != x[0].shape[1]:
        raise node.refused(
            "its scale is per group, as in opsets 18 to 20, not per channel", "export with opset 21 or later"
        )
    return nn.group_norm(x[0], node.attributes["num_groups"], x[1], x[2], node.attributes.get("epsilon", 1e-5))


@rule("BatchNormalization")
def batch_normalization(node: Node, x: Sequence[Tensor]) -> Tensor:
    """Computes a batch normalization as one product and one sum with known numbers."""
    if node.attributes.get("training_mode", 0):
        raise node.refused("it is in training mode", "export the model for inference")
    parts = [node.array(i, "statistics") for i in range(1, 5)]
    scale, bias, mean, variance = (np.asarray(p, np.float64) for p in parts if p is not None)
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    shape = (-1, *[1] * (x[0].ndim - 2))
    times, plus = (torch.from_numpy(v.astype(np.float32).reshape(shape)) for v in (factor, bias - mean * factor))
    return x[0] * times + plus


@rule("LpNormalization")
def lp_normalization(node: Node, x: Sequence[Tensor]) -> Tensor:
    axis = node.attributes.get("axis", -1)
    total = (
        x[0].abs().sum(axis, keepdim=True) if node.attributes.get("p", 2) == 1 else x[0].norm(dim=axis, keepdim=True)
    )
    return x[0] / torch.clamp(total, min=float(np.finfo(np.float32).tiny))


@rule("GlobalAveragePool", "GlobalMaxPool")
def global_pool(node: Node, x: Sequence[Tensor]) -> Tensor:
    axes = list(range(2, x[0].ndim))
    return x[0].mean(axes, keepdim=True) if node.op == "GlobalAveragePool" else x[0].amax(axes, keepdim=True)
