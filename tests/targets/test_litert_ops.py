"""LiteRT, op by op: onnx's own test cases give what ONNX says, or are refused with the node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from op_cases import Array, equal_cases

from graphc.emit.tflite.convert import rules_of_ops, to_tflite
from graphc_runtime.native.quiet_libraries import silent

pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed: pip install 'graphc[litert]'")

NO_CASE = {"Cast"}
pytestmark = pytest.mark.xdist_group("onnx_cases")


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
    equal = equal_cases(op, given)
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
