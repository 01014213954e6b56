"""onnx's own test cases of one node, as a compiled model would hold it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases

from graphc_runtime.errors import TargetError

SEVERAL = {"Concat", "Gemm", "GatherElements", "Gather", "MatMul", "Max", "Min", "Where", "PRelu", "Sum", "Mean"}
BY_TWO = {"Add", "And", "Div", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Mod", "Mul", "Or", "Pow"}
ALL_COMPUTED = SEVERAL | BY_TWO | {"Sub", "Xor"}
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


def equal_cases(op: str, given: Callable[[onnx.ModelProto, dict[str, Array]], Iterable[Array]]) -> int:
    """How many cases of an op give what ONNX says; the others are refused, and none is wrong."""
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
    return equal
