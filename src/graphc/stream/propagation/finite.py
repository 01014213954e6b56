"""Ops that turn any finite numbers into finite ones.

Leftovers, the values of frames that do not exist, come from the zeros that a client feeds and from first states. If
only these ops compute them, leftovers are finite, and a leftover times zero is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np

from graphc.ir.graph import Constant, Node, constant_of, op_of
from graphc.stream.facts.facts import Fact
from graphc.stream.facts.stream import Stream
from graphc.stream.facts.time_constant import TimeConstant

KEEPING = frozenset(
    {
        *("Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Concat", "Conv"),
        *("ConvTranspose", "Cos", "CumSum", "DepthToSpace", "Dropout", "Einsum", "Elu", "Equal", "Erf", "Expand"),
        *("Flatten", "Floor", "GRU", "Gather", "GatherElements", "Gelu", "Gemm", "Greater", "GroupNormalization"),
        *("HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LSTM", "LayerNormalization", "LeakyRelu"),
        *(
            "IsInf",
            "IsNaN",
            "Less",
            "MatMul",
            "Max",
            "Mean",
            "Min",
            "Mish",
            "Mul",
            "Neg",
            "Not",
            "Or",
            "PRelu",
            "Pad",
            "RMSNormalization",
            "RNN",
            "ReduceMax",
        ),
        *(
            "ReduceMean",
            "ReduceMin",
            "ReduceSum",
            "Relu",
            "Reshape",
            "Round",
            "Selu",
            "Sigmoid",
            "Sign",
            "Sin",
            "Slice",
        ),
        *("Softmax", "Softplus", "Softsign", "Split", "Squeeze", "Sub", "Sum", "Swish", "Tanh", "Tile", "Transpose"),
        *("Unsqueeze", "Where", "com.microsoft::Gelu", "com.microsoft::FastGelu", "com.microsoft::QuickGelu"),
    }
)


NOT_NEGATIVE = frozenset(
    {"Abs", "Relu", "Sigmoid", "Softmax", "HardSigmoid", "ReduceSumSquare", "ReduceL2", "ReduceL1"}
)
SAME_BOUND = frozenset(
    {
        *("Expand", "Flatten", "Identity", "Max", "ReduceMax", "ReduceMean", "ReduceMin"),
        *("Reshape", "Slice", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze"),
    }
)


def is_aligned(inputs: Sequence[Fact | None], outputs: Sequence[Fact | None]) -> bool:
    """Whether no delay line puts zeros among the frames that an op reads."""
    before, after = ({f.delay / f.rate for f in found if isinstance(f, Stream)} for found in (inputs, outputs))
    return len(before) <= 1 and max(after, default=0) <= min(before, default=0)


def keeps_finite(node: Node, finite: Set[str], known: Mapping[str, TimeConstant], bounds: Mapping[str, float]) -> bool:
    """Whether a node's outputs are finite if the tensors in ``finite`` are; ``bounds`` are lower bounds of tensors."""
    data = [t for t in node.inputs if t.name and not isinstance(t, Constant) and t.name not in known]
    if any(t.name not in finite for t in data):
        return False
    if op_of(node) == "Div":
        divisor = value_of(node, known)
        return bounds.get(node.inputs[1].name, 0.0) > 0 or (divisor is not None and bool(np.all(divisor != 0)))
    if op_of(node) == "Sqrt":
        return bounds.get(node.inputs[0].name, -1.0) >= 0
    if op_of(node) in ("Reciprocal", "Log"):
        return bounds.get(node.inputs[0].name, 0.0) > 0
    if op_of(node) == "Pow":
        power = value_of(node, known)
        return power is not None and bool(np.all(power >= 0) and np.all(power == np.floor(power)))
    return op_of(node) in KEEPING


def lower_bound(node: Node, bounds: Mapping[str, float], known: Mapping[str, TimeConstant]) -> float | None:
    """A lower bound of a node's output, such as a variance plus an epsilon; None if no bound is known."""
    if not node.inputs:
        return None
    op, first = op_of(node), node.inputs[0].name
    held = bounds.get(first)
    second = value_of(node, known) if len(node.inputs) > 1 else None
    if op in NOT_NEGATIVE or (op == "Mul" and first == node.inputs[1].name):
        return 0.0
    if op == "Pow" and second is not None and np.all(second % 2 == 0):
        return 0.0
    if op == "Add" and held is not None and second is not None:
        return held + float(np.min(second))
    if op == "Max" and second is not None and len(node.inputs) == 2:
        return max(float(np.min(second)), held if held is not None else -np.inf)
    if held is None or held < 0:
        return None
    if op == "Sqrt":
        return float(np.sqrt(held))
    if op in SAME_BOUND:
        return held
    return 0.0 if op == "ReduceSum" else None


def value_of(node: Node, known: Mapping[str, TimeConstant]) -> Any:
    """The value of the node's second input, if that is the same at every length; otherwise None."""
    second = node.inputs[1]
    found = known.get(second.name)
    return constant_of(second) if isinstance(second, Constant) else None if found is None else found.steady
