"""Weights in 8 bits with a scale per channel; everything is computed in float."""

from __future__ import annotations

from typing import Any

import numpy as np
from graphc_passes._quantize.onnxruntime_tools import opset_at_least
from graphc_passes._quantize.options import QuantizeOptions
from numpy.typing import NDArray

from graphc.api import Constant, Model, Node, Variable, names_in, unused_name, weight_of

FIRST_PER_AXIS = 13
SMALLEST = 64
OUTPUT_AXIS = {"MatMul": -1, "Gemm": -1, "Conv": 0, "ConvTranspose": 1, "LSTM": 1, "GRU": 1, "RNN": 1, "Gather": 0}
WEIGHT_INPUTS = {"LSTM": (1, 2), "GRU": (1, 2), "RNN": (1, 2), "Gather": (0,)}


def by_channel(model: Model, config: QuantizeOptions, excluded: list[str]) -> None:
    """Stores the weights of the chosen ops as symmetric 8-bit integers, each followed by a DequantizeLinear.

    Changes the model in place.

    Errors:
        PassError: the opset is too old.
    """
    graph = model.graph
    if config.per_channel:
        hint = "set per_channel: false, or export the model at a later opset"
        opset_at_least(model.frame, FIRST_PER_AXIS, "per_channel", hint)
    taken, made = names_in(graph), {}
    for node in list(graph.nodes):
        if node.op not in config.chosen_ops or node.name in excluded:
            continue
        for index in WEIGHT_INPUTS.get(node.op, (1,)):
            tensor = node.inputs[index] if index < len(node.inputs) else None
            weight = weight_of(tensor)
            if tensor is None or weight is None or not is_matrix(weight):
                continue
            axis = output_axis(node, weight.ndim) if config.per_channel else None
            key = (tensor.name, axis)
            if key not in made:
                made[key] = dequantized(graph, tensor.name, weight, axis, taken)
            node.inputs[index] = made[key]


def is_matrix(weight: NDArray[Any]) -> bool:
    fits = weight.dtype == np.float32 and weight.ndim >= 2 and weight.size >= SMALLEST
    return bool(fits and np.isfinite(weight).all())


def output_axis(node: Node, rank: int) -> int:
    """The axis of the output channels of a node's weight."""
    axis = OUTPUT_AXIS[node.op] % rank
    return rank - 2 if node.op == "Gemm" and node.attrs.get("transB") else axis


def dequantized(graph: Any, name: str, weight: NDArray[Any], axis: int | None, taken: set[str]) -> Variable:
    others = None if axis is None else tuple(a for a in range(weight.ndim) if a != axis)
    largest = np.abs(weight).max(axis=others, keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    values = np.clip(np.round(weight / scale), -127, 127).astype(np.int8)
    kept = Constant(unused_name(f"{name}/int8", taken), values)
    flat = Constant(unused_name(f"{name}/scale", taken), scale.ravel() if axis is not None else scale.reshape(()))
    output = Variable(unused_name(f"{name}/float", taken), np.float32, list(weight.shape))
    attrs = {} if axis is None else {"axis": axis}
    graph.nodes.append(Node("DequantizeLinear", output.name, attrs, [kept, flat], [output]))
    return output
