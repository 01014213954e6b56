"""Writes to a few frames (``y[:, 0] = 1``) and to the places of a mask (``y[mask] = 0``)."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import delay, ends_before, lifted_equal, model_of, random, refusal, weights

SIZE = "n = Shape <start=2, end=3> (x)"
ROWS = "l = Unsqueeze (e, last) i = Concat <axis=-1> (zeros, chan, l)"
FROM_END = f"{SIZE} m = Sub (n, one) r = Reshape (m, cube) e = Expand (r, wide)"
MASK = "b = Less (x, nought) z = NonZero (b) i = Transpose <perm=[1,0]> (z)"
BODIES = {
    "the first, by elements": "y = ScatterElements <axis=2> (x, first, u1)",
    "two of the first, by elements": "y = ScatterElements <axis=2> (x, pair, u2)",
    "added to the first": 'y = ScatterElements <axis=2, reduction="add"> (x, first, u1)',
    "made of the first": "f = Slice (x, zero, one, two) g = Mul (f, half) y = ScatterElements <axis=2> (x, first, g)",
    "the last, by a negative place": "y = ScatterElements <axis=2> (x, minus, u1)",
    "the last, by its number": f"{FROM_END} y = ScatterElements <axis=2> (x, e, u1)",
    "the first, by rows": "e = Identity (first) l = Unsqueeze (e, last) i = Concat <axis=-1> (zeros, chan, l)"
    " y = ScatterND (x, i, u1)",
    "the last, by rows": f"{FROM_END} {ROWS} y = ScatterND (x, i, u1)",
    "behind a lookahead": "c = Conv <pads=[0,2]> (x, k) y = ScatterElements <axis=2> (c, first, u1)",
    "where a mask is true": f"{MASK} c = Shape <end=1> (i) v = Expand (half, c) y = ScatterND (x, i, v)",
    "where a number is not zero": "b = Relu (x) z = NonZero (b) i = Transpose <perm=[1,0]> (z) c = Shape <end=1> (i)"
    " v = Expand (half, c) y = ScatterND (x, i, v)",
    "where a mask of frames is true": "s = Slice (x, zero, one, one) q = Squeeze (s, one) b = Less (q, nought)"
    " z = NonZero (b) i = Transpose <perm=[1,0]> (z) t = Transpose <perm=[0,2,1]> (x) c = Shape <end=1> (i)"
    " w = Concat <axis=0> (c, two) v = Expand (token, w) y = ScatterND (t, i, v)",
}


def model(body: str) -> onnx.ModelProto:
    integers = {
        "first": [[[0], [0]]],
        "minus": [[[-1], [-1]]],
        "pair": [[[1, 0], [1, 0]]],
        "cube": [1, 1, 1],
        "wide": [1, 2, 1],
        "zero": [0],
        "one": [1],
        "two": [2],
        "last": [-1],
        "zeros": [[[[0]], [[0]]]],
        "chan": [[[[0]], [[1]]]],
    }
    arrays = {name: np.array(value, np.int64) for name, value in integers.items()}
    floats = {"half": np.float32(0.5), "nought": np.float32(0), "token": random(2), "k": random(2, 2, 3)}
    return weights(model_of(body), **arrays, **floats, u1=random(1, 2, 1), u2=random(1, 2, 2))


@pytest.mark.parametrize("name", BODIES)
def test_frames_that_are_written(name: str) -> None:
    lifted = lifted_equal(model(BODIES[name]), lengths=range(2, 30))
    assert delay(lifted) <= 2


@pytest.mark.parametrize("late", [40, 300, 5000])
def test_a_frame_that_is_another_at_some_length(late: int) -> None:
    body = f"{SIZE} o = Greater (n, late) p = Cast <to=7> (o) r = Reshape (p, cube) e = Expand (r, wide)"
    found = weights(model(f"{body} y = ScatterElements <axis=2> (x, e, u1)"), late=np.array([late]))
    ends_before(found, late + 1)


def test_other_values_at_each_place_of_a_mask_are_refused() -> None:
    found = refusal(model(f"{MASK} g = GatherND (x, i) v = Neg (g) y = ScatterND (x, i, v)"))
    assert str(found) == (
        "node z (NonZero): gives as many entries as the data decide; choose between tensors of one shape with torch.where, "
        "instead of picking entries with y[mask]"
    )
