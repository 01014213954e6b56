"""Ops and constants that are written out when a model is read: onnxruntime's own op, sparse constants."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from graphc.ir.model import read_model
from graphc.ir.ort_session import Session
from graphc_runtime.errors import ModelError


def saved(path: Path, nodes: list[onnx.NodeProto], kind: int, opset: int, **arrays: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", kind, [1, "T", 4])],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(v, n) for n, v in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize(("kind", "close"), [(TensorProto.FLOAT, 1e-6), (TensorProto.FLOAT16, 2e-3)])
def test_a_root_mean_square_norm_of_onnxruntime(tmp_path: Path, opset: int, kind: int, close: float) -> None:
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    node = helper.make_node("SimplifiedLayerNormalization", ["x", "s"], ["y"], axis=-1, epsilon=1e-3, stash_type=1)
    path = saved(tmp_path / "m.onnx", [node], kind, opset, s=np.array([1, 2, 0.5, -1], dtype))
    x = np.random.default_rng(0).standard_normal((1, 6, 4)).astype(dtype)
    (want,) = onnxruntime.InferenceSession(path.read_bytes()).run(None, {"x": x})
    np.testing.assert_allclose(Session(read_model(path)).run({"x": x})["y"], want, rtol=close, atol=close)


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("SimplifiedLayerNormalization", ["x"], ["y"], axis=-1),
        helper.make_node("SimplifiedLayerNormalization", ["x", "s"], [], axis=-1),
        helper.make_node("SimplifiedLayerNormalization", ["x", "s"], ["y"], axis=-(2**40)),
        helper.make_node("SimplifiedLayerNormalization", ["x", "s"], ["y"], axis="last"),
        helper.make_node("Constant", [], [], value=numpy_helper.from_array(np.ones(4, np.float32))),
    ],
    ids=["no scale", "no output", "too many axes", "an axis of text", "a constant without output"],
)
def test_what_is_no_such_node_is_left_to_the_checker(tmp_path: Path, node: onnx.NodeProto) -> None:
    path = saved(tmp_path / "m.onnx", [node], TensorProto.FLOAT, 17, s=np.ones(4, np.float32))
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        read_model(path)


def sparse(places: list[int] | list[list[int]]) -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.array([2, 3], np.float32), "w")
    return helper.make_sparse_tensor(values, numpy_helper.from_array(np.array(places), "places"), [4, 4])


@pytest.mark.parametrize("places", [[1, 14], [[0, 1], [3, 2]]])
@pytest.mark.parametrize("as_node", [True, False])
def test_a_sparse_weight(tmp_path: Path, as_node: bool, places: list[int]) -> None:
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    constant = helper.make_node("Constant", [], ["w"], sparse_value=sparse(places))
    path = saved(tmp_path / "m.onnx", [constant, product] if as_node else [product], TensorProto.FLOAT, 17)
    if not as_node:
        model = onnx.load(path)
        model.graph.sparse_initializer.append(sparse(places))
        onnx.save(model, path)
    want = np.zeros((4, 4), np.float32)
    want[0, 1], want[3, 2] = 2, 3
    x = np.arange(8, dtype=np.float32).reshape(1, 2, 4)
    np.testing.assert_array_equal(Session(read_model(path)).run({"x": x})["y"], x @ want)


def test_a_sparse_weight_with_a_place_outside_is_refused(tmp_path: Path) -> None:
    product = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = saved(tmp_path / "m.onnx", [product], TensorProto.FLOAT, 17)
    model = onnx.load(path)
    model.graph.sparse_initializer.append(sparse([1, 99]))
    onnx.save(model, path)
    with pytest.raises(ModelError, match="not a valid ONNX model"):
        read_model(path)
