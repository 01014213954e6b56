"""Evaluates nodes whose inputs are known before the model runs.

The nodes run in onnx's reference evaluator, or in onnxruntime if the evaluator lacks the version of the op.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from graphc.ir.ort_session import Session

Array = NDArray[Any]


def can_be_known(proto: onnx.NodeProto) -> bool:
    """Whether a node has no subgraph, so that the node can be evaluated on its own."""
    return not any(a.HasField("g") or a.graphs for a in proto.attribute)


def evaluated(proto: onnx.NodeProto, known: Mapping[str, Array], model: onnx.ModelProto) -> dict[str, Array]:
    """The outputs of a node, by name. ``known`` has the value of each input."""
    arrays = {name: known[name] for name in proto.input if name}
    kinds = {n: onnx.helper.np_dtype_to_tensor_dtype(np.asarray(a).dtype) for n, a in arrays.items()}
    ports = [onnx.helper.make_tensor_value_info(n, kind, None) for n, kind in kinds.items()]
    names = [o for o in proto.output if o]
    outputs = [onnx.helper.make_tensor_value_info(o, onnx.TensorProto.UNDEFINED, None) for o in names]
    graph = onnx.helper.make_graph([proto], "known", ports, outputs)
    single = onnx.helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    try:
        results = ReferenceEvaluator(single).run(None, arrays)
    except (NotImplementedError, RuntimeError):
        given = Session(with_types(single, arrays)).run(arrays)
        results = [given[name] for name in names]
    return {name: np.asarray(value) for name, value in zip(names, results, strict=True)}


def with_types(single: onnx.ModelProto, arrays: Mapping[str, Array]) -> onnx.ModelProto:
    """The model in the form that onnxruntime needs: with input shapes, and output types as onnx infers them."""
    for port in single.graph.input:
        for size in np.shape(arrays[port.name]):
            port.type.tensor_type.shape.dim.add().dim_value = size
    bare = onnx.ModelProto()
    bare.CopyFrom(single)
    del bare.graph.output[:]
    inferred = {info.name: info for info in onnx.shape_inference.infer_shapes(bare).graph.value_info}
    for port in single.graph.output:
        if port.name in inferred:
            port.CopyFrom(inferred[port.name])
    return single
