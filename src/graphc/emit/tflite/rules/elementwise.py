"""Ops that work entry by entry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from graphc.emit.tflite.emitter import Emitter, entries
from graphc.emit.tflite.flat_model import TYPES
from graphc.emit.tflite.rule import Node, rule
from graphc.emit.tflite.value import Value, known

SAME = {
    "Abs": "ABS",
    "Ceil": "CEIL",
    "Cos": "COS",
    "Exp": "EXP",
    "Floor": "FLOOR",
    "HardSwish": "HARD_SWISH",
    "Log": "LOG",
    "Neg": "NEG",
    "Not": "LOGICAL_NOT",
    "Relu": "RELU",
    "Round": "ROUND",
    "Sigmoid": "LOGISTIC",
    "Sign": "SIGN",
    "Sin": "SIN",
    "Sqrt": "SQRT",
    "Tanh": "TANH",
}
ARITHMETIC = {"Add": "ADD", "Sub": "SUB", "Mul": "MUL"}
LOGIC = {
    "And": "LOGICAL_AND",
    "Or": "LOGICAL_OR",
    "Xor": "NOT_EQUAL",
    "Equal": "EQUAL",
    "Less": "LESS",
    "LessOrEqual": "LESS_EQUAL",
    "Greater": "GREATER",
    "GreaterOrEqual": "GREATER_EQUAL",
}
VERY_LOW = -1e30
FOLDED = {"Max": "MAXIMUM", "Min": "MINIMUM", "Sum": "ADD"}


def unary(e: Emitter, op: str, x: Value, **options: float | bool) -> Value:
    made = e.op(op, [e.stored(x, x.order)], x.stored_shape, x.dtype, **options)
    return e.value(made, x.shape, x.dtype, x.order)


@rule(*SAME)
def same(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    if node.op == "Round":
        check_float(node, x)
    return [unary(e, SAME[node.op], x)]


@rule(*ARITHMETIC)
def arithmetic(e: Emitter, node: Node) -> Sequence[Value]:
    return [e.elementwise(ARITHMETIC[node.op], [node.value(0), node.value(1)])]


@rule("Pow")
def power(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    check_float(node, x)
    return [e.elementwise("POW", [x, cast_to(e, node.value(1), np.float32)])]


@rule("Div")
def div(e: Emitter, node: Node) -> Sequence[Value]:
    """Integers are divided as in C: both runtimes truncate the quotient towards zero."""
    x, y = node.value(0), node.value(1)
    if x.dtype != np.int64:
        return [e.elementwise("DIV", [x, y])]
    rest = e.elementwise("FLOOR_MOD", [x, y])
    return [exact_quotient(e, node, e.elementwise("SUB", [x, rest]), y)]


def exact_quotient(e: Emitter, node: Node, multiple: Value, y: Value) -> Value:
    narrow = [cast_to(e, v, np.int32) for v in (multiple, y)]
    return cast_to(e, e.elementwise("DIV", narrow), np.int64)


@rule("Mod")
def mod(e: Emitter, node: Node) -> Sequence[Value]:
    if node.attributes.get("fmod", 0):
        raise node.refused("it has fmod: 1, which LiteRT lacks")
    return [e.elementwise("FLOOR_MOD", [node.value(0), node.value(1)])]


@rule(*LOGIC)
def logic(e: Emitter, node: Node) -> Sequence[Value]:
    return [e.elementwise(LOGIC[node.op], [node.value(0), node.value(1)], bool)]


@rule(*FOLDED)
def folded(e: Emitter, node: Node) -> Sequence[Value]:
    total = node.value(0)
    for index in range(1, len(node.inputs)):
        total = e.elementwise(FOLDED[node.op], [total, node.value(index)])
    return [total]


@rule("Mean")
def mean(e: Emitter, node: Node) -> Sequence[Value]:
    total = node.value(0)
    for index in range(1, len(node.inputs)):
        total = e.elementwise("ADD", [total, node.value(index)])
    return [e.elementwise("MUL", [total, e.number(1 / len(node.inputs), total)])]


@rule("Where")
def where(e: Emitter, node: Node) -> Sequence[Value]:
    """A mask over scores becomes x·1 + 0 where x is kept and x·0 + fill elsewhere: LiteRT has fast kernels for that."""
    condition, one, other = node.value(0), node.value(1), node.value(2)
    for x, fill, finite, kept in ((one, other, node.finite[1], True), (other, one, node.finite[2], False)):
        computed = x.constant is None and condition.constant is None
        masks = computed and fill.constant is not None and condition.shape != x.shape
        if masks and finite and x.dtype == np.float32:
            return [masked(e, condition, x, fill, kept)]
    return [e.elementwise("SELECT_V2", [condition, one, other])]


def masked(e: Emitter, condition: Value, x: Value, fill: Value, kept: bool) -> Value:
    """x (finite) where the condition equals ``kept``, ``fill`` elsewhere. x is not zeroed under a very low fill."""
    low = bool((entries(fill) <= VERY_LOW).all())
    factor = None if low else chosen(e, condition, e.number(1.0), e.number(0.0), kept)
    summand = chosen(e, condition, e.number(0.0), fill, kept)
    return e.elementwise("ADD", [x if factor is None else e.elementwise("MUL", [x, factor]), summand])


def chosen(e: Emitter, condition: Value, one: Value, other: Value, kept: bool) -> Value:
    """``one`` where the condition equals ``kept``, ``other`` elsewhere. Layers that share a mask share the result."""
    key = (condition.tensor, condition.order, *(entries(v).tobytes() for v in (one, other)), kept)
    if key not in e.masks:
        e.masks[key] = e.elementwise("SELECT_V2", [condition, *((one, other) if kept else (other, one))])
    return e.masks[key]


@rule("Identity", "Dropout")
def identity(e: Emitter, node: Node) -> Sequence[Value]:
    training = node.array(2, "training mode")
    if len(node.outputs) > 1:
        raise node.refused("it also returns its mask", "export the model for inference")
    if training is not None and training.any():
        raise node.refused("it is in training mode", "export the model for inference")
    return [node.value(0)]


@rule("Cast")
def cast(e: Emitter, node: Node) -> Sequence[Value]:
    kind = onnx.helper.tensor_dtype_to_np_dtype(node.attributes["to"])
    return [cast_to(e, node.value(0), np.dtype(np.float32) if kind == np.float16 else kind)]


def cast_to(e: Emitter, x: Value, dtype: np.dtype[np.generic] | type) -> Value:
    kind = np.dtype(dtype)
    if kind == x.dtype:
        return x
    if x.constant is not None:
        return known(x.constant.astype(kind))
    types = e.flat.schema.TensorType
    options = {"inDataType": getattr(types, TYPES[str(x.dtype)]), "outDataType": getattr(types, TYPES[str(kind)])}
    made = e.op("CAST", [e.stored(x, x.order)], x.stored_shape, kind, **options)
    return e.value(made, x.shape, kind, x.order)


@rule("Reciprocal")
def reciprocal(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    return [e.elementwise("DIV", [e.number(1.0, x), x])]


@rule("IsNaN")
def is_nan(e: Emitter, node: Node) -> Sequence[Value]:
    """Tests whether x != x, which only holds for NaN."""
    x = node.value(0)
    return [e.elementwise("NOT_EQUAL", [x, x], bool)]


@rule("Clip")
def clip(e: Emitter, node: Node) -> Sequence[Value]:
    x = node.value(0)
    for index, name, op in ((1, "min", "MAXIMUM"), (2, "max", "MINIMUM")):
        bound = e.number(node.attributes[name], x) if name in node.attributes else node.present(index)
        if bound is not None:
            x = e.elementwise(op, [x, bound])
    return [x]


@rule("Erf")
def erf(e: Emitter, node: Node) -> Sequence[Value]:
    """LiteRT has no erf. The formula is Abramowitz and Stegun 7.1.26, whose error is below 1.5e-7."""
    x = node.value(0)
    check_float(node, x)
    size = unary(e, "ABS", x)
    weight = e.elementwise("ADD", [e.elementwise("MUL", [size, e.number(0.3275911)]), e.number(1.0)])
    t = e.elementwise("DIV", [e.number(1.0), weight])
    total = e.elementwise("MUL", [t, e.number(1.061405429)])
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        total = e.elementwise("MUL", [e.elementwise("ADD", [total, e.number(factor)]), t])
    decay = unary(e, "EXP", unary(e, "NEG", e.elementwise("MUL", [x, x])))
    rest = e.elementwise("SUB", [e.number(1.0), e.elementwise("MUL", [total, decay])])
    return [e.elementwise("MUL", [unary(e, "SIGN", x), rest])]


def check_float(node: Node, x: Value) -> None:
    if x.dtype != np.float32:
        raise node.refused(f"LiteRT runs it in float32 only, and its input is {x.dtype}", "export the model in float32")
