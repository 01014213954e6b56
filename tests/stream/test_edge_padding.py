"""The first frame repeated in front of a stream: no call waits for it, since the first call has it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import delay, lifted_equal, model_of, random, weights

from graphc.spec.stream_schema import InputSpec, StreamSpec

PADDED = 'p = Pad <mode="edge"> (x, six)'
PLACES = """
    n = Shape <start=2> (x) m = Squeeze (n) r = Range (zero, m, step) c = Unsqueeze (r, first) q = Add (c, offsets)
    l = Max (q, zero) {end} i = Reshape (l, flat) g = Gather <axis=2> (x, i) y = Conv <strides=[4]> (g, k4)
"""
SLICES = (
    "a = Slice (p, front, back6, time) b = Slice (p, two, back4, time) c = Slice (p, six1, far, time)"
    " d = Concat <axis=1> (a, b, c)"
)
BODIES = {
    "shifted copies side by side": (f"{PADDED} {SLICES} y = Neg (d)", 0),
    "a convolution of shifted copies": (f"{PADDED} {SLICES} y = Conv <pads=[2,0]> (d, k6)", 0),
    "a convolution of what is sliced": (f"{PADDED} s = Slice (p, two, far, time) y = Conv (s, k5)", 0),
    "a product of what is sliced": (f"{PADDED} s = Slice (p, two, back4, time) t = Tanh (s) y = Mul (t, x)", 0),
    "every second frame": (f"{PADDED} y = Slice (p, front, far, time, two)", 0),
    "every second frame but the first": (f"{PADDED} y = Slice (p, first, far, time, two)", 0),
    "windows by clamped places": (PLACES.format(end=""), 0),
    "windows by places clamped at both ends": (
        PLACES.format(end="e = Sub (m, step) l2 = Min (l, e)").replace("(l, flat)", "(l2, flat)"),
        1,
    ),
    "behind a lookahead": (f'z = Conv <pads=[0,2]> (x, k3) p = Pad <mode="edge"> (z, six) {SLICES} y = Neg (d)', 8),
}


def model(body: str) -> onnx.ModelProto:
    numbers = {"front": [0], "first": [1], "two": [2], "six1": [6], "time": [2], "far": [2**31], "flat": [-1]}
    numbers |= {"back6": [-6], "back4": [-4], "six": [0, 0, 6, 0, 0, 0], "zero": 0, "step": 1}
    numbers |= {"offsets": [[-3, -2, -1, 1 if "Min" in body else 0]]}
    arrays = {name: np.array(value, np.int64) for name, value in numbers.items()}
    return weights(
        model_of(body), k3=random(2, 2, 3), k4=random(3, 2, 4), k5=random(3, 2, 5), k6=random(2, 6, 3), **arrays
    )


@pytest.mark.parametrize("name", BODIES)
def test_no_call_waits_for_the_first_frame(name: str) -> None:
    body, late = BODIES[name]
    lifted = lifted_equal(model(body), chunks=(1, 2, 3), lengths=range(1, 30))
    assert delay(lifted) == late


FRAMED = """
    p = Pad (x, ten, ones) n = Shape <start=2> (p) m = Squeeze (n) o = Sub (m, steps) r = Range (zero, o, steps)
    c = Unsqueeze (r, first) i = Add (c, taps) g = Gather <axis=2> (p, i) y = Neg (g)
"""


def test_windows_of_padding_alone() -> None:
    integers = {"ten": [0, 0, 10, 0, 0, 0], "zero": 0, "steps": 2, "first": [1], "taps": [[0, 1, 2]]}
    arrays = {name: np.array(value, np.int64) for name, value in integers.items()}
    assert delay(lifted_equal(weights(model_of(FRAMED), ones=np.float32(1), **arrays), chunks=(1, 2, 3))) == 0


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_spectra_of_padding_alone(fill: float) -> None:
    model = model_of(
        "p = Pad (x, forty, fill) s = STFT (p, hop, window, size) y = Neg (s)", "float[1,T] x", "float[1,A,B,2] y"
    )
    arrays = {"forty": np.array([0, 40, 0, 0]), "hop": np.array(4), "size": np.array(16), "fill": np.float32(fill)}
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
    lifted_equal(weights(model, window=np.hanning(16).astype(np.float32), **arrays), lengths=range(1, 40), spec=spec)
