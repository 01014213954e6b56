"""Streams so short that an op gives something else there: single frames that broadcast, or whose axis is dropped."""

from __future__ import annotations

import numpy as np
import pytest
from lifting import model_of, random, weights
from promise import verdict_of

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.propagation.analysis import analyse

SPEC = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
INTS = {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2]), "end": np.array([2**31 - 1])}
EVEN = "a = Slice (x, zero, end, one, two)"
ODD = "b = Slice (x, one, end, one, two)"


@pytest.mark.parametrize(
    ("body", "first"),
    [
        (f"{EVEN} {ODD} y = Mul (a, b)", 4),
        (f"{EVEN} {ODD} c = Tanh (a) y = Add (b, c)", 4),
        ("l = MatMul (x, w) y = Squeeze (l)", 2),
        (f"{EVEN} l = MatMul (a, w) y = Squeeze (l)", 3),
        ("l = MatMul (x, w) s = Squeeze (l) y = CumSum (s, front)", 2),
    ],
)
def test_a_length_at_which_an_op_gives_something_else_is_no_stream(body: str, first: int) -> None:
    """Three frames have two even places and one odd one, which the offline model broadcasts."""
    ints = {n: v for n, v in INTS.items() if n in body}
    more = {"w": random(4, 1)} if "(a, w)" in body or "(x, w)" in body else {}
    more |= {"front": np.array(0)} if "front" in body else {}
    model = weights(model_of(body, "float[1,T,4] x", "float[A,B,C] y"), **ints, **more)
    promise = analyse(offline_of(model, SPEC)).promise
    assert (promise.min_frames, promise.max_frames, promise.tried) == (first, None, {})
    assert verdict_of(model, 1, range(first, 30), SPEC).kind == "equal"


@pytest.mark.parametrize(("divided", "longest"), [("Div (i, ten)", 500), ("Mod (i, ten)", None)])
def test_a_table_read_at_a_low_rate_ends_the_stream_where_it_ends(divided: str, longest: int | None) -> None:
    body = f"""
        h = Shape (x) t = Gather (h, second) i = Range (none, t, step) k = {divided} p = Gather (table, k)
        y = Add (x, p)
    """
    scalars = {"second": np.array(1), "none": np.array(0), "step": np.array(1), "ten": np.array(10)}
    model = weights(model_of(body, "float[1,T,4] x", "float[1,T,4] y"), table=random(50, 4), **scalars)
    promise = analyse(offline_of(model, SPEC)).promise
    assert (promise.max_frames, promise.tried) == (longest, {})
    assert verdict_of(model, 0, (1, 9, 10, 11, 499, 500), SPEC).kind == "equal"


def test_the_last_frame_repeated_to_whole_stacks_is_edge_padding() -> None:
    """As Zipformer's downsampling is exported: ``cat([x, x[:, T - 1:].expand(...)])``."""
    body = """
        h = Shape (x) t = Slice (h, one, two) before = Sub (t, one) last = Slice (x, before, end, one, one)
        more = Add (t, one) half = Div (more, two) whole = Mul (half, two) missing = Sub (whole, t)
        to = Concat <axis=0> (one, missing, wide) copies = Expand (last, to) full = Concat <axis=1> (x, copies)
        rows = Concat <axis=0> (one, half, two, wide) r = Reshape (full, rows) y = ReduceMean <axes=[2], keepdims=0> (r)
    """
    ints = {n: INTS[n] for n in ("one", "two", "end")}
    model = weights(model_of(body, "float[1,T,4] x", "float[1,U,4] y"), wide=np.array([4]), **ints)
    promise = analyse(offline_of(model, SPEC)).promise
    assert (promise.min_frames, promise.max_frames, promise.tried) == (1, None, {})
    for times in (1, 0):
        assert verdict_of(model, times, range(1, 30), SPEC).kind == "equal"


def test_padding_given_as_an_attribute_is_lifted() -> None:
    model = model_of("y = Pad <pads=[0,2,0,0,1,0]> (x)", "float[1,T,4] x", "float[1,U,4] y", 10)
    assert verdict_of(model, 1, range(1, 12), SPEC).kind == "equal"


def test_windows_picked_by_clamped_places_are_windows() -> None:
    """As Kaldi splices frames: ``x[:, (arange(T)[:, None] + offsets).clamp(0, T - 1)]``."""
    body = """
        h = Shape (x) t = Gather (h, second) i = Range (none, t, step) f = Unsqueeze (i, one) p = Add (f, offsets)
        last = Sub (t, step) low = Max (p, none) k = Min (low, last) s = Gather <axis=1> (x, k)
        r = Reshape (s, rows) y = MatMul (r, w)
    """
    scalars = {"second": np.array(1), "none": np.array(0), "step": np.array(1), "one": np.array([1])}
    arrays = {"offsets": np.array([[-4, -2, 0, 2]]), "rows": np.array([1, -1, 16]), "w": random(16, 3)}
    model = weights(model_of(body, "float[1,T,4] x", "float[1,T,3] y"), **scalars, **arrays)
    assert not analyse(offline_of(model, SPEC)).promise.tried
    assert verdict_of(model, 1, range(1, 24), SPEC).kind == "equal"
