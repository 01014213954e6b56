"""Stores weights as 16-bit floats, and on request computes in float16 too."""

from __future__ import annotations

from typing import Any, Literal

import ml_dtypes
import numpy as np
import onnx
from pydantic import Field, model_validator

from graphc.api import (
    Constant,
    Model,
    Node,
    Pass,
    PassConfig,
    PassContext,
    PassError,
    PassResult,
    ToleranceSpec,
    Variable,
    inferred_types,
    is_float,
    label,
    names_in,
    register_pass,
    sorted_nodes,
    unused_name,
    weight_of,
)

SMALLEST = 64
LARGEST_HALF = 65504.0
FIRST_BFLOAT16 = 13
FIRST_HALF_SCALE = 19
FLOAT32_ONLY = ("Dynamic", "QLinear", "QGemm", "QAttention", "MatMulIntegerToFloat")


class ConvertOptions(PassConfig):
    to: Literal["float16", "bfloat16"] = Field(default="float16", description="the 16-bit type")
    compute: bool = Field(default=False, description="also compute in float16 where possible; ports keep their types")
    exclude_ops: list[str] = Field(default=[], description="op types whose weights, or arithmetic, stay in float32")

    @model_validator(mode="after")
    def fitting(self) -> ConvertOptions:
        if self.compute and self.to == "bfloat16":
            raise ValueError("compute: onnxruntime has few ops in bfloat16; leave compute out, or set to: float16")
        return self


@register_pass
class ConvertFloat(Pass[ConvertOptions]):
    """Stores weights as 16-bit floats.

    What it does:
        Every float32 weight of at least 64 elements is stored as float16 or bfloat16, followed by a Cast to float32.
        With ``compute: true`` the whole graph between the ports computes in float16 (onnxruntime's own converter).

    Why:
        Half the size, without calibration. float16 keeps 11 significant bits of each weight. bfloat16 keeps 8, and the
        whole range of float32.

    Example:
        passes:
          - convert_float: {to: float16, tolerance: {snr_db: 40}}

    Limits:
        onnxruntime casts the weights back to float32 when it loads the model, so a call takes as long as before. On the
        CPU, onnxruntime has few ops in float16. With ``compute`` it adds casts around all other ops, so a call takes
        longer.
    """

    name = "convert_float"
    Config = ConvertOptions
    tolerance = ToleranceSpec(snr_db=30.0)

    def run(self, model: Model, config: ConvertOptions, context: PassContext) -> PassResult:
        if config.to == "bfloat16" and model.graph.opset < FIRST_BFLOAT16:
            raise PassError(
                f"bfloat16 needs opset {FIRST_BFLOAT16}, but the model has opset {model.graph.opset}",
                hint="use to: float16, or export the model at a later opset",
            )
        if config.compute:
            return computed_in_half(model, config)
        notes = stored(model, config)
        model.graph.nodes = sorted_nodes(model.graph)
        return PassResult(model, notes)


def stored(model: Model, config: ConvertOptions) -> list[str]:
    """Replaces each float32 weight by a 16-bit one and a Cast. Changes the model in place."""
    graph, taken = model.graph, names_in(model.graph)
    dtype = np.dtype(ml_dtypes.bfloat16 if config.to == "bfloat16" else np.float16)
    made: dict[str, Variable] = {}
    notes: list[str] = []
    for node in list(graph.nodes):
        for index, tensor in enumerate(node.inputs):
            if not isinstance(tensor, Constant) or not is_float(tensor) or int(np.prod(tensor.shape)) < SMALLEST:
                continue
            if tensor.name not in made:
                weight = weight_of(tensor)
                why = reason(node, weight, config)
                if weight is None or why is not None:
                    notes.append(f"{tensor.name} of {node.name or node.op} stays float32: {why}")
                    continue
                kept = Constant(unused_name(f"{tensor.name}/{config.to}", taken), weight.astype(dtype))
                output = Variable(unused_name(f"{tensor.name}/float32", taken), np.float32, list(weight.shape))
                graph.nodes.append(Node("Cast", output.name, {"to": onnx.TensorProto.FLOAT}, [kept], [output]))
                made[tensor.name] = output
            node.inputs[index] = made[tensor.name]
    return [f"{len(made)} weights in {config.to}", *notes]


def reason(node: Node, weight: Any, config: ConvertOptions) -> str | None:
    """The reason why a weight keeps its type; None if the weight is converted."""
    if weight is None:
        return "it is stored in a file of its own"
    if weight.dtype != np.float32:
        return f"it is {weight.dtype}"
    if node.op in config.exclude_ops:
        return f"exclude_ops names {node.op}"
    if config.to == "float16" and np.abs(weight).max(initial=0) > LARGEST_HALF:
        return f"it exceeds {LARGEST_HALF:g}, the largest float16; bfloat16 can hold it"
    return None


def with_types(proto: onnx.ModelProto) -> onnx.ModelProto:
    """Adds the type of every inner float32 tensor to the model, and returns it.

    Without these types the converter adds no Cast around ops that stay in float32.
    """
    made = {name for node in proto.graph.node for name in node.output} - {port.name for port in proto.graph.output}
    for name, (kind, shape) in inferred_types(proto).items():
        if kind == onnx.TensorProto.FLOAT and name in made:
            proto.graph.value_info.append(onnx.helper.make_tensor_value_info(name, kind, shape))
    return proto


def check_quantized(model: Model, config: ConvertOptions) -> None:
    """Refuses a model with quantized or quantizing nodes that onnxruntime runs in float32 only.

    Errors:
        PassError: names the first such node.
    """
    pairs = ("QuantizeLinear", "DequantizeLinear") if model.graph.opset < FIRST_HALF_SCALE else ()
    found = [n for n in model.graph.nodes if n.op.startswith(FLOAT32_ONLY) or (n.op in pairs and not n.domain)]
    found = [n for n in found if n.op not in config.exclude_ops]
    if found:
        ops = ", ".join(dict.fromkeys((*config.exclude_ops, *sorted({n.op for n in found}))))
        raise PassError(
            f"compute: true would give it float16, but at opset {model.graph.opset} onnxruntime runs it in float32 "
            "only",
            node=label(found[0]),
            hint=f"set exclude_ops: [{ops}], or leave compute out",
        )


def computed_in_half(model: Model, config: ConvertOptions) -> PassResult:
    """Converts the graph to float16 with onnxruntime's converter.

    Errors:
        PassError: a quantized node takes float32 only, or the converter fails.
    """
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    check_quantized(model, config)
    before = with_types(model.proto())
    try:
        in_float = [*DEFAULT_OP_BLOCK_LIST, *config.exclude_ops]
        made = convert_float_to_float16(before, keep_io_types=True, disable_shape_infer=True, op_block_list=in_float)
    except Exception as err:
        raise PassError(f"onnxruntime's converter failed: {type(err).__name__}: {err}") from err
    result = model.with_proto(made)
    result.graph.nodes = sorted_nodes(result.graph)
    return PassResult(result, ["the graph between the ports computes in float16"])
