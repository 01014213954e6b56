"""Loops that write or append one frame in each iteration, as PyTorch scripts do with ``ys[:, t] = y``."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import delay, ends_before, kinds, lifted_equal, model_of, random, refusal, weights

from graphc.spec.stream_schema import InputSpec, StreamSpec

SPEC = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
FRAMES = "xs = Shape (x) n = Gather (xs, one)"
ZEROS = "ys = ConstantOfShape (xs)"
LONGER = "more = Add (xs, pair) ys = ConstantOfShape (more)"
COPY = "ys = Identity (x)"
LOOP = """
    {frames} {start} h0 = ConstantOfShape (frame)
    hn, out = Loop ({turns}, yes, h0, ys) <body = b (int64 i, bool go, float[1,4] h, float[1,?,4] v) => (bool on, float[1,4] g, float[1,?,4] w)
    {{ on = Identity (go) {read} p = Mul (h, half) s = Add (p, f) g = Tanh (s) {write} }}>
    {end}
"""
READ = "f = Gather <axis=1> (x, i)"
READ_LATER = "a = Add (i, one) f = Gather <axis=1> (x, a)"
ROWS = """
    vs = Shape (v) d0 = Gather (vs, zero) r0 = Range (zero, d0, one) c0 = Reshape (r0, column) {place}
    sum = Add (c0, t) ss = Shape (sum) e0 = Expand (c0, ss) e1 = Expand (t, ss)
    u0 = Unsqueeze (e0, last) u1 = Unsqueeze (e1, last) index = Concat <axis=-1> (u0, u1)
    rest = Slice (vs, two, far, front) us = Concat <axis=0> (ss, rest) u = Reshape (g, us) w = ScatterND (v, index, u)
"""
READ_AGAIN = """
    f0 = Gather <axis=1> (x, i) z0 = Gather <axis=1> (v, i) j1 = Add (i, one) z1 = Gather <axis=1> (v, j1)
    z = Sub (z0, z1) f = Add (f0, z)
"""
AT_TURN = ROWS.format(place="t = Unsqueeze (i, front)")
AFTER_TURN = ROWS.format(place="j = Add (i, one) t = Unsqueeze (j, front)")
TWO_LATER = ROWS.format(place="j = Add (i, second) t = Unsqueeze (j, front)")
SLICED = ROWS.format(
    place="d1 = Gather (vs, one) r1 = Range (zero, d1, one) l = Unsqueeze (i, front) m = Add (l, first)"
    " t = Slice (r1, l, m, front)"
)
ELEMENTS = "u = Unsqueeze (g, first) t = Reshape (i, cube) k = Expand (t, whole) w = ScatterElements <axis=1> (v, k, u)"
APPEND = "u = Unsqueeze (g, first) w = Concat <axis=1> (v, u)"
LOOPS = {
    "writes at the iteration": (ZEROS, "n", READ, AT_TURN, "y = Identity (out)"),
    "writes a slice at the iteration": (ZEROS, "n", READ, SLICED, "y = Identity (out)"),
    "writes elements at the iteration": (ZEROS, "n", READ, ELEMENTS, "y = Identity (out)"),
    "writes into a copy of what it reads": (COPY, "n", "f = Gather <axis=1> (v, i)", AT_TURN, "y = Identity (out)"),
    "adds to zeros": (ZEROS, "n", READ + " z = Gather <axis=1> (v, i) q = Add (z, f)", AT_TURN, "y = Neg (out)"),
    "appends to nothing": ("ys = ConstantOfShape (none)", "n", READ, APPEND, "y = Identity (out)"),
    "appends to a frame": ("ys = ConstantOfShape (unit)", "n", READ, APPEND, "y = Slice (out, first, far, first)"),
    "writes one behind": (
        "more = Add (xs, single) ys = ConstantOfShape (more)",
        "n",
        READ,
        AFTER_TURN,
        "y = Neg (out)",
    ),
    "leaves out the first frame": (ZEROS, "less", READ_LATER, AFTER_TURN, "y = Identity (out)"),
    "leaves out the last frame": (ZEROS, "less", READ, AT_TURN, "y = Identity (out)"),
    "reads what it wrote": (
        COPY,
        "less",
        "z = Gather <axis=1> (v, i)" + READ_LATER.replace("f =", "e =") + " f = Add (e, z)",
        AFTER_TURN,
        "y = Identity (out)",
    ),
    "reads the frame behind": (
        *(COPY, "less", "a = Add (i, one) f = Gather <axis=1> (v, a)"),
        *(AT_TURN, "y = Identity (out)"),
    ),
    "leaves out two frames of a copy": (
        *(COPY, "less2", "a = Add (i, second) f = Gather <axis=1> (x, a)"),
        *(TWO_LATER, "y = Identity (out)"),
    ),
    "reads what it wrote twice before": (LONGER, "n", READ_AGAIN, TWO_LATER, "y = Slice (out, two, far, first)"),
}
REFUSED = {
    "writes backwards": (
        ZEROS,
        "n",
        READ,
        ROWS.format(place="b = Sub (n, one) j = Sub (b, i) t = Unsqueeze (j, front)"),
    ),
    "reads all that it wrote": (ZEROS, "n", READ + " m = ReduceSum (v) e = Add (f, m)", AT_TURN),
    "writes half a frame": (ZEROS, "n", READ, ELEMENTS.replace("whole)", "part)").replace("(g, first)", "(k2, first)")),
}


def looped(start: str, turns: str, read: str, write: str, end: str) -> onnx.ModelProto:
    less = {"less": " less = Sub (n, one)", "less2": " less2 = Sub (n, second)"}.get(turns, "")
    body = LOOP.format(frames=FRAMES + less, start=start, turns=turns, read=read, write=write, end=end)
    model = model_of(body, inputs="float[1,T,4] x", outputs="float[1,A,4] y")
    numbers = {"zero": 0, "one": 1, "second": 2, "front": [0], "first": [1], "two": [2], "last": [-1], "far": [2**31]}
    shapes = {"column": [-1, 1], "cube": [1, 1, 1], "whole": [1, 1, 4], "frame": [1, 4], "unit": [1, 1, 4]}
    shapes |= {"none": [1, 0, 4], "pair": [0, 2, 0], "single": [0, 1, 0]}
    arrays = {name: np.array(value, np.int64) for name, value in {**numbers, **shapes}.items()}
    return weights(model, yes=np.array(True), half=np.float32(0.5), **arrays)


@pytest.mark.parametrize("name", LOOPS)
def test_frames_that_a_loop_writes(name: str) -> None:
    _, turns, *_ = LOOPS[name]
    lifted = lifted_equal(looped(*LOOPS[name]), lengths=range({"n": 1, "less": 2}.get(turns, 3), 30), spec=SPEC)
    assert "scan_carry" in kinds(lifted)
    assert delay(lifted) <= 3


@pytest.mark.parametrize("late", [40, 300, 5000])
def test_a_place_that_moves_at_some_length(late: int) -> None:
    write = ROWS.format(place="j = Add (i, later) t = Unsqueeze (j, front)")
    start = "o = Greater (n, late) later = Cast <to=7> (o) more = Add (xs, single) ys = ConstantOfShape (more)"
    model = weights(looped(start, "n", READ, write, "y = Identity (out)"), late=np.array(late))
    ends_before(model, late + 1, SPEC)


@pytest.mark.parametrize("name", REFUSED)
def test_loops_that_do_not_write_frame_by_frame(name: str) -> None:
    model = weights(looped(*REFUSED[name], "y = Identity (out)"), k2=random(1, 2), part=np.array([1, 1, 2]))
    assert "Loop" in str(refusal(model, SPEC))


def test_a_frame_that_was_written_before_is_an_output_too() -> None:
    body = f"""
        {FRAMES} less = Sub (n, one) {COPY}
        out, told = Loop (less, yes, ys) <body = b (int64 i, bool go, float[1,?,4] v) => (bool on, float[1,?,4] w, float[1,4] z)
        {{ on = Identity (go) z = Gather <axis=1> (v, i) {READ_LATER} g = Add (z, f) {AFTER_TURN} }}>
        t2 = Transpose <perm=[1,0,2]> (told) y = Neg (t2)
    """
    numbers = {"zero": 0, "one": 1, "front": [0], "two": [2], "last": [-1], "far": [2**31], "column": [-1, 1]}
    arrays = {name: np.array(value, np.int64) for name, value in numbers.items()}
    model = model_of(body, inputs="float[1,T,4] x", outputs="float[1,A,4] y")
    lifted_equal(weights(model, yes=np.array(True), **arrays), lengths=range(2, 30), spec=SPEC)
