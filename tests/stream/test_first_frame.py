"""A model that starts from its first frame, as PCEN and moving averages do: the first call keeps it for all others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from conftest import at_night
from promise import verdict_of
from transforming import model_of, random

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc_runtime.errors import StreamError

SPEC = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
BY_INDEX = "f = Gather <axis=1> (x, zero)"
BY_SLICE = "s = Slice (x, front, one, one) f = Squeeze (s, one)"
SMOOTHED = """
    {first}
    m, y = Scan <num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1], body =
        b (float[1,4] before, float[1,4] frame) => (float[1,4] after, float[1,4] told)
        <float a = {{0.9}}, float c = {{0.1}}> {{ p = Mul (before, a) q = Mul (frame, c) after = Add (p, q) told = Identity (after) }}> (f, x)
"""
MODELS = {
    "an average from the frame by index": SMOOTHED.format(first=BY_INDEX),
    "an average from the frame by a slice": SMOOTHED.format(first=BY_SLICE),
    "a GRU whose state is made of it": f"{BY_INDEX} u = Unsqueeze (f, front) t = Transpose <perm=[1,0,2]> (x)"
    " g, h = GRU <hidden_size=4> (t, w, r, , , u) y = Squeeze (g, one)",
    "a difference to it": "s = Slice (x, front, one, one) y = Sub (x, s)",
    "a product with what a layer makes of it": f"{BY_INDEX} d = MatMul (f, k) u = Unsqueeze (d, one) y = Mul (x, u)",
    "pre-emphasis with the frame by index": f"{BY_INDEX} u = Unsqueeze (f, one) a = Slice (x, one, end, one)"
    " b = Slice (x, front, minus1, one) d = Sub (a, b) y = Concat <axis=1> (u, d)",
    "pre-emphasis with what a layer makes of it": f"{BY_INDEX} g = MatMul (f, k) u = Unsqueeze (g, one)"
    " a = Slice (x, one, end, one) b = Slice (x, front, minus1, one) d = Sub (a, b) y = Concat <axis=1> (u, d)",
    "the frame in front of a strided stream": "t = Transpose <perm=[0,2,1]> (x) f = Slice (t, front, one, two) g = Neg (f)"
    " a = Conv <strides=[2], pads=[2,0]> (t, v) y = Concat <axis=2> (g, a)",
    "the frame of a strided stream in front of another": "t = Transpose <perm=[0,2,1]> (x)"
    " h = Conv <strides=[2], pads=[2,0]> (t, v) f = Slice (h, front, one, two) g = Neg (f) a = Conv <pads=[0,2]> (t, v)"
    " y = Concat <axis=2> (g, a)",
    "a convolution of the difference": "s = Slice (x, front, one, one) d = Sub (x, s)"
    " t = Transpose <perm=[0,2,1]> (d) y = Conv <pads=[2,0]> (t, v)",
    "a convolution that looks ahead": "s = Slice (x, front, one, one) d = Sub (x, s)"
    " t = Transpose <perm=[0,2,1]> (d) y = Conv <pads=[1,1]> (t, v)",
    "a later convolution of the sum of both": "t = Transpose <perm=[0,2,1]> (x) c = Conv <pads=[1,1]> (t, v)"
    " s = Slice (x, front, one, one) u = Transpose <perm=[0,2,1]> (s) d = Add (c, u) y = Conv <pads=[1,1]> (d, v)",
    "a sum over time of the difference": "s = Slice (x, front, one, one) d = Sub (x, s) y = CumSum (d, one)",
    "an attention over the difference": """
        s = Slice (x, front, one, one) e = Sub (x, s) t = Transpose <perm=[0,2,1]> (e) z = MatMul (e, t)
        n = Shape <start=1, end=2> (x) m = Squeeze (n) i = Range (zero, m, step)
        h = Unsqueeze (i, one) c = Unsqueeze (i, front) b = Sub (h, c) near = Less (b, left) far = Greater (b, right)
        sees = And (near, far) q = Where (sees, z, minus) p = Softmax <axis=-1> (q) y = MatMul (p, x)
    """,
    "the first of every second frame": "t = Transpose <perm=[0,2,1]> (x) c = Conv <strides=[2], pads=[2,0]> (t, v)"
    " s = Slice (c, front, one, two) y = Div (c, s)",
}
WEIGHTS = {"w": random(1, 12, 4), "r": random(1, 12, 4), "k": random(4, 4), "v": random(4, 4, 3)}
NUMBERS = {"front": [0], "one": [1], "two": [2], "end": [2**31], "minus1": [-1], "step": 1, "left": 5, "right": -3}


def model(body: str) -> onnx.ModelProto:
    arrays = {
        **WEIGHTS,
        "zero": np.array(0),
        "minus": np.float32(-1e9),
        **{name: np.array(value) for name, value in NUMBERS.items()},
    }
    return model_of(body, "float[1,T,4] x", **{name: value for name, value in arrays.items() if name in body})


@pytest.mark.parametrize("times", [1, at_night(3), 0], ids=["smallest chunk", "three times it", "any multiple"])
@pytest.mark.parametrize("body", MODELS.values(), ids=MODELS)
def test_what_depends_on_the_first_frame_is_equal(body: str, times: int) -> None:
    found = verdict_of(model(body), times, range(1, 40), SPEC)
    assert found.kind == "equal", found.detail


@pytest.mark.parametrize(
    ("body", "late"),
    [
        (
            "t = Transpose <perm=[0,2,1]> (x) c = Conv <pads=[1,1]> (t, v) f = Gather <axis=2> (c, zero) y = Sub (c, f)",
            1,
        ),
        ("l = Slice (x, two, end, one) f = Gather <axis=1> (l, zero) u = Unsqueeze (f, one) y = Sub (x, u)", 2),
    ],
)
def test_the_first_frame_of_what_is_late_is_refused(body: str, late: int) -> None:
    with pytest.raises(
        StreamError, match=f"reads the first frame of a tensor that is delayed by {late} frames"
    ) as caught:
        lift(analyse(offline_of(model(body), SPEC)))
    assert caught.value.hint == "read the first frame before the ops that look ahead"
