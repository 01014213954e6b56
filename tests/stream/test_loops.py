"""Loops as exporters of TensorFlow and JAX write them: weights, streams and counters carried along, conditions computed."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import delay, kinds, lifted_equal, model_of, random, refusal, weights

from graphc.spec.stream_schema import InputSpec, StreamSpec

COUNT = "sh = Shape (x) n = Gather (sh, two) last = Squeeze (n) t32 = Cast <to=6> (last)"
KERAS = """
    {count}
    a, hn, tn, wn, y = Loop ({trip}, yes, start, h0, t32, w) <body = b (int64 i, bool go, int32 c, float[1,2] h, int32 m, float[2,2] v)
        => (bool again, int32 d, float[1,2] g, int32 m, float[2,2] v, float[1,2] o)
    {{
        d = Add (c, step) {pick} p = MatMul (f, v) s = Add (p, h) g = Tanh (s) o = Identity (g)
        {again}
    }}>
"""
AGAIN = "cf = Cast <to=1> (d) mf = Cast <to=1> (m) q = Less (cf, mf) jf = Cast <to=1> (i) k = Less (jf, mf) again = And (q, k)"
GATHER = "f = Gather <axis=2> (x, c)"
OPEN_SLICE = "us = Unsqueeze (c, front) cut = Slice (x, us, thousand, time, leap) f = Squeeze (cut, at)"
SLICE = """
    c1 = Add (c, unit) us = Unsqueeze (c, front) ue = Unsqueeze (c1, front) starts = Concat <axis=0> (nought, us)
    ef = Cast <to=1> (ue) ec = Max (ef, lots) ei = Cast <to=6> (ec) ends = Concat <axis=0> (far, ei)
    cut = Slice (x, starts, ends, axes, steps) f = Squeeze (cut, at)
"""


def keras(trip: str = "last", pick: str = GATHER, again: str = AGAIN, start: int = 0, step: int = 1) -> onnx.ModelProto:
    model = model_of(KERAS.format(count=COUNT, trip=trip, pick=pick, again=again), outputs="float[A,1,2] y")
    weights(model, two=np.array([2]), yes=np.array(True), h0=random(1, 2), w=random(2, 2))
    weights(model, start=np.int32(start), step=np.int32(step), unit=np.int32(1), front=np.array([0]))
    weights(model, nought=np.zeros(1, np.int32), far=np.array([10**9], np.int32), lots=np.array([1e9], np.float32))
    weights(model, thousand=np.array([1000], np.int32), time=np.array([2], np.int32), leap=np.array([10**9], np.int32))
    return weights(model, axes=np.array([0, 2], np.int32), steps=np.array([1, 10**9], np.int32), at=np.array([2]))


@pytest.mark.parametrize("pick", [GATHER, SLICE])
@pytest.mark.parametrize("trip", ["last", ""])
def test_a_loop_with_a_counter_and_a_condition(pick: str, trip: str) -> None:
    again = AGAIN if trip else "cf = Cast <to=1> (d) mf = Cast <to=1> (m) again = Less (cf, mf)"
    assert kinds(lifted_equal(keras(trip, pick, again))) == ["scan_carry"]


@pytest.mark.parametrize(
    "again",
    [
        "again = Less (d, m)",
        "again = Greater (m, d)",
        "q = GreaterOrEqual (d, m) again = Not (q)",
        "e = Sub (m, d) again = Greater (e, naught)",
        "e = Mul (d, one) q = LessOrEqual (m, e) r = Not (q) again = Or (r, go)",
    ],
)
def test_conditions_that_say_what_the_number_of_turns_says(again: str) -> None:
    model = weights(keras(again=again), naught=np.int32(0), one=np.int32(1))
    assert kinds(lifted_equal(model)) == ["scan_carry"]


def test_behind_a_lookahead() -> None:
    model = keras(pick="f = Gather <axis=2> (z, c)")
    model.graph.node.insert(0, onnx.helper.make_node("Conv", ["x", "kernel"], ["z"], pads=[1, 2]))
    lifted = lifted_equal(weights(model, kernel=random(2, 2, 4)), lengths=range(2, 30))
    assert delay(lifted) % 3 == 0
    assert delay(lifted) >= 2


def test_a_loop_that_carries_the_whole_stream() -> None:
    body = f"""
        {COUNT} t = Transpose <perm=[2,0,1]> (x)
        hn, tn, y = Loop (last, yes, h0, t) <body = b (int64 i, bool go, float[1,2] h, float[?,1,2] s)
            => (bool again, float[1,2] g, float[?,1,2] r, float[1,2] o)
        {{ again = Identity (go) f = Gather <axis=0> (s, i) d = Mul (h, f) g = Tanh (d) o = Add (g, f) r = Identity (s) }}>
    """
    model = weights(model_of(body, outputs="float[A,1,2] y"), two=np.array([2]), yes=np.array(True), h0=random(1, 2))
    assert kinds(lifted_equal(model)) == ["scan_carry"]


@pytest.mark.parametrize(
    ("again", "start", "step", "pick", "says"),
    [
        ("e = Add (d, unit) again = Less (e, m)", 0, 1, GATHER, "may stop it before the last frame"),
        ("again = Less (d, limit)", 0, 1, GATHER, "may stop it before the last frame"),
        ("q = Less (d, m) k = Less (d, limit) again = And (q, k)", 0, 1, GATHER, "may stop it before the last frame"),
        ("q = ReduceSum <keepdims=0> (g) again = Less (q, big)", 0, 1, GATHER, "may stop it before the last frame"),
        ("again = Less (d, m)", -1, 1, GATHER, "other than to pick a frame"),
        ("again = Less (d, m)", 0, 1, OPEN_SLICE, "other than to pick a frame"),
        (
            "e = Cast <to=3> (d) q = Cast <to=3> (m) again = Less (e, q)",
            0,
            1,
            GATHER,
            "may stop it before the last frame",
        ),
        ("again = Identity (go)", 0, 2, "e = Div (c, deux) f = Gather <axis=2> (x, e)", "other than to pick a frame"),
        ("again = Less (d, m)", 0, 1, "e = Min (c, limit) f = Gather <axis=2> (x, e)", "other than to pick a frame"),
        (
            "again = Less (d, m)",
            0,
            1,
            SLICE.replace("us = Unsqueeze (c,", "cc = Min (c, limit) us = Unsqueeze (cc,"),
            "other than",
        ),
        (
            "again = Less (d, m)",
            0,
            1,
            SLICE.replace("us = Unsqueeze (c,", "cc = Add (c, c) cd = Sub (cc, c) us = Unsqueeze (cd,"),
            "other than",
        ),
    ],
)
def test_turns_that_are_not_the_frames_are_refused(again: str, start: int, step: int, pick: str, says: str) -> None:
    model = keras(pick=pick, again=again, start=start, step=step)
    weights(model, limit=np.int32(500), big=np.float32(1e30), deux=np.int32(2))
    assert says in refusal(model).reason


@pytest.mark.parametrize(
    ("again", "says"),
    [
        (
            "cf = Cast <to=1> (d) ff = Mul (cf, tenth) mf = Cast <to=1> (m) ef = Mul (mf, tenth) again = Less (ff, ef)",
            "stop",
        ),
        (
            "cf = Cast <to=1> (d) ff = Add (cf, lot) mf = Cast <to=1> (m) ef = Add (mf, lot) again = Less (ff, ef)",
            "stop",
        ),
        ("e = Mul (d, huge) q = Mul (m, huge) again = Less (e, q)", "stop"),
    ],
)
def test_arithmetic_that_rounds_or_wraps_is_refused(again: str, says: str) -> None:
    model = weights(keras(again=again), tenth=np.float32(0.1), lot=np.float32(1e8), huge=np.int32(2**28))
    assert says in refusal(model).reason


def test_noise_in_a_body_is_refused() -> None:
    noisy = "clean = Gather <axis=2> (x, c) noise = RandomNormal <shape=[1, 2]> () f = Add (clean, noise)"
    assert "draws random numbers" in refusal(keras(pick=noisy)).reason


def test_values_that_change_their_shape_and_turns_returned_are_refused() -> None:
    form = """
        {count} hn, y = Loop (last, yes, h0) <body = b (int64 i, bool go, float[?,2] h) => (bool again, float[?,2] g, {out})
        {{ again = Identity (go) f = Gather <axis=2> (x, i) g = Add (h, f) {more} }}>
    """
    grown = model_of(form.format(count=COUNT, out="float[1,2] o", more="o = Identity (f)"), outputs="float[A,1,2] y")
    weights(grown, two=np.array([2]), yes=np.array(True), h0=random(1, 1))
    assert "whose shape changes" in refusal(grown).reason
    counted = form.format(count=COUNT, out="int64[1] o", more="o = Reshape (i, one)")
    model = model_of(counted, outputs="int64[A,1] y, float[1,2] hn")
    weights(model, two=np.array([2]), yes=np.array(True), h0=random(1, 2), one=np.array([1]))
    assert "returns the iteration number" in refusal(model).reason


def test_reversed_time_is_refused_and_another_axis_is_not() -> None:
    turned = "y = ReverseSequence <time_axis=1, batch_axis=0> (x, n)"
    model = weights(model_of(turned, "float[1,T,2] x", "float[1,A,2] y"), n=np.array([1]))
    assert "reverses time" in refusal(model).reason
    lifted_equal(weights(model_of(turned), n=np.array([2])))


def test_a_body_that_slices_nothing_off_by_constants_of_its_own() -> None:
    """As torch scripts ``x[:, t]``: the axis and the step of a Slice are numbers that the body unsqueezes."""
    body = f"""
        {COUNT} axis = Constant <value = int64 {{0}}> () step = Constant <value = int64 {{1}}> ()
        hn, y = Loop (last, yes, h0) <body = b (int64 i, bool go, float[1,2] h) => (bool again, float[1,2] g, float[1,2] o)
        {{
            zero = Constant <value = int64[1] {{0}}> () end = Constant <value = int64[1] {{9223372036854775807}}> ()
            axes = Unsqueeze (axis, zero) steps = Unsqueeze (step, zero) all = Slice (x, zero, end, axes, steps)
            again = Identity (go) f = Gather <axis=2> (all, i) d = Mul (h, f) g = Tanh (d) o = Add (g, f)
        }}>
    """
    model = weights(model_of(body, outputs="float[A,1,2] y"), two=np.array([2]), yes=np.array(True), h0=random(1, 2))
    assert kinds(lifted_equal(model)) == ["scan_carry"]


@pytest.mark.parametrize(
    ("outside", "inside"),
    [
        ("v = Transpose (w)", "p = MatMul (f, v)"),
        ("q = QuantizeLinear (w, grain) v = DequantizeLinear (q, grain)", "p = MatMul (f, v)"),
        ("sb = Shape <start=0, end=2> (x) v = ConstantOfShape (sb)", "p = Add (f, v)"),
    ],
)
def test_bodies_that_read_what_a_time_only_node_made(outside: str, inside: str) -> None:
    """A transposed or dequantized weight, zeros of the batch's size."""
    loop = f"""
        {COUNT} {outside} hn, y = Loop (last, yes, h0) <body = b (int64 i, bool go, float[1,2] h) => (bool again, float[1,2] g, float[1,2] o)
        {{ again = Identity (go) f = Gather <axis=2> (x, i) {inside} s = Add (p, h) g = Tanh (s) o = Identity (g) }}>
    """
    scan = f"""
        {outside} t = Transpose <perm=[2,0,1]> (x)
        hn, y = Scan <num_scan_inputs=1, body = b (float[1,2] h, float[1,2] f) => (float[1,2] g, float[1,2] o)
        {{ {inside} s = Add (p, h) g = Tanh (s) o = Identity (g) }}> (h0, t)
    """
    for body in (loop, scan):
        model = weights(model_of(body, outputs="float[A,1,2] y"), two=np.array([2]), yes=np.array(True))
        lifted_equal(weights(model, h0=random(1, 2), w=random(2, 2), grain=np.float32(0.01)))


def test_a_branch_by_a_static_input_that_reads_what_a_time_only_node_made() -> None:
    body = """
        v = Neg (w) yes = Cast <to=9> (flag)
        u = If (yes) <then_branch = a () => (float[2,2] r) { r = Neg (v) }, else_branch = b () => (float[2,2] s) { s = Identity (v) }>
        y = MatMul (u, x)
    """
    lifted_equal(weights(model_of(body, inputs="float[1,2,T] x, float flag"), w=random(2, 2)))


def test_a_flag_that_is_set_after_the_first_turn() -> None:
    body = f"""
        {COUNT} hn, fl, y = Loop (last, yes, h0, yes) <body = b (int64 i, bool go, float[1,2] h, bool first)
            => (bool again, float[1,2] g, bool nf, float[1,2] o)
        {{ again = Identity (go) f = Gather <axis=2> (x, i) q = Where (first, f, h) d = Add (q, f) g = Tanh (d) nf = Identity (no) o = Identity (g) }}>
    """
    model = weights(model_of(body, outputs="float[A,1,2] y"), two=np.array([2]), yes=np.array(True), no=np.array(False))
    lifted_equal(weights(model, h0=random(1, 2)))


MAP = """
    sh = Shape <start = 0, end = 1> (x) {trip} = Squeeze (sh)
    y = Loop ({trip}, {first}) <body = b (int64 i, bool go) => (bool again, float[A,B] o)
    {{
        one = Gather <axis = 0> (x, i) row = Unsqueeze (one, front) f = Conv <pads = [2, 0]> (row, w)
        r = Squeeze (f, front) scale = Cast <to = 1> (i) up = Add (scale, unit) o = Mul (r, up)
        {again}
    }}>
"""


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize(
    ("trip", "first", "again"),
    [
        ("n", "yes", "again = Identity (go)"),
        ("n", "yes", "j = Add (i, one64) again = Less (j, n)"),
    ],
)
def test_a_loop_that_turns_once_for_each_stream_of_the_batch(batch: int, trip: str, first: str, again: str) -> None:
    model = model_of(MAP.format(trip=trip, first=first, again=again), "float[N,2,T] x", "float[A,B,C] y")
    weights(model, w=random(3, 2, 3), front=np.array([0]), unit=np.float32(1), yes=np.array(True), one64=np.array(1))
    found = lifted_equal(model, spec=StreamSpec(chunk=1, batch=batch, inputs={"x": InputSpec(axis=2)}))
    assert kinds(found) == ["conv_context"] * batch
    assert found.signature is not None
    assert not found.signature.tried


def test_a_loop_whose_turns_data_decides_is_refused() -> None:
    again = "far = ReduceMax <keepdims = 0> (one) again = Less (far, unit)"
    model = model_of(MAP.format(trip="n", first="yes", again=again), "float[N,2,T] x", "float[A,B,C] y")
    weights(model, w=random(3, 2, 3), front=np.array([0]), unit=np.float32(1), yes=np.array(True))
    err = refusal(model, StreamSpec(chunk=1, batch=2, inputs={"x": InputSpec(axis=2)}))
    assert "Loop" in (err.node or "")


@pytest.mark.parametrize("again", ["again = Identity (go)", "again = Constant <value = bool {1}> ()"])
def test_a_loop_over_layers_is_unrolled(again: str) -> None:
    """As ``jax.lax.fori_loop(0, 3, ...)`` is exported: the whole stream goes from turn to turn."""
    body = f"""
        y = Loop (three, yes, x) <body = b (int64 i, bool go, float[1,2,T] v) => (bool again, float[1,2,T] o)
        {{ {again} p = Pad (v, amounts) c = Conv (p, w) o = Tanh (c) }}>
    """
    model = weights(model_of(body), three=np.array(3), yes=np.array(True), amounts=np.array([0, 0, 2, 0, 0, 0]))
    assert kinds(lifted_equal(weights(model, w=random(2, 2, 3)))) == ["conv_context"] * 3


def test_a_loop_that_may_end_early_is_not_unrolled() -> None:
    body = """
        y = Loop (three, yes, x) <body = b (int64 i, bool go, float[1,2,T] v) => (bool again, float[1,2,T] o)
        { again = Less (i, one) o = Tanh (v) }>
    """
    model = weights(model_of(body), three=np.array(3), yes=np.array(True), one=np.array(1))
    assert refusal(model)
