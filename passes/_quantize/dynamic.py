"""Weights in 8 bits, activations quantized in each call."""

from __future__ import annotations

import onnx
from graphc_passes._quantize.onnxruntime_tools import called, weight_type
from graphc_passes._quantize.options import QuantizeOptions


def dynamic(proto: onnx.ModelProto, config: QuantizeOptions, excluded: list[str]) -> onnx.ModelProto:
    """What onnxruntime's dynamic quantizer makes of a model.

    Errors:
        PassError: it fails.
    """
    from onnxruntime.quantization import quantize_dynamic

    return called(
        proto,
        quantize_dynamic,
        op_types_to_quantize=config.chosen_ops,
        per_channel=config.per_channel,
        reduce_range=config.reduce_range,
        weight_type=weight_type(config),
        nodes_to_exclude=excluded,
        extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
    )
