"""The ports of a compiled model, and how to open a converted model with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from graphc.targets.target import Target
from graphc_runtime.errors import TargetError
from graphc_runtime.native.ports import NativePort, OnnxPort, Runner


def opened(
    target: Target,
    path: Path,
    inputs: Sequence[OnnxPort],
    outputs: Sequence[OnnxPort],
    ports: Mapping[str, NativePort],
    threads: int = 1,
) -> Runner:
    """Opens a converted model with its target.

    Errors:
        TargetError: the runtime does not accept the file, or its ports are not those of the model.
    """
    lost = [p.name for p in (*inputs, *outputs) if p.name not in ports]
    if lost:
        raise TargetError(f"the target {target.name} has no port for {', '.join(lost[:4])}", where=str(path))
    taken, given = ({p.name: ports[p.name] for p in side} for side in (inputs, outputs))
    return target.open(path, taken, given, threads)


def onnx_ports(model: onnx.ModelProto) -> tuple[list[OnnxPort], list[OnnxPort]]:
    """The inputs and outputs of a compiled model.

    Errors:
        TargetError: a port has an open size.
    """
    initialized = {i.name for i in model.graph.initializer}
    return (
        [onnx_port(p) for p in model.graph.input if p.name not in initialized],
        [onnx_port(p) for p in model.graph.output],
    )


def onnx_port(port: onnx.ValueInfoProto) -> OnnxPort:
    tensor = port.type.tensor_type
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    if any(size is None for size in sizes):
        raise TargetError(
            f"the port '{port.name}' has an open size", hint="targets take fixed chunks: set stream.chunk"
        )
    return OnnxPort(
        port.name, onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type), tuple(s for s in sizes if s is not None)
    )
