"""Weights in 8 bits; activations are quantized in each call."""

from __future__ import annotations

import onnx
from graphc_passes._quantize.onnxruntime_tools import opset_at_least, quietly, weight_type, with_values
from graphc_passes._quantize.options import QuantizeOptions

FIRST_DYNAMIC = 11


def dynamic(proto: onnx.ModelProto, config: QuantizeOptions, excluded: list[str]) -> onnx.ModelProto:
    """The model as onnxruntime's dynamic quantizer rewrites it.

    Errors:
        PassError: the opset is too old, or the quantizer fails.
    """
    from onnxruntime.quantization import QuantType
    from onnxruntime.quantization.onnx_quantizer import ONNXQuantizer
    from onnxruntime.quantization.quant_utils import QuantizationMode

    opset_at_least(proto, FIRST_DYNAMIC, "mode: dynamic", "export the model at a later opset")
    given = with_values(proto)
    with quietly():
        quantizer = ONNXQuantizer(
            given,
            config.per_channel,
            config.reduce_range,
            QuantizationMode.IntegerOps,
            False,
            weight_type(config),
            QuantType.QUInt8,
            None,
            [],
            excluded,
            config.chosen_ops + ["MatMul"] * ("Gemm" in config.chosen_ops),
            {"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )
        quantizer.quantize_model()
        made: onnx.ModelProto = quantizer.model.model
    return made
