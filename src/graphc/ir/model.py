"""The model that passes transform: a graph, its stream signature, and the fields around the graph."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from graphc.contract.signature import Signature
from graphc.ir.functions.inlining_limits import check_functions
from graphc.ir.functions.onnxruntime_ops import write_out_own_ops
from graphc.ir.graph import Graph
from graphc.ir.import_export import export_model, import_model
from graphc.ir.sizes import weight_bytes
from graphc.ir.utf8_check import check_texts
from graphc.ir.weights.external_weights import keep_in_files, move_to_files
from graphc.ir.weights.sparse_tensors import write_out_sparse
from graphc.ir.weights.weight_files import kept_bytes
from graphc_runtime.errors import ModelError

EXTERNAL_DATA_LIMIT = 2**31 - 2**20
LARGEST_PROTOBUF = 2**31
SPEC_SUFFIXES = (".yaml", ".yml")


@dataclass
class Model:
    """The model that a pass works on.

    Args:
        graph: the graph. The running pass may change it in place or replace it.
        frame: the model's fields around the graph (opsets, metadata, functions), with no nodes or weights.
        signature: the stream signature, once the model streams; None for a model that takes whole utterances.
    """

    graph: Graph
    frame: onnx.ModelProto
    signature: Signature | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, proto: onnx.ModelProto, signature: Signature | None = None) -> Model:
        """The model of a proto. The proto is not changed.

        Errors:
            ModelError: the graph holds something that cannot be represented.
        """
        return cls(import_model(proto), frame_of(proto), signature)

    def proto(self) -> onnx.ModelProto:
        """The model as ONNX: a copy that shares nothing that a pass may change."""
        return export_model(self.graph, self.frame)

    def with_proto(self, proto: onnx.ModelProto) -> Model:
        """A model with the graph of ``proto`` and the same stream signature and notes."""
        return Model(import_model(proto), frame_of(proto), self.signature, dict(self.notes))


def frame_of(proto: onnx.ModelProto) -> onnx.ModelProto:
    frame = onnx.ModelProto()
    for descriptor, value in proto.ListFields():
        if descriptor.name not in ("graph", "functions"):
            if hasattr(value, "extend"):
                getattr(frame, descriptor.name).extend(value)
            else:
                setattr(frame, descriptor.name, value)
    frame.graph.input.extend(proto.graph.input)
    ports = {p.name for p in proto.graph.input}
    frame.graph.initializer.extend(i for i in proto.graph.initializer if i.name in ports)
    frame.graph.output.extend(proto.graph.output)
    frame.graph.metadata_props.extend(proto.graph.metadata_props)
    frame.graph.quantization_annotation.extend(proto.graph.quantization_annotation)
    return frame


def read_model(path: Path) -> onnx.ModelProto:
    """Reads a model file with its external data, which has to be in the model's folder.

    Errors:
        ModelError: no such file, not ONNX, not valid, external data outside the folder, or no room for the weights.
    """
    where = str(path)
    check_file(path)
    try:
        proto: onnx.ModelProto = onnx.load(where, load_external_data=False)
    except OSError as err:
        raise ModelError(f"the model cannot be read: {err.strerror}", where=where) from err
    except DecodeError as err:
        raise ModelError(
            "not an ONNX file, or one that is truncated or nests too deeply",
            where=where,
            hint="export the model again, or name the .onnx file",
        ) from err
    if not proto.HasField("graph") or not proto.graph.output:
        raise ModelError("not an ONNX model: it has no graph with outputs", where=where)
    check_texts(proto, where)
    check_functions(proto, where)
    try:
        keep_in_files(proto, path.parent)
        onnx.load_external_data_for_model(proto, str(path.parent))
    except Exception as err:
        raise ModelError(f"its external data cannot be read: {short(err)}", where=where) from err
    write_out_own_ops(proto)
    check(proto, where)
    write_out_sparse(proto.graph)
    try:
        move_to_files(proto)
    except OSError as err:
        raise ModelError(
            f"its weights do not fit in the folder of temporary files: {err.strerror}",
            where=where,
            hint="set TMPDIR to a folder on a larger disk",
        ) from err
    return proto


def check_file(path: Path) -> None:
    """Refuses a file that cannot be a model, before it is read.

    Errors:
        ModelError: not a regular file, a spec, or too large for protobuf.
    """
    if not path.exists() and not path.is_symlink():
        raise ModelError(
            "there is no such model file", where=str(path), hint="the path in a spec is relative to the spec's folder"
        )
    if path.exists() and not path.is_file():
        raise ModelError("the model is not a regular file", where=str(path))
    if path.suffix in SPEC_SUFFIXES:
        raise ModelError("this looks like a spec; expected a model", where=str(path), hint="name an .onnx file")
    if path.exists() and path.stat().st_size >= LARGEST_PROTOBUF:
        raise ModelError(
            "the model is larger than protobuf's limit of two gigabytes",
            where=str(path),
            hint="save its weights as external data",
        )


def check(proto: onnx.ModelProto, where: str) -> None:
    """Refuses what onnx's own checker refuses, except ports without a shape, which onnxruntime accepts."""
    if weight_bytes(proto) >= EXTERNAL_DATA_LIMIT or kept_bytes(proto.graph.initializer):
        return
    tensors = [p.type.tensor_type for p in [*proto.graph.input, *proto.graph.output] if p.type.HasField("tensor_type")]
    shapeless = [t for t in tensors if not t.HasField("shape")]
    for tensor in shapeless:
        tensor.shape.SetInParent()
    try:
        onnx.checker.check_model(proto)
    except Exception as err:
        raise ModelError(f"not a valid ONNX model: {short(err)}", where=where) from err
    finally:
        for tensor in shapeless:
            tensor.ClearField("shape")


def short(err: Exception) -> str:
    text = " ".join(str(err).split())
    return text if len(text) <= 300 else text[:297] + "..."


def dims(tensor: Any) -> list[int | str | None]:
    return list(tensor.shape) if tensor.shape is not None else []


def dtype_name(dtype: Any) -> str:
    """numpy's name of a dtype, or ONNX's name of a type that numpy lacks (onnx-graphsurgeon stores its number)."""
    if isinstance(dtype, int):
        return str(onnx.TensorProto.DataType.Name(dtype)).lower()
    return str(np.dtype(dtype).name)
