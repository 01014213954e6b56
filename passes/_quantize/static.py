"""Weights in 8 bits; activations are quantized with the ranges observed on streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from graphc_passes._quantize.contrib import CONTRIB_LINEAR, other_target
from graphc_passes._quantize.onnxruntime_tools import activation_type, opset_at_least, quietly, weight_type, with_values
from graphc_passes._quantize.options import QuantizeOptions

from graphc.api import Constant, Model, OpSet, opset_of

if TYPE_CHECKING:
    from graphc.api import Seen

FIRST_PER_CHANNEL = 13
FIRST_INT16 = 21
ZERO_POINTS = (onnx.TensorProto.INT8, onnx.TensorProto.INT32)


def observed(model: Model, ops: list[str]) -> list[str]:
    """The names of the tensors that nodes of these ops read and write, without constants."""
    found: dict[str, None] = {}
    for node in model.graph.nodes:
        if node.op in ops:
            tensors = [t for t in [*node.inputs, *node.outputs] if t.name and not isinstance(t, Constant)]
            found.update({t.name: None for t in tensors})
    return list(found)


def static(
    proto: onnx.ModelProto, config: QuantizeOptions, excluded: list[str], seen: Mapping[str, Seen], target: OpSet
) -> onnx.ModelProto:
    """The model as onnxruntime's static quantizer rewrites it with the range of every tensor.

    Errors:
        PassError: the opset is too old, or the quantizer fails.
    """
    from onnxruntime.quantization import CalibrationMethod, QDQQuantizer
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode

    opset = opset_of(proto)
    if config.per_channel:
        hint = "set per_channel: false, or export the model at a later opset"
        opset_at_least(proto, FIRST_PER_CHANNEL, "per_channel", hint)
    wide = config.activations == "int16"
    if wide and not target.has(*CONTRIB_LINEAR):
        hint = f"{other_target(*CONTRIB_LINEAR)}export the model at a later opset"
        opset_at_least(proto, FIRST_INT16, "activations: int16", hint)
    others = {name for name, s in seen.items() if s.low.dtype != np.float32}
    excluded = [*excluded, *(n.name for n in proto.graph.node if others.intersection([*n.input, *n.output]))]
    singles = {name: s.range for name, s in seen.items() if name not in others}
    ranges: dict[str, Any] = {
        name: (np.float32(r.low).reshape(1), np.float32(r.high).reshape(1)) for name, r in singles.items()
    }
    options = {
        "MatMulConstBOnly": True,
        "DefaultTensorType": onnx.TensorProto.FLOAT,
        "ActivationSymmetric": wide,
        "OpTypesToExcludeOutputQuantization": ["Gemm"],
        "UseQDQContribOps": wide and opset < FIRST_INT16,
    }
    common = (weight_type(config), activation_type(config), TensorsData(CalibrationMethod.MinMax, ranges))
    given = with_values(proto)
    known = {v.name for v in [*given.graph.value_info, *given.graph.input, *given.graph.output]}
    given.graph.value_info.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in singles if name not in known
    )
    with quietly():
        if config.form == "qdq":
            quantizer = QDQQuantizer(
                given, config.per_channel, config.reduce_range, *common, [], excluded, config.chosen_ops, options
            )
        else:
            quantizer = ONNXQuantizer(
                given,
                config.per_channel,
                config.reduce_range,
                QuantizationMode.QLinearOps,
                True,
                *common,
                [],
                excluded,
                config.chosen_ops + ["MatMul"] * ("Gemm" in config.chosen_ops),
                options,
            )
        quantizer.quantize_model()
        made: onnx.ModelProto = quantizer.model.model
    share_zero_points(made)
    return made


def share_zero_points(model: onnx.ModelProto) -> None:
    """Makes all zero points of 0 with the same type and shape share one constant. Changes the model in place.

    Zero points cannot be left out: onnxruntime does not multiply in integers without them.
    """
    graph = model.graph
    first: dict[tuple[int, tuple[int, ...]], str] = {}
    instead: dict[str, str] = {}
    for tensor in graph.initializer:
        if tensor.data_type in ZERO_POINTS and not np.any(onnx.numpy_helper.to_array(tensor)):
            instead[tensor.name] = first.setdefault((tensor.data_type, tuple(tensor.dims)), tensor.name)
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and len(node.input) == 3:
            node.input[2] = instead.get(node.input[2], node.input[2])
    read = {name for node in graph.node for name in node.input} | {p.name for p in graph.output}
    kept = [t for t in graph.initializer if t.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
