"""LiteRT, op by op: onnx's own test cases give what ONNX says, or are refused with the node."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from graphc.errors import TargetError
from graphc.system.silence import silent
from graphc.tflite.convert import rules_of_ops, to_tflite

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'graphc[litert]'")

SEVERAL = {"Concat", "Gemm", "GatherElements", "Gather", "MatMul", "Max", "Min", "Where", "PRelu", "Sum", "Mean"}
BY_TWO = {"Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mod", "Mul", "Or", "Pow"}
ALL_COMPUTED = SEVERAL | BY_TWO | {"Sub", "Xor"}
NO_CASE = {"Cast"}
Array = np.ndarray[Any, Any]
Case = tuple[onnx.ModelProto, list[Array], list[Array]]


@cache
def all_cases() -> dict[str, list[Case]]:
    """Cases of one node, by its op."""
    found: dict[str, list[Case]] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cases = collect_testcases(None)
    for case in cases:
        if case.model is None or len(case.model.graph.node) != 1 or case.model.graph.node[0].domain:
            continue
        for inputs, outputs in case.data_sets or []:
            if all(isinstance(v, np.ndarray | np.generic) and v.dtype.kind in "fiub" for v in (*inputs, *outputs)):
                arrays = [in_singles(v) for v in inputs], [in_singles(v) for v in outputs]
                found.setdefault(case.model.graph.node[0].op_type, []).append((case.model, *arrays))
    return found


def in_singles(value: Any) -> Array:
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype == np.float64 else array


def as_deployed(model: onnx.ModelProto, inputs: list[Array]) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """The model with what a compiled one knows (sizes, weights) as constants, and what is fed to it."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    names = [port.name for port in copy.graph.input]
    del copy.graph.input[:]
    fed = {}
    for place, (name, value) in enumerate(zip(names, inputs, strict=True)):
        if place == 0 or model.graph.node[0].op_type in ALL_COMPUTED:
            kind = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
            copy.graph.input.append(onnx.helper.make_tensor_value_info(name, kind, value.shape))
            fed[name] = value
        else:
            copy.graph.initializer.append(numpy_helper.from_array(value, name))
    return copy, fed


def given(model: onnx.ModelProto, fed: dict[str, Array]) -> Iterator[Array]:
    flat = to_tflite(model, {})
    with silent():
        from ai_edge_litert.interpreter import Interpreter

        interpreter = Interpreter(model_content=flat.content, num_threads=1)
        interpreter.allocate_tensors()
    for name, place in flat.inputs.items():
        interpreter.set_tensor(place, np.array(np.transpose(fed[name], flat.orders[name]), order="C"))
    interpreter.invoke()
    for port in model.graph.output:
        order = flat.orders[port.name]
        yield np.transpose(interpreter.get_tensor(flat.outputs[port.name]), np.argsort(order))


@pytest.mark.parametrize("op", rules_of_ops())
def test_an_op_gives_what_onnx_says_or_is_refused(op: str) -> None:
    equal = 0
    for model, inputs, outputs in all_cases().get(op, []):
        if any(0 in v.shape for v in (*inputs, *outputs)):
            continue
        deployed, fed = as_deployed(model, inputs)
        try:
            got = list(given(deployed, fed))
        except TargetError as err:
            assert err.reason
            continue
        equal += 1
        for value, want in zip(got, outputs, strict=True):
            assert value.shape == want.shape, model.graph.name
            assert np.allclose(value.astype(float), want.astype(float), rtol=1e-3, atol=1e-5, equal_nan=True)
    assert equal or op in NO_CASE, f"no case of {op} was taken"


@pytest.mark.parametrize(
    ("one", "other"), [("FLOAT", "INT64"), ("INT64", "FLOAT"), ("BOOL", "INT32"), ("FLOAT16", "FLOAT")]
)
def test_cast(one: str, other: str) -> None:
    kinds = [getattr(onnx.TensorProto, name) for name in (one, other)]
    node = onnx.helper.make_node("Cast", ["x"], ["y"], to=kinds[1])
    ports = [onnx.helper.make_tensor_value_info(n, k, [3]) for n, k in zip("xy", kinds, strict=True)]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "cast", ports[:1], ports[1:]))
    x, y = (onnx.helper.tensor_dtype_to_np_dtype(kind) for kind in kinds)
    (got,) = given(model, {"x": np.array([1, 0, 2]).astype(x)})
    assert got.dtype == y
    assert (got == np.array([1, 0, 2]).astype(x).astype(y)).all()
