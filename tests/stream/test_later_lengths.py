"""What rewrites and branches rely on, where it changes at a length that is evaluated later, or holds by chance at first."""

from __future__ import annotations

import numpy as np
import pytest
from lifting import model_of, random, weights
from promise import verdict_of

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.propagation.analysis import analyse
from graphc_runtime.errors import StreamError

SPEC = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
COUNT = "h = Shape (x) t = Gather (h, one)"
WRITTEN = f"""
    {COUNT} i = Range (none, t, one) t1 = Unsqueeze (t, at0) u = Transpose <perm=[1,0,2]> (x) e = Mul (i, two)
"""


def test_a_branch_that_turns_within_reach_ends_the_promise() -> None:
    body = f"""
        {COUNT} c = Less (t, far) y = If (c) <
            then_branch = a () => (float[1,T,4] p) {{ p = Tanh (x) }},
            else_branch = b () => (float[1,T,4] q) {{ q = Neg (x) }}>
    """
    model = weights(model_of(body, "float[1,T,4] x", "float[1,T,4] y"), one=np.array(1), far=np.array(300))
    promise = analyse(offline_of(model, SPEC)).promise
    assert (promise.max_frames, promise.tried) == (299, {})


def test_places_that_stop_within_reach_end_the_promise() -> None:
    body = f"""
        {WRITTEN} size = Mul (t1, twice) p = Min (e, far) r = Unsqueeze (p, at1) all = Concat <axis=0> (size, single, wide)
        d = ConstantOfShape <value = float[1] {{0.0}}> (all) s = ScatterND <reduction="add"> (d, r, u)
        y = Transpose <perm=[1,0,2]> (s)
    """
    scalars = {"none": np.array(0), "one": np.array(1), "two": np.array(2), "far": np.array(600)}
    lists = {"at0": [0], "at1": [1], "twice": [2], "single": [1], "wide": [4]}
    model = weights(
        model_of(body, "float[1,T,4] x", "float[1,U,4] y"), **scalars, **{n: np.array(v) for n, v in lists.items()}
    )
    promise = analyse(offline_of(model, SPEC)).promise
    assert (promise.max_frames, promise.tried) == (301, {})


def test_data_that_are_zero_at_first_are_no_zeros() -> None:
    body = f"""
        {WRITTEN} tt = Mul (t, two) j = Range (none, tt, one) d = Gather (table, j) r = Unsqueeze (e, at1)
        s = ScatterND (d, r, u) y = Transpose <perm=[1,0,2]> (s)
    """
    table = random(1200, 1, 4)
    table[:300] = 0
    arrays = {"none": np.array(0), "one": np.array(1), "two": np.array(2), "at0": np.array([0]), "at1": np.array([1])}
    text = body.replace("t1 = Unsqueeze (t, at0)", "")
    del arrays["at0"]
    model = weights(model_of(text, "float[1,T,4] x", "float[1,U,4] y"), table=table, **arrays)
    with pytest.raises(StreamError, match="depends on the length"):
        analyse(offline_of(model, SPEC))


@pytest.mark.parametrize("body", ["m = Max (t, k) d = Div (t, m)", "m = Max (t, k) f = Div (t, m) d = Mul (f, two)"])
def test_a_claim_that_is_not_proved_says_nothing_about_shorter_streams(body: str) -> None:
    text = f"{COUNT} {body} g = Cast <to=1> (d) y = Mul (x, g)"
    scalars = {n: np.array(v) for n, v in (("one", 1), ("two", 2), ("k", 7)) if f" {n})" in text}
    model = weights(model_of(text, "float[1,T,4] x", "float[1,T,4] y"), **scalars)
    try:
        promise = analyse(offline_of(model, SPEC)).promise
    except StreamError:
        return
    assert promise.min_frames >= 7
    assert verdict_of(model, 1, range(1, 40), SPEC).kind == "equal"


def test_a_nested_loop_that_uses_its_outer_loop_s_names() -> None:
    body = """
        y = Loop (three, , x) <body = b (int64 i, bool go, float[1,T,4] v) => (bool again, float[1,T,4] w) {
            again = Identity (go)
            w = Loop (two, , v) <body = c (int64 i, bool go, float[1,T,4] v) => (bool more, float[1,T,4] r) {
                more = Identity (go) f = Cast <to=1> (i) q = Add (v, f) r = Tanh (q) }> }>
    """
    model = weights(model_of(body, "float[1,T,4] x", "float[1,T,4] y"), three=np.array([3]), two=np.array(2))
    assert verdict_of(model, 1, range(1, 12), SPEC).kind == "equal"


def test_a_promise_that_holds_at_no_length_is_refused() -> None:
    body = f"""
        {COUNT} t1 = Unsqueeze (t, at0) f = ConstantOfShape <value = int32[1] {{7}}> (t1) s = CumSum (f, none)
        b = Cast <to=3> (s) g = Cast <to=1> (b) r = Unsqueeze (g, at1) y = Mul (x, r)
    """
    scalars = {"one": np.array(1), "none": np.array(0), "at0": np.array([0]), "at1": np.array([1])}
    model = weights(model_of(body, "float[1,T,4] x", "float[1,T,4] y"), **scalars)
    with pytest.raises(StreamError, match="frames on, but the model behaves differently beyond"):
        analyse(offline_of(model, SPEC))
