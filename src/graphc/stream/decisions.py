"""Where a node over numbers of time alone may begin to do something else: margins that are zero there.

A node is taken to do one thing while its margins keep their signs: `Min(a, b)` while `a - b` does, `Relu(a)` while `a`
does, `Slice` while its places lie on the same sides of 0 and of the size. Ops that only add, scale and move numbers
have none; an op that is not known here has one at 0 for each operand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import onnx

from graphc.graph import Constant, Node
from graphc.stream.facts import Array

SMOOTH = frozenset(
    (
        *("Add", "Sub", "Neg", "Mul", "Sum", "Mean", "MatMul", "Gemm", "Einsum", "CumSum"),
        *("ReduceSum", "ReduceMean", "ReduceProd", "Sin", "Cos", "And", "Or", "Not", "Xor", "Where", "IsNaN", "IsInf"),
        *("Identity", "Reshape", "Transpose", "Concat", "Squeeze", "Unsqueeze", "Flatten", "Split", "Shape", "Size"),
        *("Constant", "CastLike", "DepthToSpace", "SpaceToDepth", "ConcatFromSequence", "SplitToSequence"),
        *("SequenceConstruct", "SequenceAt", "SequenceInsert", "SequenceEmpty", "SequenceLength"),
    )
)
CAST = onnx.TensorProto
EXACT_WHOLES = {
    CAST.FLOAT16: 2.0**11,
    CAST.BFLOAT16: 2.0**8,
    **dict.fromkeys((CAST.FLOAT8E4M3FN, CAST.FLOAT8E4M3FNUZ), 2.0**4),
    **dict.fromkeys((CAST.FLOAT8E5M2, CAST.FLOAT8E5M2FNUZ), 2.0**3),
}


@dataclass(frozen=True)
class Operands:
    """What a node reads at one length.

    Args:
        values: of its time-only inputs; None for data, and for what is left out.
        shapes: of its inputs; None where that is not known.
    """

    values: Sequence[Array | None]
    shapes: Sequence[tuple[int, ...] | None]

    def number(self, index: int) -> Array | None:
        """A numeric input as float64."""
        value = self.values[index] if index < len(self.values) else None
        return None if value is None or value.dtype.kind not in "iufb" else value.astype(np.float64)

    def numbers(self) -> list[Array]:
        found = [self.number(i) for i in range(len(self.values))]
        return [v for v in found if v is not None]


Margins = Callable[[Node, Operands], list[Array]]


def apart(node: Node, given: Operands) -> list[Array]:
    """Comparisons: from operand to operand."""
    return [a - b for a, b in combinations(given.numbers(), 2)]


def from_extreme(node: Node, given: Operands) -> list[Array]:
    """What picks the largest or smallest along axes: from each entry to either."""
    value = given.number(0)
    if value is None or not value.size:
        return []
    named = node.attrs.get("axes", node.attrs.get("axis"))
    axes = given.number(1) if named is None and node.op != "TopK" else None
    places = np.atleast_1d(named if named is not None else axes if axes is not None else range(value.ndim))
    along = tuple(int(a) % value.ndim for a in places) if value.ndim else ()
    return [value - value.max(along, keepdims=True), value - value.min(along, keepdims=True)]


@dataclass(frozen=True)
class Cut:
    """What a Slice cuts out, [axes cut] each: places counted from the front, not yet held within the sizes."""

    axes: Sequence[int]
    first: Array
    last: Array
    sizes: Array


def cut_of(given: Operands) -> Cut | None:
    """The cut of a Slice; None where its shape or a place is not known."""
    shape, starts, ends, named = given.shapes[0], given.number(1), given.number(2), given.number(3)
    if shape is None or starts is None or ends is None:
        return None
    axes = [int(a) % len(shape) for a in (range(starts.size) if named is None else named.ravel())]
    sizes = np.asarray([shape[a] for a in axes], np.float64)
    first, last = (np.where(v < 0, v + sizes, v) for v in (starts.ravel(), ends.ravel()))
    return Cut(axes, first, last, sizes)


def of_slice(node: Node, given: Operands) -> list[Array]:
    """Starts and ends from 0 and from the size, and from each other."""
    named = [v.ravel() for v in (given.number(1), given.number(2)) if v is not None]
    cut = cut_of(given)
    if cut is None:
        return named
    return [*named, cut.first, cut.last, cut.first - cut.sizes, cut.last - cut.sizes, cut.last - cut.first]


def of_band(node: Node, given: Operands) -> list[Array]:
    """The diagonal at which Trilu cuts, from both sizes."""
    shape, k = given.shapes[0], given.number(1)
    return [] if shape is None or k is None else [k - shape[-1], k + shape[-2]]


def of_diagonal(node: Node, given: Operands) -> list[Array]:
    """The diagonal of EyeLike, from both sizes, and where it leaves the table."""
    shape, k = given.shapes[0], float(node.attrs.get("k", 0))
    return (
        []
        if shape is None
        else [np.asarray(k - shape[-1]), np.asarray(k + shape[-2]), np.asarray(k + shape[-2] - shape[-1])]
    )


def of_window(node: Node, given: Operands) -> list[Array]:
    """Convolutions and pools: the sizes from those of the window."""
    shape, weight = given.shapes[0], given.shapes[1] if len(given.shapes) > 1 else None
    kernel = node.attrs.get("kernel_shape") or (weight[2:] if weight is not None else None)
    if shape is None or not kernel:
        return []
    leaps = node.attrs.get("dilations") or [1] * len(kernel)
    return [np.asarray([size - (k - 1) * d - 1.0 for size, k, d in zip(shape[2:], kernel, leaps, strict=True)])]


def of_range(node: Node, given: Operands) -> list[Array]:
    start, limit = given.number(0), given.number(1)
    return [] if start is None or limit is None else [limit - start]


def of_one_hot(node: Node, given: Operands) -> list[Array]:
    place, depth = given.number(0), given.number(1)
    return [] if place is None or depth is None else [place, place - depth, place + depth]


def of_argument(node: Node, given: Operands) -> list[Array]:
    """Places, sizes or paddings: from 0."""
    found = given.number(1)
    return [] if found is None else [found]


def of_cast(node: Node, given: Operands) -> list[Array]:
    """From 0, where bools change and unsigned numbers wrap; from the largest whole numbers that short floats hold."""
    to = node.attrs.get("to")
    if to in (CAST.BOOL, CAST.UINT8, CAST.UINT16, CAST.UINT32, CAST.UINT64):
        return given.numbers()
    most = EXACT_WHOLES.get(to)
    return [] if most is None else [v + limit for v in given.numbers() for limit in (-most, most)]


def of_division(node: Node, given: Operands) -> list[Array]:
    """From 0, where whole numbers are divided."""
    return given.numbers()[1:]


def of_bits(node: Node, given: Operands) -> list[Array]:
    """From each bit that a constant operand has."""
    found: list[Array] = []
    for index, tensor in enumerate(node.inputs):
        held, value = given.values[index], given.number(1 - index)
        if isinstance(tensor, Constant) and held is not None and value is not None:
            bits = int(np.bitwise_or.reduce(held.ravel().astype(np.uint64)))
            found += [value - 2.0**k for k in range(bits.bit_length()) if bits >> k & 1]
    return found


def of_hard_sigmoid(node: Node, given: Operands) -> list[Array]:
    """From where it is 0, and from where it is 1."""
    slope, start = float(node.attrs.get("alpha", 0.2)), float(node.attrs.get("beta", 0.5))
    return [slope * v + start - level for v in given.numbers() for level in (0, 1)]


def of_threshold(node: Node, given: Operands) -> list[Array]:
    """From the number at which an activation begins, on both sides, and from 0."""
    default = {"ThresholdedRelu": 1.0, "Shrink": 0.5, "HardSwish": 3.0}[node.op]
    place = float(node.attrs.get("lambd" if node.op == "Shrink" else "alpha", default))
    return [v - level for v in given.numbers() for level in (-place, 0.0, place)]


def from_zero(node: Node, given: Operands) -> list[Array]:
    return given.numbers()


MARGINS: dict[str, Margins] = {
    **dict.fromkeys(("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Min", "Max", "Clip"), apart),
    **dict.fromkeys(("ReduceMin", "ReduceMax", "ArgMin", "ArgMax", "TopK", "Softmax", "LogSoftmax"), from_extreme),
    **dict.fromkeys(("Hardmax", "ReduceLogSumExp", "GlobalMaxPool"), from_extreme),
    **dict.fromkeys(("Conv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool"), of_window),
    **dict.fromkeys(("Gather", "GatherElements", "GatherND", "ScatterElements", "ScatterND"), of_argument),
    **dict.fromkeys(("Pad", "Expand", "Tile"), of_argument),
    **dict.fromkeys(("Div", "Mod"), of_division),
    **dict.fromkeys(("BitwiseAnd", "BitwiseOr", "BitwiseXor"), of_bits),
    **dict.fromkeys(("ThresholdedRelu", "Shrink", "HardSwish"), of_threshold),
    "HardSigmoid": of_hard_sigmoid,
    "Slice": of_slice,
    "Trilu": of_band,
    "EyeLike": of_diagonal,
    "Range": of_range,
    "OneHot": of_one_hot,
    "Cast": of_cast,
}
PLACING = frozenset(("Slice", "Trilu", "Gather", "GatherElements", "GatherND", "Pad", "Expand", "Tile", "Loop"))


def margins_of(node: Node, given: Operands) -> list[Array]:
    """The margins of a node at one length, float64; each may have another shape at another length."""
    return [] if node.op in SMOOTH else MARGINS.get(node.op, from_zero)(node, given)


def wholes_of(node: Node, given: Operands) -> list[Array]:
    """Numbers of which a node keeps the whole part, float64: it does something else from each whole number on."""
    value, other = given.number(0), given.number(1)
    if value is None:
        return []
    if node.op in ("Floor", "Ceil") or (node.op == "Cast" and takes_whole_part(node, given)):
        return [value]
    if node.op == "Range":
        return steps_of(value, other, given.number(2))
    if node.op == "Slice":
        cut = cut_of(given)
        return [] if cut is None else steps_of(cut.first, cut.last, given.number(4))
    if node.op == "Round":
        return [value + 0.5]
    whole = node.op in ("Div", "BitShift") and is_whole(given)
    if other is None or not (whole or node.op == "Mod"):
        return []
    with np.errstate(all="ignore"):
        return [value / (2.0**other if node.op == "BitShift" else other)]


def steps_of(start: Array, limit: Array | None, step: Array | None) -> list[Array]:
    """How many steps lie between two places; none where one is not known, or a step is one."""
    if limit is None or step is None or (step == 0).any() or (np.abs(step) == 1).all():
        return []
    return [(limit - start) / step]


def takes_whole_part(node: Node, given: Operands) -> bool:
    first, to = given.values[0], int(node.attrs.get("to", 0))
    assert first is not None
    return first.dtype.kind == "f" and onnx.helper.tensor_dtype_to_np_dtype(to).kind in "iu"


def is_whole(given: Operands) -> bool:
    return all(v is None or v.dtype.kind in "iu" for v in given.values)


def limits_of(dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """The least and largest whole numbers that a type holds exactly; None where no length of a stream is as large."""
    most = EXACT_WHOLES.get(onnx.helper.np_dtype_to_tensor_dtype(dtype))
    if most is not None:
        return -most, most
    if dtype.kind in "iu" and dtype.itemsize <= 4:
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return None
