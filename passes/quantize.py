"""Dynamic int8 through onnxruntime's own quantizer."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from pydantic import Field

from graphc.api import (
    Constant,
    Model,
    Pass,
    PassConfig,
    PassContext,
    PassError,
    PassResult,
    ToleranceSpec,
    register_pass,
    sorted_nodes,
)

QUANTIZABLE = ("MatMul", "Gemm", "LSTM", "Attention", "Gather", "EmbedLayerNormalization", "Conv")
USUAL = ["MatMul", "Gemm", "LSTM", "Attention"]
SMALLEST_LISTED = 64


class QuantizeOptions(PassConfig):
    mode: Literal["dynamic"] = Field(default="dynamic", description="int8 weights, activations quantized in each call")
    ops: list[str] = Field(
        default=USUAL, description="op types to quantize; Conv is left out, its integer form being slower"
    )
    exclude_ops: list[str] = Field(default=[], description="op types to leave in float")
    exclude_nodes: list[str] = Field(default=[], description="names of nodes to leave in float")
    per_channel: bool = Field(default=True, description="a scale for each output channel of a weight")
    weights: Literal["int8", "uint8"] = Field(default="int8", description="the type of quantized weights")
    reduce_range: bool = Field(
        default=True, description="7 of the 8 bits of a weight: with all of them, CPUs without VNNI overflow silently"
    )


@register_pass
class Quantize(Pass[QuantizeOptions]):
    """Stores weights as 8-bit integers and multiplies in integers.

    What it does:
        Runs onnxruntime's dynamic quantizer over MatMul, Gemm, LSTM and Attention, and lists every weight that stays
        float with the reason.

    Why:
        A quarter of the size, and less time where the weights do not fit the cache.

    Example:
        passes:
          - quantize: {exclude_nodes: [/head/MatMul], tolerance: {snr_db: 20}}

    Limits:
        Not exact: give the pass a tolerance of its own. The scale of activations is taken over one call, so it
        depends on the chunk. Conv stays float unless ``ops`` names it: onnxruntime's integer Conv is several times
        slower than its float one. GRU and RNN have no integer form in onnxruntime.
    """

    name = "quantize"
    Config = QuantizeOptions
    tolerance = ToleranceSpec(snr_db=20.0)

    def run(self, model: Model, config: QuantizeOptions, context: PassContext) -> PassResult:
        unknown = [op for op in config.ops if op not in QUANTIZABLE]
        if unknown:
            raise PassError(
                f"quantize.ops: onnxruntime has no dynamic integer form of {', '.join(unknown)}",
                hint=f"known: {', '.join(QUANTIZABLE)}",
            )
        named = {n.name for n in model.graph.nodes}
        missing = [n for n in config.exclude_nodes if n not in named]
        if missing:
            raise PassError(f"quantize.exclude_nodes: there is no node '{missing[0]}'", hint="inspect names the nodes")
        ops = [op for op in config.ops if op not in config.exclude_ops]
        before = model.proto()
        result = model.with_proto(quantized(before, config, ops))
        result.graph.nodes = sorted_nodes(result.graph)
        left = left_in_float(result, config, ops)
        counts = {"weights in float": len(left), "weights in 8 bits": eight_bit_weights(result.proto())}
        return PassResult(result, left, counts)


def eight_bit_weights(proto: onnx.ModelProto) -> int:
    """Integer matrices of a model; scales and zero points have fewer axes."""
    kinds = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    return sum(1 for t in proto.graph.initializer if t.data_type in kinds and len(t.dims) >= 2)


def quantized(proto: onnx.ModelProto, config: QuantizeOptions, ops: list[str]) -> onnx.ModelProto:
    """What onnxruntime's quantizer makes of a model.

    Errors:
        PassError: it fails.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    ports = onnx.ModelProto()
    ports.graph.input.extend(proto.graph.input)
    ports.graph.output.extend(proto.graph.output)
    with tempfile.TemporaryDirectory(prefix="graphc-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        target = Path(folder) / "quantized.onnx"
        try:
            quantize_dynamic(
                proto,
                target,
                op_types_to_quantize=ops,
                per_channel=config.per_channel,
                reduce_range=config.reduce_range,
                weight_type=QuantType.QInt8 if config.weights == "int8" else QuantType.QUInt8,
                nodes_to_exclude=config.exclude_nodes,
                extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
            )
        except Exception as err:
            raise PassError(f"onnxruntime's quantizer failed: {type(err).__name__}: {err}") from err
        finally:
            logging.disable(logging.NOTSET)
        made: onnx.ModelProto = onnx.load(target)
    for kind in ("input", "output"):
        field = getattr(made.graph, kind)
        del field[:]
        field.extend(getattr(ports.graph, kind))
    return made


def left_in_float(model: Model, config: QuantizeOptions, ops: list[str]) -> list[str]:
    """Every float weight of a node of some size, and why it stayed."""
    found: list[str] = []
    for node in model.graph.nodes:
        for tensor in node.inputs:
            if not isinstance(tensor, Constant) or np.dtype(tensor.dtype).kind != "f":
                continue
            if int(np.prod(tensor.shape)) < SMALLEST_LISTED or len(tensor.shape) < 2:
                continue
            found.append(
                f"{tensor.name} of {node.name or node.outputs[0].name} stays float: "
                f"{reason(node.op, node.name, config, ops)}"
            )
    return found


def reason(op: str, name: str, config: QuantizeOptions, ops: list[str]) -> str:
    if name in config.exclude_nodes:
        return "exclude_nodes names it"
    if op in config.exclude_ops:
        return f"exclude_ops names {op}"
    if op == "Conv":
        return "integer Conv is several times slower than float in onnxruntime; quantize.ops can name it"
    if op in QUANTIZABLE and op not in ops:
        return f"quantize.ops does not name {op}"
    if op not in QUANTIZABLE:
        return f"onnxruntime has no dynamic integer form of {op}"
    return "its shape or dtype does not fit onnxruntime's quantizer"
