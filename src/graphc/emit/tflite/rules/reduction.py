"""Sums and means over axes, and the normalisations that are built from them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from graphc.emit.tflite.emitter import Emitter, entries
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.rules.elementwise import unary
from graphc.emit.tflite.value import Value, known

REDUCERS = {
    "ReduceMean": "MEAN",
    "ReduceSum": "SUM",
    "ReduceMax": "REDUCE_MAX",
    "ReduceMin": "REDUCE_MIN",
    "ReduceProd": "REDUCE_PROD",
}
OF_BOOLEANS = {"ReduceMax": "REDUCE_ANY", "ReduceMin": "REDUCE_ALL"}


def reduced(e: Emitter, op: str, x: Value, axes: Sequence[int], keep: bool = True) -> Value:
    gone = {a % x.rank for a in axes}
    places = e.constant(sorted(x.stored_axis(a) for a in gone), np.int32)
    shape = [1 if a in gone else size for a, size in enumerate(x.shape)]
    if keep:
        made = e.op(op, [e.stored(x, x.order), places], [shape[a] for a in x.order], x.dtype, keepDims=True)
        return e.value(made, shape, x.dtype, x.order)
    kept = [a for a in range(x.rank) if a not in gone]
    order = tuple(kept.index(a) for a in x.order if a in kept)
    sizes = [shape[a] for a in kept]
    made = e.op(op, [e.stored(x, x.order), places], [sizes[a] for a in order], x.dtype, keepDims=False)
    return e.value(made, sizes, x.dtype, order)


def axes_of(node: Node) -> list[int] | None:
    axes = node.numbers(1, "axes")
    if axes:
        return axes
    return None if node.attributes.get("noop_with_empty_axes", 0) else list(range(node.value(0).rank))


@rule(*REDUCERS)
def reduce_(e: Emitter, node: Node) -> Sequence[Value]:
    x, axes = node.value(0), axes_of(node)
    op = OF_BOOLEANS[node.op] if x.dtype == np.bool_ else REDUCERS[node.op]
    return [x if axes is None else reduced(e, op, x, axes, bool(node.attributes.get("keepdims", 1)))]


@rule("ReduceSumSquare", "ReduceL2", "ReduceL1", "ReduceLogSum", "ReduceLogSumExp")
def reduce_made(e: Emitter, node: Node) -> Sequence[Value]:
    x, axes, keep = node.value(0), axes_of(node), bool(node.attributes.get("keepdims", 1))
    if axes is None:
        raise node.refused(
            "it has noop_with_empty_axes and no axes, which graphc cannot convert", "export it with axes"
        )
    if node.op == "ReduceLogSumExp":
        top = reduced(e, "REDUCE_MAX", x, axes)
        total = reduced(e, "SUM", unary(e, "EXP", e.elementwise("SUB", [x, top])), axes, keep)
        return [e.elementwise("ADD", [unary(e, "LOG", total), reduced(e, "REDUCE_MAX", x, axes, keep)])]
    inside = {"ReduceL1": lambda: unary(e, "ABS", x), "ReduceLogSum": lambda: x}
    total = reduced(e, "SUM", inside.get(node.op, lambda: e.elementwise("MUL", [x, x]))(), axes, keep)
    outside = {"ReduceL2": "SQRT", "ReduceLogSum": "LOG"}.get(node.op)
    return [total if outside is None else unary(e, outside, total)]


@rule("ArgMax", "ArgMin")
def arg(e: Emitter, node: Node) -> Sequence[Value]:
    """Returns the first of equal entries, as ONNX does unless the node asks for the last."""
    x = node.value(0)
    axis = node.attributes.get("axis", 0) % x.rank
    if node.attributes.get("select_last_index", 0):
        raise node.refused("it asks for the last of equal entries (select_last_index), and LiteRT returns the first")
    shape = [size for a, size in enumerate(x.shape) if a != axis]
    op = "ARG_MAX" if node.op == "ArgMax" else "ARG_MIN"
    kind = e.flat.schema.TensorType.INT64
    made = e.value(
        e.op(op, [e.stored(x), e.constant(axis, np.int32)], shape, np.int64, outputType=kind), shape, np.int64
    )
    if node.attributes.get("keepdims", 1):
        return [e.given(made, [1 if a == axis else size for a, size in enumerate(x.shape)])]
    return [made]


@rule("CumSum")
def cumsum(e: Emitter, node: Node) -> Sequence[Value]:
    x, axis = node.value(0), node.array(1, "axis")
    assert axis is not None
    options = {n: bool(node.attributes.get(n, 0)) for n in ("exclusive", "reverse")}
    inputs = [e.stored(x, x.order), e.constant(x.stored_axis(int(axis.reshape(-1)[0])), np.int32)]
    return [e.value(e.op("CUMSUM", inputs, x.stored_shape, x.dtype, **options), x.shape, x.dtype, x.order)]


def normal(e: Emitter, x: Value, axes: Sequence[int], epsilon: float) -> tuple[Value, Value, Value]:
    """(x − mean) / √(variance + ε) over axes, the mean, and 1 / √(variance + ε)."""
    middle = reduced(e, "MEAN", x, axes)
    made, scale = level(e, e.elementwise("SUB", [x, middle]), axes, epsilon)
    return made, middle, scale


def level(e: Emitter, x: Value, axes: Sequence[int], epsilon: float) -> tuple[Value, Value]:
    """x divided by √(mean square + ε), and 1 / √(mean square + ε)."""
    spread = reduced(e, "MEAN", e.elementwise("MUL", [x, x]), axes)
    scale = unary(e, "RSQRT", e.elementwise("ADD", [spread, e.number(epsilon)]))
    return e.elementwise("MUL", [x, scale]), scale


def scaled(e: Emitter, x: Value, scale: Value | None, bias: Value | None) -> Value:
    if scale is not None and not (scale.constant is not None and (entries(scale) == 1).all()):
        x = e.elementwise("MUL", [x, scale])
    if bias is not None and not (bias.constant is not None and not entries(bias).any()):
        x = e.elementwise("ADD", [x, bias])
    return x


@rule("LayerNormalization")
def layer_normalization(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    axes = range(node.attributes.get("axis", -1) % x.rank, x.rank)
    made, *statistics = normal(e, x, list(axes), node.attributes.get("epsilon", 1e-5))
    return [scaled(e, made, node.value(1), node.present(2)), *statistics]


@rule("RMSNormalization")
def rms_normalization(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    axes = range(node.attributes.get("axis", -1) % x.rank, x.rank)
    made, _ = level(e, x, list(axes), node.attributes.get("epsilon", 1e-5))
    return [scaled(e, made, node.value(1), None)]


def by_channel(e: Emitter, x: Value, rank: int) -> Value:
    """One number per channel, shaped to be broadcast over (batch, channel, …)."""
    return e.given(x, (x.shape[0], *[1] * (rank - 2)))


@rule("InstanceNormalization")
def instance_normalization(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    made, *_ = normal(e, x, list(range(2, x.rank)), node.attributes.get("epsilon", 1e-5))
    return [scaled(e, made, by_channel(e, node.value(1), x.rank), by_channel(e, node.value(2), x.rank))]


@rule("GroupNormalization")
def group_normalization(e: Emitter, node: Node) -> Sequence[Value]:
    x, groups = node.value(0), int(node.attributes["num_groups"])
    parts = e.given(x, (x.shape[0], groups, math.prod(x.shape[1:]) // groups))
    made = e.given(normal(e, parts, [2], node.attributes.get("epsilon", 1e-5))[0], x.shape)
    scale, bias = node.value(1), node.value(2)
    if scale.shape[0] != x.shape[1]:
        raise node.refused(
            "its scale is per group, as in opsets 18 to 20, not per channel", "export with opset 21 or later"
        )
    return [scaled(e, made, by_channel(e, scale, x.rank), by_channel(e, bias, x.rank))]


@rule("BatchNormalization")
def batch_normalization(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    if node.attributes.get("training_mode", 0):
        raise node.refused("it is in training mode", "export the model for inference")
    parts = [node.array(i, "statistics") for i in range(1, 5)]
    scale, bias, mean, variance = (p.astype(np.float64) for p in parts if p is not None)
    factor = scale / np.sqrt(variance + node.attributes.get("epsilon", 1e-5))
    shape = (-1, *[1] * (x.rank - 2))
    numbers = [known(v.reshape(shape).astype(np.float32)) for v in (factor, bias - mean * factor)]
    return [scaled(e, x, *numbers)]


@rule("LpNormalization")
def lp_normalization(e: Emitter, node: Node) -> Sequence[Value]:
    x, axis = node.value(0), node.attributes.get("axis", -1)
    if node.attributes.get("p", 2) == 1:
        return [e.elementwise("DIV", [x, reduced(e, "SUM", unary(e, "ABS", x), [axis])])]
    total = reduced(e, "SUM", e.elementwise("MUL", [x, x]), [axis])
    least = e.number(float(np.finfo(np.float32).tiny))
    return [e.elementwise("DIV", [x, e.elementwise("MAXIMUM", [unary(e, "SQRT", total), least])])]
