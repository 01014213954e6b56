"""Frees input axes of their fixed sizes, so that the model accepts any length."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

import onnx

from graphc.ir.import_export import FIRST_IR_WITH_DEFAULTS
from graphc.spec.input_roles import MaskRole, Role, StreamRole


def without_stale_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy without the exporter's shapes: some fit only one length, and onnxruntime would trust them."""
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    drop_shapes(bare)
    return bare


def drop_shapes(model: onnx.ModelProto) -> None:
    del model.graph.value_info[:]
    for port in model.graph.output:
        if port.type.HasField("tensor_type"):
            port.type.tensor_type.ClearField("shape")


def relax(model: onnx.ModelProto, roles: Mapping[str, Role], batch: int) -> int | None:
    """Frees the stream axes, binds every other symbolic input dim to ``batch``, and drops shapes that may be stale.

    Returns the declared number of frames of the first stream input if all stream inputs are fixed, else None.
    """
    drop_shapes(model)
    defaults = {i.name for i in model.graph.initializer}
    for port in [p for p in model.graph.input if p.name in defaults]:
        model.graph.input.remove(port)
    model.ir_version = max(model.ir_version, FIRST_IR_WITH_DEFAULTS)
    declared: list[Fraction | None] = []
    for port in model.graph.input:
        role = roles.get(port.name)
        for axis, dim in enumerate(port.type.tensor_type.shape.dim):
            if isinstance(role, StreamRole) and axis == role.axis:
                declared.append(dim.dim_value / role.rate if dim.HasField("dim_value") else None)
                dim.ClearField("dim_value")
                dim.dim_param = f"{port.name}_frames"
            elif isinstance(role, MaskRole) and axis >= len(port.type.tensor_type.shape.dim) - 2:
                dim.ClearField("dim_value")
                dim.dim_param = f"{port.name}_frames"
            elif role is not None and not dim.HasField("dim_value"):
                dim.dim_value = batch
    if not declared or any(d is None or d.denominator != 1 for d in declared):
        return None
    return int(declared[0] or 0)
