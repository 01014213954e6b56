"""Loops whose places, shapes or conditions are others at some length: the stream ends there, or the loop is refused."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import ends_before, refusal, weights
from test_written_frames import AT_TURN, ELEMENTS, READ, SPEC, ZEROS, looped

LATE = "o = Greater (n, late) later = Cast <to=7> (o) "
WIDER = "w0 = Unsqueeze (later, front) z0 = Concat <axis=0> (nil, w0) more = Add (xs, z0) ys = ConstantOfShape (more)"
SHIFTED = "sh = Shape <start=2> (v) sq = Squeeze (sh) gap = Sub (sq, four) j = Sub (i, gap) t = Reshape (j, cube)"
PICKED = "fr = Gather <axis=1> (z, i) sh = Shape <start=1> (fr) sq = Squeeze (sh) gap = Sub (sq, four) j = Sub (i, gap) t = Reshape (j, cube)"
FOUR = ELEMENTS.replace("t = Reshape (i, cube)", "{place}")
ENDS = {
    "a pick of a later frame": (
        f"{LATE} xp = Pad (x, behind) {ZEROS}",
        "a = Add (i, later) f = Gather <axis=1> (xp, a)",
        AT_TURN,
    ),
    "a shape of what is written": (f"{LATE} {WIDER}", READ, FOUR.format(place=SHIFTED)),
    "a shape of what is picked": (
        f"{LATE} one1 = Unsqueeze (n, front) l1 = Unsqueeze (later, front) zs = Concat <axis=0> (unit1, one1, l1)"
        f" zc = ConstantOfShape (zs) z = Concat <axis=2> (x, zc) {ZEROS}",
        READ,
        FOUR.format(place=PICKED),
    ),
}
REFUSED = {
    "a slice past the end": (
        "ys = ConstantOfShape <value = float[1] {1.0}> (xs)",
        "e = Gather <axis=1> (x, i) a = Add (i, one) a1 = Unsqueeze (a, front) a2 = Add (a1, first)"
        " s1 = Slice (v, a1, a2, first) r1 = ReduceSum <keepdims=0> (s1, first) f = Add (r1, e)",
        AT_TURN,
    ),
    "a shape of a window that the end cuts": (
        ZEROS,
        READ,
        FOUR.format(
            place="i1 = Unsqueeze (i, front) i2 = Add (i1, two) s1 = Slice (x, i1, i2, first)"
            " sh = Shape <start=1, end=2> (s1) gap = Sub (sh, two) j = Add (i1, gap) t = Reshape (j, cube)"
        ),
    ),
    "integers that wrap": (
        "b = Cast <to=6> (big) more = Add (xs, single) ys = ConstantOfShape (more)",
        READ,
        FOUR.format(
            place="p2 = Mul (b, b) q = Cast <to=7> (p2) e1 = Equal (q, zero) gap = Cast <to=7> (e1) j = Add (i, gap) t = Reshape (j, cube)"
        ),
    ),
}


def built(start: str, read: str, write: str, late: int = 0) -> onnx.ModelProto:
    arrays = {"late": late, "behind": [0, 0, 0, 0, 1, 0], "nil": [0, 0], "four": 4, "unit1": [1], "big": 65536}
    model = looped(start, "n", read, write, "y = Slice (out, nought1, fours, axis2)")
    arrays |= {"nought1": [0], "fours": [4], "axis2": [2]}
    return weights(model, **{name: np.array(value, np.int64) for name, value in arrays.items()})


@pytest.mark.parametrize("late", [40, 300])
@pytest.mark.parametrize("name", ENDS)
def test_what_changes_at_some_length_ends_the_stream(name: str, late: int) -> None:
    ends_before(built(*ENDS[name], late=late), late + 1, SPEC)


@pytest.mark.parametrize("name", REFUSED)
def test_places_that_are_not_the_same_in_every_iteration_are_refused(name: str) -> None:
    assert "(Loop" in str(refusal(built(*REFUSED[name]), SPEC))


@pytest.mark.parametrize("late", [40, 300])
def test_a_condition_from_outside_that_ends_long_streams(late: int) -> None:
    model = looped("short = Less (n, late) " + ZEROS, "n", READ, AT_TURN, "y = Identity (out)")
    (loop,) = (n for n in model.graph.node if n.op_type == "Loop")
    loop.attribute[0].g.node[0].input[0] = "short"
    ends_before(weights(model, late=np.array(late)), late, SPEC)
