"""Ops that make finite numbers out of finite ones, whatever those are.

What a call has in the place of frames that do not exist comes from the zeros that a client feeds and from first states.
If only these ops stand on the way, it is finite, and zero times it is zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from graphc.graph import Constant, Node, constant_of, op_of
from graphc.stream.facts import Known

KEEPING = frozenset(
    {
        *("Abs", "Add", "And", "AveragePool", "BatchNormalization", "Cast", "Ceil", "Celu", "Clip", "Concat", "Conv"),
        *("ConvTranspose", "Cos", "CumSum", "DepthToSpace", "Dropout", "Einsum", "Elu", "Equal", "Erf", "Expand"),
        *("Flatten", "Floor", "GRU", "Gather", "GatherElements", "Gelu", "Gemm", "Greater", "GroupNormalization"),
        *("HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "LSTM", "LayerNormalization", "LeakyRelu"),
        *(
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


def keeps_finite(node: Node, finite: Set[str], known: Mapping[str, Known]) -> bool:
    """Whether a node gives finite numbers where the tensors named do."""
    data = [t for t in node.inputs if t.name and not isinstance(t, Constant) and t.name not in known]
    if any(t.name not in finite for t in data):
        return False
    if op_of(node) == "Div":
        divisor = value_of(node, known)
        return divisor is not None and bool(np.all(divisor != 0))
    if op_of(node) == "Pow":
        power = value_of(node, known)
        return power is not None and bool(np.all(power >= 0) and np.all(power == np.floor(power)))
    return op_of(node) in KEEPING


def value_of(node: Node, known: Mapping[str, Known]) -> Any:
    """The second input, where it is a constant."""
    second = node.inputs[1]
    found = known.get(second.name)
    return constant_of(second) if isinstance(second, Constant) else None if found is None else found.steady
