"""simplify keeps what a model gives where numbers run out: norms of zero, probabilities of zero, ties."""

from __future__ import annotations

import re

import numpy as np
import pytest
from transforming import model_of

import graphc
from graphc.ir.ort_session import Session

EDGES = {
    "a frame divided by its norm": (
        "n = ReduceL2 <axes=[-1], keepdims=1> (x) q = Div (x, n) b = IsNaN (q) y = Where (b, one, q)",
        np.zeros((1, 2, 8), np.float32),
    ),
    "a frame divided by its sum": (
        "a = Abs (x) n = ReduceL1 <axes=[-1], keepdims=1> (x) q = Div (x, n) b = IsNaN (q) y = Where (b, one, q)",
        np.zeros((1, 2, 8), np.float32),
    ),
    "the logarithm of a softmax": (
        "p = Softmax <axis=-1> (x) l = Log (p) b = IsInf (l) y = Where (b, one, l)",
        np.arange(16, dtype=np.float32).reshape(1, 2, 8) * 100,
    ),
    "a product that overflows on the way": (
        "c = Less (x, one) f = Cast <to=1> (c) g = Mul (f, big) h = Mul (g, ten) y = Add (x, h)",
        2 * np.ones((1, 2, 8), np.float32),
    ),
    "a loop that ends early": (
        "y = Loop (five, , x) <body = b (int64 i, bool go, float[1,2,8] v) => (bool again, float[1,2,8] w)"
        "{ again = Less (i, first) f = Cast <to=1> (i) w = Add (v, f) }>",
        np.zeros((1, 2, 8), np.float32),
    ),
    "the place of the largest probability": (
        "p = Softmax <axis=-1> (x) i = ArgMax <axis=-1, keepdims=1> (p) y = Cast <to=1> (i)",
        1e-9 * np.arange(16, dtype=np.float32).reshape(1, 2, 8),
    ),
}


@pytest.mark.parametrize(("body", "value"), EDGES.values(), ids=EDGES)
def test_what_a_model_gives_at_its_edges_stays(body: str, value: np.ndarray) -> None:
    numbers = {"one": np.float32(1), "big": np.float32(-3e38), "ten": np.float32(10), "five": np.array(5)}
    numbers["first"] = np.array(1)
    read = re.findall(r"\w+", body)
    constants = {name: np.asarray(value) for name, value in numbers.items() if name in read}
    model = model_of(body, **constants)
    made = graphc.transform(model, ["simplify"])
    np.testing.assert_array_equal(Session(made).run({"x": value})["y"], Session(model).run({"x": value})["y"])
