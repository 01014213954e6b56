"""Models out of text, before and after passes."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

import graphc
from graphc.ir.ort_session import Session


def model_of(
    body: str, inputs: str = "float[1,2,8] x", outputs: str = "float[1,A,B] y", opset: int = 17, **arrays: np.ndarray
) -> onnx.ModelProto:
    header = f'<ir_version: {8 if opset < 21 else 11}, opset_import: ["" : {opset}]>'
    model = onnx.parser.parse_model(f"{header} g ({inputs}) => ({outputs}) {{{body}}}")
    for name, value in arrays.items():
        model.graph.initializer.append(numpy_helper.from_array(value, name))
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")
    return model


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def transformed(
    model: onnx.ModelProto, *passes: str | dict[str, dict[str, object]], target: str = "onnx", close: float = 1e-5
) -> list[str]:
    """The ops after the passes; the outputs are what they were."""
    made = graphc.transform(model, list(passes), target)
    rng = np.random.default_rng(0)
    feeds = {
        p.name: rng.standard_normal([d.dim_value or 5 for d in p.type.tensor_type.shape.dim]).astype(np.float32)
        for p in model.graph.input
    }
    want, got = Session(model).run(feeds), Session(made).run(feeds)
    for name, value in want.items():
        assert value.shape == got[name].shape
        assert np.allclose(value, got[name], rtol=close, atol=close / 10)
    return [n.op_type for n in made.graph.node]
