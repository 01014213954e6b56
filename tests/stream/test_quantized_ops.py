"""Models that other tools quantized: QDQ over scores, QLinear ops of onnxruntime, weights of few bits."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import model_of, random, weights
from promise import verdict_of

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.propagation.analysis import analyse
from graphc_runtime.errors import StreamError

SPEC = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
NEAR = """
    k = Transpose <perm=[0,2,1]> (x) s = MatMul (x, k) n = Shape <start=1, end=2> (x) m = Squeeze (n)
    i = Range (zero, m, one) r = Unsqueeze (i, at1) c = Unsqueeze (i, at0) d = Sub (r, c)
    near = Less (d, left) far = Greater (d, right) sees = And (near, far)
"""
SCALES = {"q": np.float32(0.02), "z": np.array(7, np.uint8), "q1": np.float32(1 / 255), "z1": np.array(0, np.uint8)}
NUMBERS = {
    "zero": np.array(0),
    "one": np.array(1),
    "at0": np.array([0]),
    "at1": np.array([1]),
    "left": np.array(5),
    "right": np.array(-2),
    "minus": np.float32(-1e9),
}
ATTENTION = {
    "before the mask": "t = QuantizeLinear (s, q, z) f = DequantizeLinear (t, q, z) g = Where (sees, f, minus) "
    "p = Softmax <axis=-1> (g) y = MatMul (p, x)",
    "behind the softmax": "g = Where (sees, s, minus) p = Softmax <axis=-1> (g) t = QuantizeLinear (p, q1, z1) "
    "f = DequantizeLinear (t, q1, z1) y = MatMul (f, x)",
    "with another zero point": "g = Where (sees, s, minus) p = Softmax <axis=-1> (g) t = QuantizeLinear (p, q1, z) "
    "f = DequantizeLinear (t, q1, z) y = MatMul (f, x)",
}


def attention(body: str) -> onnx.ModelProto:
    text = NEAR + body
    arrays = {
        n: v for n, v in {**NUMBERS, **SCALES}.items() if f" {n})" in text or f" {n}," in text or f"({n}," in text
    }
    return weights(model_of(text, "float[1,T,4] x", "float[1,T,4] y"), **arrays)


@pytest.mark.parametrize("body", ATTENTION.values(), ids=ATTENTION)
def test_quantized_scores_keep_their_mask(body: str) -> None:
    model = attention(body)
    assert not analyse(offline_of(model, SPEC)).promise.tried
    for times in (1, 0):
        assert verdict_of(model, times, range(1, 24), SPEC).kind == "equal"


def test_a_mask_that_quantization_clips_is_no_mask() -> None:
    model = attention(
        "g = Where (sees, s, minus) t = QuantizeLinear (g, q, z) f = DequantizeLinear (t, q, z) "
        "p = Softmax <axis=-1> (f) y = MatMul (p, x)"
    )
    with pytest.raises(StreamError, match="attends to all frames"):
        analyse(offline_of(model, SPEC))


@pytest.mark.parametrize("back", ["DequantizeLinear (t, q1, z)", "DequantizeLinear (t, q1)"])
def test_scores_dequantized_with_another_zero_point_are_refused(back: str) -> None:
    model = attention(
        "g = Where (sees, s, minus) p = Softmax <axis=-1> (g) t = QuantizeLinear (p, q1, z2) "
        f"f = {back} y = MatMul (f, x)"
    )
    with pytest.raises(StreamError, match="is not that of the QuantizeLinear"):
        analyse(offline_of(weights(model, z2=np.array(9, np.uint8)), SPEC))


QLINEAR = {
    "QLinearAdd": "b = com.microsoft.QLinearAdd (a, q, z, a, q, z, q, z)",
    "QLinearMul": "b = com.microsoft.QLinearMul (a, q, z, w, q, z, q, z)",
    "QLinearSigmoid": "b = com.microsoft.QLinearSigmoid (a, q, z, q, z)",
    "QLinearLeakyRelu": "b = com.microsoft.QLinearLeakyRelu <alpha=0.1> (a, q, z, q, z)",
}


@pytest.mark.parametrize("op", QLINEAR.values(), ids=QLINEAR)
def test_quantized_elementwise_ops_work_frame_by_frame(op: str) -> None:
    body = f"a = QuantizeLinear (x, q, z) {op} y = DequantizeLinear (b, q, z)"
    arrays = {"q": SCALES["q"], "z": SCALES["z"]} | ({"w": np.arange(4, dtype=np.uint8)} if " w," in op else {})
    model = weights(model_of(body, "float[1,T,4] x", "float[1,T,4] y"), **arrays)
    assert verdict_of(model, 1, range(1, 12), SPEC).kind == "equal"


def test_a_product_with_weights_in_blocks_works_frame_by_frame() -> None:
    body = "y = com.microsoft.MatMulNBits <K=32, N=8, bits=4, block_size=32> (x, w, s)"
    packed = np.random.default_rng(0).integers(0, 256, (8, 1, 16)).astype(np.uint8)
    model = weights(model_of(body, "float[1,T,32] x", "float[1,T,8] y"), w=packed, s=random(8))
    assert verdict_of(model, 1, range(1, 12), SPEC).kind == "equal"
