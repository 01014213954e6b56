"""What masks leave of a score matrix, against what random data leaves of it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from attention_texts import ARRAYS, PLACES, SCORES
from lifting import model_of, random, weights

from graphc.ir.ort_session import Session
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.facts.scores import ScoreMatrix
from graphc.stream.propagation.analysis import analyse
from graphc_runtime.errors import StreamError

NEAR = "far = Abs (d) off = Greater (far, reach) on = Not (off)"
KEPT = "w = Softmax (m) y = MatMul (w, x)"
MASKS = {
    "where": (f"{NEAR} m = Where (off, low, s) {KEPT}", "w"),
    "added": (f"{NEAR} a = Where (off, low, none) m = Add (s, a) {KEPT}", "w"),
    "subtracted": (f"{NEAR} f = Cast <to=1> (off) a = Mul (f, high) m = Sub (s, a) {KEPT}", "w"),
    "multiplied behind": (f"{NEAR} f = Cast <to=1> (on) w = Mul (s, f) y = MatMul (w, x)", "w"),
    "one less the mask": (f"{NEAR} f = Cast <to=1> (off) g = Sub (unit, f) w = Mul (s, g) y = MatMul (w, x)", "w"),
    "chosen by products": (
        f"{NEAR} f = Cast <to=1> (off) g = Cast <to=1> (on) e = Sub (s, high) a = Mul (f, e) b = Mul (s, g)"
        f" m = Add (a, b) {KEPT}",
        "w",
    ),
    "two masks": (f"{NEAR} ahead = Less (d, zero) both = Or (off, ahead) m = Where (both, low, s) {KEPT}", "w"),
    "numbers put in place of NaN and of infinities, as nan_to_num does": (
        f"{NEAR} m = Where (off, low, s) v = Softmax (m) n = IsNaN (v) a = Where (n, none, v) i = IsInf (v) "
        "over = Greater (v, none) top = And (over, i) b = Where (top, high, a) under = Less (v, none) "
        "bottom = And (under, i) w = Where (bottom, low, b) y = MatMul (w, x)",
        "w",
    ),
    "squared behind": (f"{NEAR} m = Where (off, low, s) g = Relu (m) w = Pow (g, square) y = MatMul (w, x)", "w"),
    "the smaller of both": (f"{NEAR} a = Where (off, low, high) m = Min (s, a) {KEPT}", "w"),
}
NUMBERS = {
    "reach": np.array(2),
    "low": np.float32(-np.inf),
    "none": np.float32(0),
    "high": np.float32(1e9),
    "unit": np.float32(1),
    "square": np.float32(2),
}


@pytest.mark.parametrize("name", MASKS)
def test_entries_that_masks_turn_off_are_zero_whatever_the_data_is(name: str) -> None:
    body, table = MASKS[name]
    model = weights(model_of(f"{SCORES} {PLACES} {body}", "float[1,T,3] x"), **ARRAYS, **NUMBERS)
    analysis = analyse(offline_of(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})))
    fact = analysis.facts[table]
    assert isinstance(fact, ScoreMatrix)
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    shown.graph.output.append(onnx.ValueInfoProto(name=table))
    session = Session(shown)
    for frames, zero in zip(analysis.evaluation.lengths, fact.masks.zero, strict=True):
        given = np.any([session.run({"x": random(1, frames, 3) * k})[table][0] != 0 for k in (1, -2)], axis=0)
        assert not (given & zero).any(), "what is said to be zero is"
        distances = np.abs(np.subtract.outer(np.arange(frames), np.arange(frames)))
        assert zero[distances > 2].all(), "what the mask turns off is said to be zero"
        assert zero.shape == given.shape


def test_a_root_makes_large_what_a_mask_only_made_small() -> None:
    body = f"{NEAR} a = Where (off, low, none) m = Add (s, a) v = Softmax (m) w = Pow (v, root) y = MatMul (w, x)"
    numbers = {**NUMBERS, "low": np.float32(-1e4), "root": np.float32(0.125)}
    model = weights(model_of(f"{SCORES} {PLACES} {body}", "float[1,T,3] x"), **ARRAYS, **numbers)
    with pytest.raises(StreamError, match="attends to all past and future frames"):
        analyse(offline_of(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})))
