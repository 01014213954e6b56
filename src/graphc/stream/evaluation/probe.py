"""Builds a session that returns the values of some tensors and the shapes of all dense tensors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx

from graphc.ir.graph import Graph
from graphc.ir.import_export import export_model
from graphc.ir.ort_session import Session
from graphc.ir.weights.made_weights import MadeWeights, put_in
from graphc.offline.reference import Offline
from graphc.stream.evaluation.record import Probe, shape_name
from graphc.stream.evaluation.without_weights import hollow
from graphc.stream.facts.time_constant import Array
from graphc_runtime.errors import ModelError, RunError


def probe_of(
    graph: Graph,
    like: onnx.ModelProto,
    wanted: set[str],
    carried: set[str],
    weights: MadeWeights,
    offline: Offline,
) -> tuple[Probe, dict[str, np.dtype[np.generic]]]:
    """Builds the ``Probe`` of a graph, and finds the dtypes of all dense tensors.

    Args:
        like: the model from which all fields except the graph are taken.
        wanted: the names of the tensors whose values the probe returns.
        carried: the names of all data tensors.
        weights: the weights that nodes compute from other weights.
        offline: draws the inputs.

    Errors:
        ModelError: onnxruntime does not load the graph.
    """
    base = export_model(graph, like)
    del base.graph.value_info[:]
    outputs = tuple(o.name for o in base.graph.output)
    made = [t for n in base.graph.node for t in n.output if t] + [i.name for i in base.graph.input]
    try:
        dtypes = dtypes_of(base, made)
        put_in(base, graph, weights)
        hollow(base, graph, carried, weights)
        left_out = {t.name for n in weights.nodes for t in n.outputs}
        shaped = [name for name in made if name in dtypes and name not in left_out]
        session = Session(with_outputs(base, sorted(wanted), shaped), optimize=False, varied=True)
    except RunError as err:
        raise ModelError(f"onnxruntime cannot run the offline model: {err}", hint=err.hint) from err

    def draw(frames: int) -> dict[str, Array]:
        return offline.draw(frames, np.random.default_rng(frames))

    return Probe(session, tuple(sorted(wanted)), tuple(shaped), outputs, draw), dtypes


def dtypes_of(base: onnx.ModelProto, names: Sequence[str]) -> dict[str, np.dtype[np.generic]]:
    """The dtypes of dense tensors, inferred by onnx without the weights, or by onnxruntime if onnx cannot do so.

    Errors:
        RunError: onnxruntime does not load the graph.
    """
    bare = onnx.ModelProto(ir_version=base.ir_version, opset_import=base.opset_import, functions=base.functions)
    bare.graph.name = base.graph.name
    bare.graph.node.extend(base.graph.node)
    bare.graph.input.extend(base.graph.input)
    for weight in base.graph.initializer:
        bare.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    bare.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    inferred = onnx.shape_inference.infer_shapes(bare).graph
    types = {port.name: port.type for port in (*inferred.output, *inferred.value_info, *inferred.input)}
    dense = {name: types[name].tensor_type.elem_type for name in names if types[name].HasField("tensor_type")}
    if all(dense.get(name) for name in names):
        return {name: np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) for name, kind in dense.items()}
    told = Session(with_outputs(base, list(names), []), optimize=False).output_types()
    return {name: dtype for name, (dtype, _) in told.items() if dtype is not None}


def with_outputs(base: onnx.ModelProto, values: list[str], shaped: list[str]) -> onnx.ModelProto:
    """A copy of the model that returns the values of some tensors and the shapes of others."""
    model = onnx.ModelProto()
    model.CopyFrom(base)
    del model.graph.output[:]
    for name in values:
        passed = f"{name}//value"
        if any(name == i.name for i in model.graph.input):
            model.graph.node.append(onnx.helper.make_node("Identity", [name], [passed]))
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    for name in shaped:
        model.graph.node.append(onnx.helper.make_node("Shape", [name], [shape_name(name)]))
        model.graph.output.append(onnx.helper.make_tensor_value_info(shape_name(name), onnx.TensorProto.INT64, None))
    return model
