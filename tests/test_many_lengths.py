"""The time-only part alone at many lengths: what no margin of an op tells is found there, and then seen or refused."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import onnx
import pytest
from test_rules import lifted_equal, refusal, weights
from test_thresholds import CUT, SCALED, late_model

from graphc.offline import Offline, offline_of
from graphc.spec import InputSpec, MaskSpec, StreamSpec
from graphc.stream.evaluate import evaluate, evaluate_at
from graphc.stream.farther import FOLLOWED, frames_to_one, lengths_apart
from graphc.stream.habits import Rows, Sight, broken_numbers
from graphc.stream.many_lengths import odd_lengths
from graphc.stream.rounded import rounded_line

NUMBERS = {
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
    return weights(late_model(body), **NUMBERS)


def offline_model(body: str) -> Offline:
    return offline_of(numbers_model(body), StreamSpec(chunk=1))


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
def test_what_is_odd_at_some_lengths_alone_is_refused(body: str) -> None:
    error = refusal(numbers_model(body))
    assert error.hint


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
    assert refusal(weights(late_model(body), rows=rows)).node


def test_what_begins_long_before_its_op_turns_ends_the_promise() -> None:
    """exp(T - 5000) times 1e20 is no longer nothing from some 4,950 frames on."""
    body = "a = Cast <to=1> (t) b = Sub (a, far) v = Exp (b) g = Mul (v, huge) y = Add (x, g)"
    model = weights(late_model(body), far=np.float32(5000), huge=np.float32(1e20))
    lifted = lifted_equal(model)
    assert lifted.signature is not None
    assert lifted.signature.max_frames is not None
    assert 2000 <= lifted.signature.max_frames < 4950


def test_a_change_beyond_reach_ends_the_promise() -> None:
    """QuantizeLinear has no margins that are followed; its step lies at 5,000 frames."""
    body = f"a = Cast <to=1> (t) q = QuantizeLinear (a, far) {FLAG}"
    lifted = lifted_equal(weights(late_model(body), far=np.float32(10_000)))
    assert lifted.signature is not None
    assert lifted.signature.max_frames is not None
    assert 2000 <= lifted.signature.max_frames < 5000


@pytest.mark.parametrize(
    "body",
    [
        f"{RAMP} f = Cast <to=1> (r) g = Mul (f, small) y = Add (x, g)",
        f"k = Div (t, ten) m = Mul (k, ten) v = Identity (m) {CUT}",
        "u = Unsqueeze (t, front) z = ConstantOfShape (u) y = Add (x, z)",
    ],
)
def test_what_goes_on_as_it_began_is_not_odd(body: str) -> None:
    offline = offline_model(body)
    assert odd_lengths(offline, evaluate(offline)) == []


def test_every_length_is_evaluated_once() -> None:
    """Each round evaluated again all lengths of the round before: 16 times in the end."""
    body = f"s = Sub (t, thirteen) k = Mod (s, fifty) q = Greater (k, zero) {FLAG}"
    lengths = evaluate(offline_model(body)).lengths
    assert len(set(lengths)) == len(lengths) > 20


def test_of_cycles_that_fit_what_was_learned_the_one_that_lasts() -> None:
    """A flag that is off at every fiftieth length alone looks as if it were a cycle of any length."""
    lengths = np.arange(30, 300)
    flags = (lengths % 50 != 13).astype(np.int64)[:, None]
    learned = np.isin(lengths, [*range(60, 70), 113, *range(130, 140), 163])
    assert not broken_numbers(lengths.tolist(), flags, learned).any()
    flags[130] = 1 - flags[130]
    assert broken_numbers(lengths.tolist(), flags, learned)[130]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("step", [1e38, 2e12, -3e38])
def test_steps_that_no_integer_holds_are_no_ramp(step: float) -> None:
    body = f"{RAMP} c = Cast <to=1> (r) z = Mul (c, huge) d = Atan (z) y = Add (x, d)"
    lifted_equal(weights(late_model(body), huge=np.float32(step)))


def test_a_given_mask_is_not_drawn_at_far_lengths() -> None:
    """A table of two times of 65,536 frames would take 17 gigabytes."""
    body = "y0 = MatMul (x, m) y = Identity (y0)"
    model = onnx.parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[1,2,T] x, float[1,T,T] m) => (float[1,2,U] y) {{ {body} }}'
    )
    inputs = {"x": InputSpec(axis=2), "m": InputSpec(mask=MaskSpec(left=4, right=0, seen=1, unseen=0))}
    offline = offline_of(model, StreamSpec(chunk=1, inputs=inputs))
    began = time.monotonic()
    assert odd_lengths(offline, evaluate(offline)) == []
    assert time.monotonic() - began < 60


def test_one_entry_of_many_that_are_the_same_at_all_lengths() -> None:
    lengths = np.arange(30, 200)
    values = np.tile(np.arange(1000.0), (170, 1))
    values[100, 777] = 0
    assert np.flatnonzero(broken_numbers(lengths.tolist(), values, lengths < 70)).tolist() == [100]


def test_numbers_are_learned_as_lines_cycles_and_single_values() -> None:
    lengths = np.arange(30, 200)
    learned = lengths < 70
    lines = np.stack([lengths // 4 * 4, (-lengths) % 6, np.full(170, 3)], axis=1)
    assert not broken_numbers(lengths.tolist(), lines, learned).any()
    for column in range(3):
        odd = lines.copy()
        odd[100, column] += 1
        assert np.flatnonzero(broken_numbers(lengths.tolist(), odd, learned)).tolist() == [100]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda n: np.minimum(np.arange(n), 90), Sight.ODD),
        (lambda n: (np.arange(n) < n - 3) * (1 + (n > 90)), Sight.OTHER),
        (lambda n: np.subtract.outer(np.arange(n), np.arange(n)).clip(-90, 90), Sight.ODD),
        (lambda n: np.sin(np.abs(np.arange(2 * n - 1) - n + 1) * 1.1) * (1 + (n > 90)), Sight.OTHER),
    ],
)
def test_rows_that_change_are_seen(make: Callable[[int], np.ndarray], kind: Sight) -> None:
    rows = Rows(make(40).shape, make(60).shape)
    sights = [rows.seen(make(n)) for n in range(40, 120)]
    assert set(sights[:50]) == {Sight.AS_BEFORE}
    assert kind in sights[50:60]


def test_the_pace_of_an_axis_is_seen_while_it_grows() -> None:
    """A clamp that was taken for slow frames made graphs be evaluated at millions of frames."""
    lengths = [32, 33, 34, 39, 65, 1220, 15_912]
    assert frames_to_one(lengths, [min(n, 150) for n in lengths]) == 1
    assert frames_to_one(lengths, [n // 160 for n in lengths]) == 160
    assert frames_to_one(lengths, [7] * len(lengths)) == 0


def test_lengths_to_foretell_from_lie_below_where_none_fit_above() -> None:
    body = "z = Conv <strides=[40]> (x, w) sh = Shape (z) n = Gather (sh, two) y = Mul (z, z)"
    model = weights(late_model(body), w=np.ones((2, 2, 40), np.float32))
    offline = offline_of(model, StreamSpec(chunk=1))
    evaluation = evaluate_at(offline, (40, 1000, 1001, 1010))
    most, accepts = max(evaluation.lengths), offline.accepts
    offline.accepts = lambda frames: frames <= most and accepts(frames)  # type: ignore[method-assign]
    found = lengths_apart(offline, evaluation)
    assert len(found) == FOLLOWED
    assert all(most <= 2 * n < 2 * most for n in found)
    assert found[0] not in lengths_apart(offline, evaluate_at(offline, (*evaluation.lengths, found[0])))


def test_no_length_to_foretell_from_is_less_than_half() -> None:
    """A length of 0 frames was asked for, at which onnxruntime aborts."""
    asked: list[int] = []
    model = weights(late_model("z = Conv <strides=[20]> (x, w) y = Mul (z, z)"), w=np.ones((2, 2, 20), np.float32))
    offline = offline_of(model, StreamSpec(chunk=1))
    evaluation = evaluate_at(offline, (20, 30, 45))
    offline.accepts = lambda frames: bool(asked.append(frames))  # type: ignore[method-assign, func-returns-value]
    assert lengths_apart(offline, evaluation) == ()
    assert min(asked) >= 23


def test_rounded_lines_prefer_steps_that_the_graph_names() -> None:
    frames = [100, 101, 102, 103, 105, 260, 420, 580, 740]
    sizes = [(n - 16) // 160 for n in frames]
    line = rounded_line(frames, sizes, [160])
    assert line is not None
    assert abs(line.unclamped(160_016) - 1000) <= 1
    assert rounded_line([1, 2, 3, 4], [1, 4, 9, 16]) is None
