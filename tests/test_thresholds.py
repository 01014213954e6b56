"""Models that do something else from some length on: seen beyond it, or refused; also where nothing compares with a number."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from test_rules import lifted_equal, model_of, refusal, weights

from graphc.offline import offline_of
from graphc.spec import InputSpec, StreamSpec
from graphc.stream.evaluate import evaluate

HEAD = "h = Shape (x) t = Gather (h, two)"
CUT = "e = Unsqueeze (v, front) y = Slice (x, front, e, time)"
SCALED = "f = Cast <to=1> (v) g = Mul (f, small) y = Add (x, g)"
EXCESS = "d = Sub (t, late) v = Max (d, zero)"
NUMBERS = {
    "two": np.array(2),
    "zero": np.array(0),
    "one": np.array(1),
    "front": np.array([0]),
    "time": np.array([2]),
    "small": np.float32(0.01),
    "endless": np.array([2**62]),
    "half": np.array(350),
    "wide": np.array([1, 2, 700]),
    "low": np.float32(0.0),
    "shift": np.array(9, np.uint64),
}


def late_model(body: str, late: int = 700) -> onnx.ModelProto:
    return weights(model_of(f"{HEAD} {body}"), late=np.array(late), **NUMBERS)


@pytest.mark.parametrize("place", [200, 700])
def test_what_changes_at_a_late_frame_is_seen(place: int) -> None:
    """A ramp that stops growing and a mask that ends, beyond the lengths at which graphs are usually evaluated."""
    body = """
        r = Range (zero, t, one) c = Min (r, late) f = Cast <to=1> (c) a = Mul (x, f)
        l = Less (r, late) m = Cast <to=1> (l) y = Mul (a, m)
    """
    lifted_equal(late_model(body, place), (50,), range(place - 20, place + 90, 37))


@pytest.mark.parametrize(
    "mask",
    [
        "d = Sub (r, late) l = Less (d, zero) m = Cast <to=1> (l)",
        "d = Sub (late, r) f = Cast <to=1> (d) c = Relu (f) m = Clip (c, low, ceiling)",
    ],
)
def test_a_mask_behind_a_subtraction(mask: str) -> None:
    model = weights(late_model(f"r = Range (zero, t, one) {mask} y = Mul (x, m)"), ceiling=np.float32(1.0))
    lifted_equal(model, (50,), range(690, 800, 37))


@pytest.mark.parametrize(
    "body",
    [
        f"d = Div (t, late) v = Identity (d) {SCALED}",
        f"{EXCESS} {SCALED}",
        f"{EXCESS} e = Unsqueeze (v, front) y = Slice (x, e, endless, time)",
        f"l = Less (t, late) v = Where (l, t, late) {CUT}",
        f"b = Min (h, wide) v = Gather (b, two) {CUT}",
        f"u = Unsqueeze (t, front) w = Unsqueeze (late, front) b = Concat <axis=0> (u, w) v = ReduceMin <keepdims=0> (b) {CUT}",
        f"s = Add (half, half) v = Min (t, s) {CUT}",
        f"r = Range (zero, t, one) u = Unsqueeze (late, front) first = Slice (r, front, u) v = Size (first) {CUT}",
        f"d = Sub (late, t) fd = Cast <to=1> (d) p = Relu (fd) q = Cast <to=7> (p) v = Sub (late, q) {CUT}",
        f"c = Cast <to=2> (t) v = Cast <to=7> (c) {CUT}",
        f"k = Mul (t, t) many = Mul (late, late) d = Sub (k, many) v = Max (d, zero) {SCALED}",
        f"ft = Cast <to=1> (t) n = Cast <to=1> (late) q = Div (ft, n) p = Floor (q) v = Cast <to=7> (p) {SCALED}",
        "e = Neg (late) u = Unsqueeze (e, front) y = Slice (x, u, endless, time)",
        f'c = Cast <to=13> (t) b = BitShift <direction = "RIGHT"> (c, shift) v = Cast <to=7> (b) {SCALED}',
    ],
)
def test_what_changes_with_a_late_length_is_refused(body: str) -> None:
    """Each is as long as its input, or as it was, up to 699 frames (255 where a cast wraps)."""
    error = refusal(late_model(body))
    assert error.node
    assert error.hint


@pytest.mark.parametrize("use", ["r = Range (zero, t, one) q = Less (r, v) m = Cast <to=1> (q) y = Mul (x, m)", CUT])
def test_a_count_that_is_clamped_where_it_is_read(use: str) -> None:
    """An input that counts the frames is time-only itself."""
    body = f"v = Min (count, late) {HEAD} {use}"
    model = weights(model_of(body, inputs="float[1,2,T] x, int64 count"), late=np.array(700), **NUMBERS)
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2), "count": InputSpec(counts="x")})
    assert refusal(model, spec).node


def test_the_promise_of_slow_frames_ends_before_the_change() -> None:
    body = """
        s = Conv <kernel_shape=[10], strides=[10]> (x, w) h = Shape (s) t = Gather (h, two) v = Min (t, late)
        e = Unsqueeze (v, front) y = Slice (s, front, e, time)
    """
    model = weights(model_of(body, inputs="float[1,1,T] x"), w=np.ones((2, 1, 10), np.float32))
    lifted = lifted_equal(weights(model, late=np.array(2500), **NUMBERS), (1,), range(10, 200, 10))
    assert lifted.signature is not None
    assert lifted.signature.max_frames is not None
    assert 10_000 < lifted.signature.max_frames < 25_010


@pytest.mark.parametrize("late", [20, 50, 700])
def test_what_holds_at_one_length_alone_is_seen(late: int) -> None:
    assert refusal(late_model(f"q = Equal (t, late) v = Cast <to=7> (q) {SCALED}", late)).node


def test_a_window_longer_than_the_lengths_evaluated() -> None:
    """The sum of the windows over each frame, as an overlap-add divides by it, grows until a window is full."""
    body = "u = Unsqueeze (t, front) sh = Concat <axis=0> (ones2, u) b = Expand (onef, sh) c = ConvTranspose (b, box) s = ReduceMax <keepdims=0> (c) y = Mul (x, s)"
    numbers = {"onef": np.ones((1, 1, 1), np.float32), "ones2": np.array([1, 1])}
    assert refusal(weights(late_model(body), box=np.ones((1, 1, 600), np.float32), **numbers)).node


def test_a_stretch_between_two_late_changes_is_seen() -> None:
    """Up to 500 frames and from 600 on the table gives the same."""
    body = f"u = Unsqueeze (t, front) q = Greater (u, places) c = Cast <to=7> (q) n = ReduceSum <keepdims=0> (c) v = Gather (kinds, n) {SCALED}"
    model = weights(late_model(body), places=np.array([500, 600]), kinds=np.array([0, 1, 0]))
    assert refusal(model).node


@pytest.mark.parametrize("late", [40, 700])
def test_late_changes_of_slow_frames(late: int) -> None:
    """Lengths that differ by less than a hop tell nothing of the frames behind it."""
    body = "s = Conv <kernel_shape=[400], strides=[160]> (x, w) h = Shape (s) t = Gather (h, two) d = Sub (t, late) v = Max (d, zero) f = Cast <to=1> (v) g = Mul (f, small) y = Add (s, g)"
    model = weights(model_of(body, inputs="float[1,1,T] x"), w=np.ones((2, 1, 400), np.float32) / 400)
    assert refusal(weights(model, late=np.array(late), **NUMBERS)).node


def test_a_bit_that_lengths_reach_late() -> None:
    model = model_of(f"{HEAD} v = BitwiseAnd (t, bit) {SCALED}", opset=18)
    assert refusal(weights(model, bit=np.array(512), **NUMBERS)).node


def test_a_threshold_in_the_body_of_a_loop_over_numbers() -> None:
    body = """
        some = Cast <to=9> (one)
        last, all = Loop (t, some, zero) <body = turn (int64 i, bool on, int64 s) => (bool go, int64 n, int64 o)
            { go = Identity (on) n = Add (s, one) o = Min (s, late) }>
        f = Cast <to=1> (all) y = Mul (x, f)
    """
    assert refusal(late_model(body)).node


@pytest.mark.parametrize("late", [3, 6, 12, 20, 28])
def test_what_changes_before_the_lengths_evaluated_is_refused(late: int) -> None:
    for body in (
        f"d = Sub (late, t) v = Max (d, zero) {SCALED}",
        f"{EXCESS} w = Min (v, one) {CUT}".replace("(v, f", "(w, f"),
    ):
        assert refusal(late_model(body, late)).node


@pytest.mark.parametrize(
    ("body", "most"),
    [
        (f"v = Min (t, late) {CUT}", 4999),
        (f"c = Cast <to=10> (t) v = Cast <to=7> (c) {CUT}", 2047),
        (f"k = Mul (t, t) many = Mul (late, late) d = Sub (k, many) v = Max (d, zero) {SCALED}", 4999),
    ],
)
def test_what_changes_too_far_away_ends_the_promise(body: str, most: int) -> None:
    """A clamp, whole numbers in half precision, a square."""
    model = lifted_equal(late_model(body, 5000))
    assert model.signature is not None
    assert model.signature.max_frames == most


def test_what_changes_too_far_away_somewhere_is_refused() -> None:
    body = "f = Cast <to=1> (t) l = Log (f) d = Sub (l, nine) v = Relu (d) g = Mul (v, small) y = Add (x, g)"
    error = refusal(weights(late_model(body), nine=np.float32(9.0)))
    assert "it may begin to do something else, and graphc looks no further than 2000 frames" in error.reason
    assert "(Relu)" in str(error.node)
    assert "take the limit out of the model" in str(error.hint)


def test_a_model_that_gives_nothing_from_a_length_on_is_refused() -> None:
    body = f"l = Less (t, late) m = Cast <to=7> (l) v = Mul (m, t) {CUT}"
    assert "about 700 frames and more the model gives nothing" in refusal(late_model(body)).reason


def test_a_table_that_ends_far_away_is_no_threshold() -> None:
    """Beyond its last row the offline model does not run, so that nothing is promised there."""
    table = np.random.default_rng(0).standard_normal((1, 2, 5000)).astype(np.float32)
    body = "e = Unsqueeze (t, front) p = Slice (table, front, e, time) y = Add (x, p)"
    model = lifted_equal(weights(late_model(body), table=table))
    assert model.signature is not None
    assert model.signature.max_frames == 5000


@pytest.mark.parametrize(
    "read", ["e = Unsqueeze (t, front) p = Slice (rows, front, e)", "r = Range (zero, t, one) p = Gather (rows, r)"]
)
@pytest.mark.parametrize("period", [1, 3])
def test_rows_of_a_table_that_are_others_from_some_row_on(read: str, period: int) -> None:
    rows = np.tile(np.arange(1, period + 1, dtype=np.float32), 1000)
    rows[700:] *= 2
    model = weights(late_model(f"{read} y = Mul (x, p)"), rows=rows[:2000])
    lifted_equal(model, (50,), range(690, 800, 37))


def test_numbers_that_no_stream_reaches_are_no_thresholds() -> None:
    lifted_equal(weights(late_model(f"v = Min (t, most) {CUT}"), most=np.array(2**31 - 1)))


def test_graphs_without_late_changes_are_evaluated_at_short_lengths() -> None:
    body = "r = Range (zero, t, one) l = Less (r, two) m = Cast <to=1> (l) y = Mul (x, m)"
    assert max(evaluate(offline_of(late_model(body), StreamSpec(chunk=1))).lengths) < 100
