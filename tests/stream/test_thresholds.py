"""Models that do something else from some length on: seen beyond it, or refused; also where nothing compares with a number."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from late_models import HEAD, NUMBERS, late_model
from lifting import ends_before, lifted_equal, model_of, weights

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.evaluation.evaluate import evaluate
from graphc.stream.propagation.analysis import analyse

CUT = "e = Unsqueeze (v, front) y = Slice (x, front, e, time)"
SCALED = "f = Cast <to=1> (v) g = Mul (f, small) y = Add (x, g)"
EXCESS = "d = Sub (t, late) v = Max (d, zero)"


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
def test_what_changes_with_a_late_length_ends_the_promise(body: str) -> None:
    """Each is as long as its input, or as it was, up to 700 frames (255 where a cast wraps)."""
    ends_before(late_model(body), 701)


@pytest.mark.parametrize("use", ["r = Range (zero, t, one) q = Less (r, v) m = Cast <to=1> (q) y = Mul (x, m)", CUT])
def test_a_count_that_is_clamped_where_it_is_read(use: str) -> None:
    """An input that counts the frames is time-only itself."""
    body = f"v = Min (count, late) {HEAD} {use}"
    model = weights(model_of(body, inputs="float[1,2,T] x, int64 count"), late=np.array(700), **NUMBERS)
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2), "count": InputSpec(counts="x")})
    ends_before(model, 701, spec)


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
    ends_before(late_model(f"q = Equal (t, late) v = Cast <to=7> (q) {SCALED}", late), late)


def test_a_window_longer_than_the_lengths_evaluated() -> None:
    """The sum of the windows over each frame, as an overlap-add divides by it, grows until a window is full."""
    body = "u = Unsqueeze (t, front) sh = Concat <axis=0> (ones2, u) b = Expand (onef, sh) c = ConvTranspose (b, box) s = ReduceMax <keepdims=0> (c) y = Mul (x, s)"
    numbers = {"onef": np.ones((1, 1, 1), np.float32), "ones2": np.array([1, 1])}
    ends_before(weights(late_model(body), box=np.ones((1, 1, 600), np.float32), **numbers), 600)


def test_a_stretch_between_two_late_changes_is_seen() -> None:
    """Up to 500 frames and from 600 on the table gives the same."""
    body = f"u = Unsqueeze (t, front) q = Greater (u, places) c = Cast <to=7> (q) n = ReduceSum <keepdims=0> (c) v = Gather (kinds, n) {SCALED}"
    ends_before(weights(late_model(body), places=np.array([500, 600]), kinds=np.array([0, 1, 0])), 501)


@pytest.mark.parametrize("late", [40, 700])
def test_late_changes_of_slow_frames(late: int) -> None:
    """Lengths that differ by less than a hop tell nothing of the frames behind it."""
    body = "s = Conv <kernel_shape=[400], strides=[160]> (x, w) h = Shape (s) t = Gather (h, two) d = Sub (t, late) v = Max (d, zero) f = Cast <to=1> (v) g = Mul (f, small) y = Add (s, g)"
    model = weights(model_of(body, inputs="float[1,1,T] x"), w=np.ones((2, 1, 400), np.float32) / 400)
    ends_before(weights(model, late=np.array(late), **NUMBERS), 160 * (late + 1) + 400)


def test_a_bit_that_lengths_reach_late() -> None:
    model = model_of(f"{HEAD} v = BitwiseAnd (t, bit) {SCALED}", opset=18)
    ends_before(weights(model, bit=np.array(512), **NUMBERS), 512)


def test_a_threshold_in_the_body_of_a_loop_over_numbers() -> None:
    body = """
        some = Cast <to=9> (one)
        last, all = Loop (t, some, zero) <body = turn (int64 i, bool on, int64 s) => (bool go, int64 n, int64 o)
            { go = Identity (on) n = Add (s, one) o = Min (s, late) }>
        f = Cast <to=1> (all) y = Mul (x, f)
    """
    ends_before(late_model(body), 701)


@pytest.mark.parametrize("late", [3, 6, 12, 20, 28])
def test_what_changes_in_short_streams_begins_behind_them(late: int) -> None:
    model = late_model(f"d = Sub (late, t) v = Max (d, zero) {SCALED}", late)
    analysis = analyse(offline_of(model, StreamSpec(chunk=1)))
    assert (analysis.promise.min_frames, analysis.promise.tried) == (late, {})
    ends_before(model, late)


@pytest.mark.parametrize("late", [3, 28])
def test_lengths_at_which_the_model_gives_nothing_are_outside_the_promise(late: int) -> None:
    body = f"{EXCESS} w = Min (v, one) {CUT}".replace("(v, f", "(w, f")
    lifted_equal(late_model(body, late), (1,), range(1, late + 30))


@pytest.mark.parametrize(
    ("body", "most"),
    [
        (f"v = Min (t, late) {CUT}", 5000),
        (f"c = Cast <to=10> (t) v = Cast <to=7> (c) {CUT}", 2048),
        (f"d = Sub (t, late) v = Max (d, zero) {SCALED}", 5000),
    ],
)
def test_what_changes_too_far_away_to_be_evaluated_ends_the_promise(body: str, most: int) -> None:
    """A clamp, whole numbers in half precision, an excess."""
    model = lifted_equal(late_model(body, 5000))
    assert model.signature is not None
    assert model.signature.max_frames == most
    assert not model.signature.tried


@pytest.mark.parametrize(
    "body",
    [
        f"k = Mul (t, t) many = Mul (late, late) d = Sub (k, many) v = Max (d, zero) {SCALED}",
        "f = Cast <to=1> (t) l = Log (f) d = Sub (l, nine) v = Relu (d) g = Mul (v, small) y = Add (x, g)",
    ],
)
def test_what_no_formula_decides_is_tried_and_ends_there(body: str) -> None:
    """A square, a logarithm."""
    model = lifted_equal(weights(late_model(body, 5000), nine=np.float32(9.0)))
    assert model.signature is not None
    assert model.signature.max_frames is not None
    assert 1000 <= model.signature.max_frames <= 5000
    assert model.signature.tried


def test_a_model_that_gives_nothing_from_a_length_on_ends_there() -> None:
    ends_before(late_model(f"l = Less (t, late) m = Cast <to=7> (l) v = Mul (m, t) {CUT}"), 700)


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


ODD_NUMBERS = {
    "fifty": np.array(50),
    "ten": np.array(10),
    "seventy": np.array(70),
    "thirteen": np.array(13),
    "thirty": np.array(30),
    "seven": np.array(7),
    "wanted": np.array([4]),
    "listed": np.array([1, 700, 5000]),
    "seven_hundred": np.array([700]),
    "step": np.float32(1400),
    "places": np.arange(100, 701, 50),
    "kinds": np.array([0] * 11 + [1, 0, 0]),
}
FLAG = f"v = Cast <to=7> (q) {SCALED}"
RAMP = "r = Range (zero, t, one)"


def numbers_model(body: str) -> onnx.ModelProto:
    return weights(late_model(body), **ODD_NUMBERS)


@pytest.mark.parametrize(
    "body",
    [
        f"s = Sub (t, thirteen) k = Mod (s, fifty) q = Equal (k, zero) {FLAG}",
        f"k = Add (ten, thirty) m = Mod (t, k) q = Equal (m, zero) {FLAG}",
        f"k = Div (t, ten) q = Equal (k, seventy) {FLAG}",
        f"k = Div (t, ten) q = Equal (k, one) {FLAG}",
        f"d = Sub (t, late) w = Max (d, zero) a = Greater (w, zero) b = Less (w, fifty) q = And (a, b) {FLAG}",
        f"{RAMP} s = SplitToSequence (r, late) a = SequenceAt (s, zero) v = Size (a) {CUT}",
        f"{RAMP} s = SplitToSequence (r, late) v = SequenceLength (s) {SCALED}",
        f"p = Pow (t, seven) q = Less (p, zero) {FLAG}",
        f"a = Unsqueeze (t, front) b = Concat <axis=0> (a, seven_hundred) u = Unique (b) v = Gather (u, zero) {CUT}",
        f"a = Cast <to=1> (t) q = QuantizeLinear (a, step) {FLAG}",
        "a = Unsqueeze (t, front) b = Concat <axis=0> (listed, a) s, i = TopK <largest=0> (b, wanted)"
        f"v = Gather (s, one) {CUT}",
        "u = Unsqueeze (t, front) q = Greater (u, places) c = Cast <to=7> (q) n = ReduceSum <keepdims=0> (c)"
        f"v = Gather (kinds, n) {SCALED}",
    ],
)
def test_what_is_odd_at_some_lengths_alone_ends_the_promise(body: str) -> None:
    ends_before(numbers_model(body), 2001)


@pytest.mark.parametrize(
    "read",
    [
        f"{RAMP} p = GatherElements (rows, r)",
        "e = Unsqueeze (t, front) k = Sub (all, e) s = Concat <axis=0> (e, k) p, q = Split (rows, s)",
        "k = Sub (all, t) e = Neg (k) s = Concat <axis=0> (front, e) p = Pad (rows, s)",
    ],
)
def test_rows_of_a_table_that_become_others_however_they_are_read(read: str) -> None:
    rows = np.ones(2000, np.float32)
    rows[700:] = 2
    model = weights(late_model(f"{read} y = Mul (x, p)"), rows=rows, all=np.array([2000]))
    lifted_equal(model, (50,), range(690, 800, 37))


@pytest.mark.parametrize("change", [20, 21, 30, 37])
def test_rows_of_slow_frames_that_become_others_before_enough_are_seen_to_learn_from(change: int) -> None:
    rows = np.tile(np.float32([1, 2]), 200)
    rows[change:] *= 1.5
    body = """
        z = Conv <strides=[4]> (x, w) sh = Shape (z) n = Gather (sh, two) k = Range (zero, n, one)
        p = GatherElements (rows, k) y = Mul (z, p)
    """
    model = weights(
        late_model(body), rows=rows, w=np.random.default_rng(0).standard_normal((2, 2, 4)).astype(np.float32)
    )
    lifted_equal(model, range(4 * change - 9, 4 * change + 9))


def test_a_table_read_in_a_loop_over_numbers() -> None:
    rows = np.ones(2000, np.float32)
    rows[400:] = 2
    body = """
        some = Cast <to=9> (one)
        all = Loop (t, some) <body = turn (int64 i, bool on) => (bool go, float o)
            { go = Identity (on) o = Gather (rows, i) }>
        y = Mul (x, all)
    """
    ends_before(weights(late_model(body), rows=rows), 2001)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("step", [1e38, 2e12, -3e38])
def test_steps_that_no_integer_holds_are_no_ramp(step: float) -> None:
    body = f"{RAMP} c = Cast <to=1> (r) z = Mul (c, huge) d = Atan (z) y = Add (x, d)"
    lifted_equal(weights(late_model(body), huge=np.float32(step)))
