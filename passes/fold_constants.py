"""Evaluates at compile time everything that does not depend on an input."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from pydantic import Field

import graphc.api as api
from graphc.api import (
    RANDOM_OPS,
    Constant,
    Graph,
    Model,
    Node,
    Pass,
    PassConfig,
    PassContext,
    PassResult,
    Variable,
    captured,
    constant_of,
    drop_dead,
    is_sparse,
    label,
    nbytes,
    place_of,
    register_pass,
    sorted_nodes,
    standard,
    static_shapes,
    subgraphs,
)

LEFT_ALONE = {*RANDOM_OPS, "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}
FOLDABLE_KINDS = "fiubc"


class FoldOptions(PassConfig):
    max_mb: float = Field(default=16.0, gt=0, description="the largest constant that folding may make, in 10^6 bytes")


@register_pass
class FoldConstants(Pass[FoldOptions]):
    """Replaces tensors that depend only on constants by their values.

    What it does:
        Evaluates nodes whose inputs are all constants, one by one in onnxruntime. Also evaluates Shape and Size of
        tensors whose shape follows from the model's ports. An If with a constant condition becomes the chosen branch.
        The size of each result is inferred first, and results larger than ``max_mb`` are not computed.

    Why:
        Exports are full of shape arithmetic that is the same in every call.

    Example:
        passes:
          - fold_constants: {max_mb: 4}

    Limits:
        Random ops stay. So do QuantizeLinear and DequantizeLinear: folding them would undo a quantization. Strings,
        sequences and dtypes that numpy lacks stay too.
    """

    name = "fold_constants"
    Config = FoldOptions

    def run(self, model: Model, config: FoldOptions, context: PassContext) -> PassResult:
        before = model.proto()
        shapes = static_shapes(model)
        folder = Folder(model, int(config.max_mb * 1e6), {k: v for k, v in shapes.items() if is_fixed(v)})
        folder.fold(model.graph)
        drop_dead(model.graph)
        return api.revert_unloadable(
            before, PassResult(model, folder.notes, {"folded": folder.count, "branches": folder.branches})
        )


def is_fixed(shape: list[int | str | None]) -> bool:
    return all(isinstance(size, int) for size in shape)


class Folder:
    """One run of the pass over a graph and its subgraphs."""

    def __init__(self, model: Model, limit: int, shapes: dict[str, list[Any]]):
        self.model, self.limit, self.shapes = model, limit, shapes
        self.notes: list[str] = []
        self.count = 0
        self.branches = 0

    def fold(self, graph: Graph) -> None:
        graph.nodes = sorted_nodes(graph)
        ports = {t.name for t in graph.outputs}
        branches = 0
        for node in list(graph.nodes):
            if node.op == "If" and standard(node) and (condition := constant_of(node.inputs[0])) is not None:
                api.inline_branch(graph, node, bool(condition.ravel()[0]))
                branches += 1
                continue
            for inner in subgraphs(node):
                self.fold(inner)
            outputs = [t for t in node.outputs if t.name]
            if not outputs or any(t.name in ports for t in outputs):
                continue
            values = self.shape_of(node) or self.value_of(node)
            if values is None:
                continue
            node.inputs.clear()
            node.outputs.clear()
            for tensor, value in zip(outputs, values, strict=True):
                tensor.to_constant(value)
            del graph.nodes[place_of(graph, node)]
            self.count += 1
        if branches:
            self.branches += branches
            self.fold(graph)

    def shape_of(self, node: Node) -> list[NDArray[Any]] | None:
        """The value of a Shape or Size node, if the shape of its tensor is fixed; else None."""
        if not standard(node) or node.op not in ("Shape", "Size") or not node.inputs[0].name:
            return None
        tensor = node.inputs[0]
        known = list(tensor.shape) if isinstance(tensor, Constant) else self.shapes.get(tensor.name)
        if known is None:
            return None
        shape = [int(size) for size in known]
        if node.op == "Size":
            return [np.asarray(math.prod(shape), np.int64)]
        return [np.asarray(shape, np.int64)[slice(node.attrs.get("start", 0), node.attrs.get("end"))]]

    def value_of(self, node: Node) -> list[NDArray[Any]] | None:
        """The output values of a node. None if an input is not a constant, or if the node cannot be evaluated."""
        if not standard(node) or node.op in LEFT_ALONE or captured(node) or any(True for _ in subgraphs(node)):
            return None
        given = [t for t in node.inputs if t.name]
        if not all(is_plain(t) for t in given):
            return None
        proto = self.alone(node)
        if proto is None:
            return None
        wanted = [t.name for t in node.outputs if t.name]
        try:
            session = api.Session(proto, optimize=False)
            if any(dtype is None or dtype.kind not in FOLDABLE_KINDS for dtype, _ in session.output_types().values()):
                return None
            run = session.run({})
        except api.RunError as err:
            self.notes.append(f"{label(node)} stays: onnxruntime cannot evaluate it alone ({err})")
            return None
        return [np.asarray(run[name]) for name in wanted]

    def alone(self, node: Node) -> onnx.ModelProto | None:
        """A model that consists of this node only. None if the node's outputs may be too large."""
        inputs = [Constant(t.name, t._values) if t.name else Variable.empty() for t in node.inputs]
        outputs = [Variable(t.name) for t in node.outputs]
        graph = Graph(
            [Node(node.op, node.name, dict(node.attrs), inputs, outputs, node.domain)],
            [],
            [t for t in outputs if t.name],
            opset=self.model.graph.opset,
            import_domains=list(self.model.frame.opset_import),
        )
        proto = Model(graph, onnx.ModelProto(ir_version=self.model.frame.ir_version)).proto()
        allowed = max(self.limit, 2 * sum(nbytes(t) for t in inputs if isinstance(t, Constant)))
        try:
            inferred = onnx.shape_inference.infer_shapes(proto, data_prop=True)
        except Exception as err:
            self.notes.append(f"{label(node)} stays: its shape cannot be inferred ({' '.join(str(err).split())[:120]})")
            return None
        for port in inferred.graph.output:
            tensor = port.type.tensor_type
            if not tensor.HasField("shape") or any(not d.HasField("dim_value") for d in tensor.shape.dim):
                if node.op in GROWING or sum(nbytes(t) for t in inputs if isinstance(t, Constant)) > self.limit:
                    self.notes.append(f"{label(node)} stays: the size of its result is not known beforehand")
                    return None
                continue
            elements = math.prod(d.dim_value for d in tensor.shape.dim)
            if elements * 8 > 8 * allowed or elements * 8 > allowed * 2:
                self.notes.append(f"{label(node)} stays: it would make {elements} elements")
                return None
        return proto


GROWING = {
    "ConstantOfShape",
    "Expand",
    "Tile",
    "Range",
    "OneHot",
    "Resize",
    "Upsample",
    "Pad",
    "EyeLike",
    "Gather",
    "GatherND",
    "Einsum",
    "MatMul",
    "ConvTranspose",
    "ScatterND",
    "MaxUnpool",
    "Col2Im",
    "CenterCropPad",
    "Loop",
    "Scan",
    "If",
    "HannWindow",
    "HammingWindow",
    "BlackmanWindow",
    "MelWeightMatrix",
    "DFT",
    "STFT",
    "AffineGrid",
    "GridSample",
    "MaxRoiPool",
    "RoiAlign",
}


def is_plain(tensor: object) -> bool:
    """Whether a tensor is a dense constant of a dtype that numpy has."""
    return (
        isinstance(tensor, Constant)
        and not is_sparse(tensor)
        and isinstance(tensor.dtype, np.dtype)
        and tensor.dtype.kind in FOLDABLE_KINDS
        and tensor.dtype.itemsize > 0
    )
