"""Lists the weights that stay in float, with the reasons."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from graphc_passes._front_ends.front_end import makes_features
from graphc_passes._quantize.options import DYNAMIC_OPS, KNOWN, WEIGHT_OPS, QuantizeOptions
from graphc_passes._quantize.weight_only import WEIGHT_INPUTS

from graphc.api import Constant, Model, Node, OpSet, is_float

SMALLEST_LISTED = 64
INTEGER_LSTM = "com.microsoft::DynamicQuantizeLSTM"
LISTED = frozenset({*WEIGHT_OPS, *DYNAMIC_OPS, "FusedMatMul", "Einsum", "FusedConv"})


def left_in_float(model: Model, config: QuantizeOptions, by_budget: Collection[str], target: OpSet) -> list[str]:
    """A line for each float weight that is not tiny, with the reason why it stayed float."""
    found: list[str] = []
    small = 0
    for node in model.graph.nodes:
        if node.op not in LISTED:
            continue
        for index, tensor in enumerate(node.inputs):
            if not isinstance(tensor, Constant) or not is_float(tensor) or len(tensor.shape) < 2:
                continue
            left = node.op == "MatMul" and index == 0
            if node.op in WEIGHT_OPS and index not in WEIGHT_INPUTS.get(node.op, (1,)) and not left:
                continue
            if int(np.prod(tensor.shape)) < SMALLEST_LISTED:
                small += 1
                continue
            why = (
                "quantizers only take the right operand of a product"
                if left
                else reason(node, tensor, config, by_budget, target)
            )
            found.append(f"{tensor.name} of {node.name or node.outputs[0].name} stays float: {why}")
    return [*found, f"{small} weights of fewer than {SMALLEST_LISTED} elements stay float"] if small else found


def reason(node: Node, weight: Constant, config: QuantizeOptions, by_budget: Collection[str], target: OpSet) -> str:
    op = node.op
    if node.name in config.exclude_nodes:
        return "exclude_nodes names it"
    if makes_features(node.name):
        return "it computes features, whose powers span a wider range than integers"
    if node.name in by_budget:
        return "the budget leaves it in float"
    if op == "MatMul" and len(weight.shape) > 2:
        return "onnxruntime's quantizers take weights of two axes, and it has more"
    if op in config.chosen_ops and not np.isfinite(weight.values).all():
        return "it is not finite everywhere"
    if op in config.chosen_ops and config.block is not None and op not in ("MatMul", "Gemm"):
        return "blocks are for MatMul and Gemm"
    if op in config.chosen_ops and config.block is None and weight.dtype != np.float32:
        return f"onnxruntime's quantizers take float32, and it is {np.dtype(weight.dtype).name}"
    if op in config.exclude_ops:
        return f"exclude_ops names {op}"
    if op == "LSTM" and config.mode == "dynamic" and not target.has(INTEGER_LSTM):
        return "its integer form is onnxruntime's own op: set target: onnxruntime, or mode: weight_only"
    if op not in KNOWN[config.mode]:
        return f"there is no {config.mode} form of {op}" + (
            "; weight_only has one" if op in KNOWN["weight_only"] and config.mode != "weight_only" else ""
        )
    if op == "Conv" and config.ops is None and config.mode != "weight_only":
        return (
            "integer Conv is several times slower than float in onnxruntime; to quantize it anyway, name it in "
            "quantize.ops"
        )
    if op not in config.chosen_ops:
        return (
            f"quantize.ops does not name {op}"
            if config.ops is not None
            else f"{op} is only quantized if quantize.ops names it"
        )
    return "its shape or dtype does not fit the quantizer"
