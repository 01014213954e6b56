"""What no length evaluated shows: rounding and wrapping far away, and lengths between those that are tried."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from attention_texts import ARRAYS, SCORES
from lifting import lifted_equal, model_of, random, weights

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc_runtime.errors import StreamError

RAMP = "shape = Shape <start=2, end=3> (x) n = Squeeze (shape) i = Range (zero, n, one) f = Cast <to=1> (i)"
GATE = "g = Cast <to=1> (gate) y = Mul (x, g)"
NUMBERS = {"zero": np.array(0), "one": np.array(1), "unit": np.float32(1), "none": np.float32(0)}


def end_of(model: onnx.ModelProto) -> int | None:
    """The longest stream for which equality is claimed; 0 if the model is refused."""
    try:
        signature = lift(analyse(offline_of(model, StreamSpec(chunk=1)))).signature
    except StreamError as err:
        assert err.hint
        return 0
    assert signature is not None
    return signature.max_frames


def ends_by(frames: int, body: str, inputs: str = "float[1,2,T] x", **arrays: np.ndarray) -> None:
    end = end_of(weights(model_of(body, inputs), **NUMBERS, **arrays))
    assert end is not None
    assert end <= frames


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize(
    ("kernel", "stride", "pads"), [(15, 16, (4, 0)), (7, 8, (3, 0)), (3, 2, (1, 1)), (2, 5, (0, 1))]
)
def test_a_pool_has_its_last_window_at_every_length(op: str, kernel: int, stride: int, pads: tuple[int, int]) -> None:
    body = f"y = {op} <kernel_shape=[{kernel}], strides=[{stride}], pads=[{pads[0]},{pads[1]}], ceil_mode=1> (x)"
    model = model_of(body, opset=22)
    if op == "AveragePool" and any(pads):
        assert end_of(model) in (0, None)
    if end_of(model) is None:
        lifted_equal(model, chunks=(1,), lengths=range(1, 60))


@pytest.mark.parametrize(
    ("op", "frames"),
    [
        ("whole = Floor (back) gate = Equal (whole, f)", 2037),
        ("whole = Cast <to=7> (back) gate = Equal (whole, i)", 2037),
    ],
)
def test_a_quotient_times_its_divisor_is_rounded(op: str, frames: int) -> None:
    ends_by(frames, f"{RAMP} part = Div (f, d) back = Mul (part, d) {op} {GATE}", d=np.float32(127))


def test_a_running_sum_of_a_rounded_quotient() -> None:
    sums = "flat = Mul (f, none) ones = Add (flat, unit) part = Div (ones, d) total = CumSum (part, zero)"
    back = "back = Mul (total, d) whole = Round (back) next = Add (f, unit) gate = Equal (whole, next)"
    ends_by(19_999, f"{RAMP} {sums} {back} {GATE}", d=np.float32(49))


def test_the_rest_of_a_rounded_quotient() -> None:
    rest = "part = Div (f, d) rest = Mod <fmod=1> (part, unit) gate = Less (rest, third)"
    ends_by(9_999, f"{RAMP} {rest} {GATE}", d=np.float32(3), third=np.float32(0.3333))


@pytest.mark.parametrize("rate", [50, 58, 60])
def test_a_window_in_seconds_has_the_edges_that_rounding_gives_it(rate: int) -> None:
    far = (
        "at = Shape <start=1, end=2> (x) count = Squeeze (at) i = Range (zero, count, one) f = Cast <to=1> (i) "
        "t = Div (f, rate) query = Unsqueeze (t, last) key = Unsqueeze (t, first) d = Sub (query, key) "
        "early = Less (d, none) late = Greater (d, unit) off = Or (early, late) "
        "m = Where (off, low, s) w = Softmax (m) y = MatMul (w, x)"
    )
    arrays = {**ARRAYS, **NUMBERS, "rate": np.float32(rate), "low": np.float32(-np.inf)}
    arrays |= {"last": np.array([1]), "first": np.array([0])}
    model = weights(model_of(f"{SCORES} {far}", "float[1,T,3] x"), **arrays)
    end = end_of(model)
    assert end is not None
    assert end < 120


def test_a_quotient_that_is_only_rounded_down_is_proved() -> None:
    body = f"{RAMP} part = Div (f, d) later = Add (part, unit) down = Floor (later) g = Mul (down, none) y = Add (x, g)"
    end = end_of(weights(model_of(body), **NUMBERS, d=np.float32(3)))
    assert end is None or end > 10**6


@pytest.mark.parametrize("op", ["Conv", "MatMul"])
def test_products_of_large_factors_are_rounded(op: str) -> None:
    shape = (1, 1, 1) if op == "Conv" else (1, 1)
    wide = "u = Unsqueeze (f, lead)" if op == "Conv" else "u = Unsqueeze (f, last)"
    axes = {"lead": np.array([0, 1]), "last": np.array([1])}
    made = f"{wide} a = {op} (u, k) b = {op} (a, k) c = Reshape (b, flat) whole = Cast <to=7> (c)"
    arrays = {**axes, "k": np.full(shape, 255, np.float32), "flat": np.array([-1]), "square": np.array(65025)}
    ends_by(259, f"{RAMP} {made} want = Mul (i, square) gate = Equal (whole, want) {GATE}", **arrays)


def test_int64_wraps() -> None:
    ends_by(2501, f"{RAMP} m = Add (i, far) gate = GreaterOrEqual (m, zero) {GATE}", far=np.array(2**63 - 1 - 2500))


@pytest.mark.parametrize("op", ["Log", "Sqrt"])
def test_zero_times_a_number_that_may_not_be_finite(op: str) -> None:
    made = f"d = Sub (far, f) q = {op} (d) b = Mul (q, none) gate = IsNaN (b) g = Cast <to=1> (gate) y = Add (x, g)"
    ends_by(3000, f"{RAMP} {made}", far=np.float32(3000))


def test_positions_that_are_rounded_behind_an_expand() -> None:
    far = (
        "at = Shape <start=1, end=2> (x) count = Squeeze (at) i = Range (zero, count, one) both = Concat <axis=0> (at, at) "
        "down = Unsqueeze (i, last) across = Unsqueeze (i, first) qw = Expand (down, both) kw = Expand (across, both) "
        "qh = Cast <to=10> (qw) kh = Cast <to=10> (kw) q = Cast <to=1> (qh) p = Cast <to=1> (kh) d = Sub (q, p) "
        "early = Less (d, none) late = Greater (d, eight) off = Or (early, late) "
        "m = Where (off, low, s) w = Softmax (m) y = MatMul (w, x)"
    )
    arrays = {**ARRAYS, **NUMBERS, "eight": np.float32(8), "low": np.float32(-np.inf)}
    arrays |= {"last": np.array([1]), "first": np.array([0])}
    end = end_of(weights(model_of(f"{SCORES} {far}", "float[1,T,3] x"), **arrays))
    assert end is not None
    assert end <= 2049


@pytest.mark.parametrize("scale", [0.3334, 0.34, 1.0005, 2.0002])
def test_a_factor_near_a_whole_one_is_refused(scale: float) -> None:
    body = 'y = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , s)'
    assert end_of(weights(model_of(body), s=np.float32([1, 1, scale]))) == 0


def test_half_a_computed_size_has_another_factor_at_each_length() -> None:
    body = (
        "size = Shape <start=2, end=3> (x) half = Div (size, two) sizes = Concat <axis=0> (others, half) "
        'y = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , , sizes)'
    )
    assert end_of(weights(model_of(body), two=np.array([2]), others=np.array([1, 2]))) == 0


def test_features_whose_sizes_no_scale_gives_are_refused() -> None:
    body = (
        "size = Shape <start=2, end=3> (x) sizes = Concat <axis=0> (others, size) "
        'y = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , , sizes)'
    )
    assert end_of(weights(model_of(body, "float[1,49,T] x"), others=np.array([1, 1]))) == 0


@pytest.mark.parametrize("pads", [[0, 0, 0, 0, 0, 2], [0, 0, 2, 0, 0, 0]])
def test_minus_zero_is_not_the_zero_of_padding(pads: list[int]) -> None:
    body = "a = Neg (x) b = Pad (a, pads) c = Reciprocal (b) y = Atan (c)"
    lifted_equal(weights(model_of(body), pads=np.array(pads)))


def test_a_delay_line_in_front_of_a_reshape_puts_zeros_under_a_reciprocal() -> None:
    body = (
        "c = Conv <pads=[0,1]> (x, k) a = Abs (c) p = Add (a, unit) r = Reshape (p, pairs) q = Reciprocal (r) "
        "back = Reshape (q, flat) s = Softmax <axis=1> (back) y = Mul (s, back)"
    )
    arrays = {"k": random(2, 2, 2), "pairs": np.array([1, 2, -1, 2]), "flat": np.array([1, 2, -1])}
    try:
        lifted_equal(weights(model_of(body), **NUMBERS, **arrays), lengths=range(2, 30, 2))
    except StreamError as err:
        assert err.hint
