"""Changes at lengths, distances and places that no evaluation shows: lifted as far as it is true, or refused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from conftest import at_night
from promise import Verdict, verdict_of
from transforming import model_of, random

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.propagation.analysis import analyse

UNET = """
    p = Conv <strides=[2], pads=[1,1]> (x, a) q = Conv <strides=[2], pads=[1,1]> (p, b)
    r = ConvTranspose <strides=[2], pads=[1,1]> (q, c) s = Add (r, p) z = ConvTranspose <strides=[2], pads=[1,1]> (s, d)
    h = Shape (x) t = Gather (h, two) g = Less (t, late)
"""
STEPS = {
    "a gate": ("f = Cast <to=1> (g) y = Mul (z, f)", 3002),
    "a cut": ("i = Cast <to=7> (g) i1 = Reshape (i, all) e = Slice (z, i1, end, two1) y = Neg (e)", 3003),
    "a choice of channels": ("i = Cast <to=7> (g) e = Gather <axis=1> (z, i) y = Neg (e)", 3003),
    "a gate below": ("f = Cast <to=1> (g) y = Add (z, f)", 7),
}
DISTANCES = """
    n = Shape <start=1, end=2> (x) m = Squeeze (n) i = Range (zero, m, one) r = Unsqueeze (i, at1) c = Unsqueeze (i, at0)
    d0 = Sub (r, c) d = Abs (d0) df = Cast <to=1> (d) cf = Cast <to=1> (c) t = Transpose <perm=[0,2,1]> (x) s = MatMul (x, t)
"""
ATTENDED = "p = Softmax <axis=-1> (w) y = MatMul (p, x)"
PENALTIES = {
    "wraps in int32": "e = Cast <to=6> (d) q = Mul (e, big32) f = Cast <to=1> (q) k = Mul (f, tiny) w = Sub (s, k)",
    "wraps in int64": "q = Mul (d, big64) f = Cast <to=1> (q) k = Mul (f, tinier) w = Sub (s, k)",
    "wraps in int8": "e = Cast <to=3> (d) f = Cast <to=1> (e) k = Mul (f, steep) w = Sub (s, k)",
    "wraps in uint8": "e = Cast <to=2> (d) f = Cast <to=1> (e) k = Mul (f, steep) w = Sub (s, k)",
    "a root that wraps": "q = Sqrt (df) q2 = Mul (q, ten) e = Cast <to=3> (q2) f = Cast <to=1> (e) k = Mul (f, steep) w = Sub (s, k)",
    "outweighed by the place of the key": "k = Mul (df, steep) v = Sub (s, k) b = Mul (cf, steeper) w = Add (v, b)",
    "a mask outweighed by the place of the key": "l = Less (d, five) v = Where (l, s, low) b = Mul (cf, steeper) w = Add (v, b)",
}
BY_DAY = ("wraps in int8", "outweighed by the place of the key")
NUMBERS = {
    "zero": 0,
    "one": 1,
    "five": 5,
    "at0": [0],
    "at1": [1],
    "two": 2,
    "two1": [2],
    "all": [-1],
    "end": [2**31],
    "big32": np.int32(2**24),
    "big64": 2**56,
    "tiny": np.float32(1e-5),
    "tinier": np.float32(1e-15),
    "ten": np.float32(10),
    "steep": np.float32(30),
    "steeper": np.float32(31),
    "low": np.float32(-1e4),
}


def verdict(body: str, port: str, axis: int, lengths: Sequence[int], **arrays: object) -> Verdict:
    numbers = {n: v for n, v in {**NUMBERS, **arrays}.items() if any(f"{n}{end}" in body for end in (",", ")"))}
    model = model_of(body, port, **{n: np.asarray(v) for n, v in numbers.items()})
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=axis)})
    found = verdict_of(model, 1, lengths, spec)
    if found.kind == "equal":
        assert analyse(offline_of(model, spec)).promise.min_frames <= max(lengths)
    return found


@pytest.mark.parametrize(("step", "late"), STEPS.values(), ids=STEPS)
def test_a_change_at_a_length_that_the_model_does_not_take_is_seen_at_the_next(step: str, late: int) -> None:
    """The skip fits at T = 4k and 4k + 1; the step lies between two such lengths."""
    weights = {name: random(4, 4, 4) for name in "abcd"}
    lengths = [*range(1, 40), 2996, 2997, 3000, 3001, 3004, 3005, 3100]
    found = verdict(UNET + step, "float[1,4,T] x", 2, lengths, late=late, **weights)
    assert found.kind in ("equal", "refused"), found.detail


@pytest.mark.parametrize("penalty", [n if n in BY_DAY else at_night(n) for n in PENALTIES])
def test_a_penalty_that_ends_far_away_masks_no_further(penalty: str) -> None:
    lengths = [*range(1, 20), 30, 140, 200, 270, *([] if penalty in BY_DAY else [530, 700])]
    found = verdict(f"{DISTANCES} {PENALTIES[penalty]} {ATTENDED}", "float[1,T,4] x", 1, lengths)
    assert found.kind in ("equal", "refused"), found.detail


@pytest.mark.parametrize(
    "gate",
    [
        "a = GreaterOrEqual (t, early) b = Less (t, late) c = And (a, b)",
        "m = Mod (t, thousand) c = Equal (m, early)",
        "c = Equal (t, early)",
    ],
)
def test_a_change_in_front_of_a_tensor_without_a_formula_is_seen(gate: str) -> None:
    body = f"""
        h = Shape (x) t = Gather (h, two) {gate} s = Where (c, twice, once) u = Expand (s, h) k = Conv <pads=[2,2]> (u, w)
        y = Div (x, k)
    """
    numbers = {"early": 900, "late": 950, "thousand": 1000, "twice": np.float32(2), "once": np.float32(1)}
    found = verdict(body, "float[1,2,T] x", 2, [890, 900, 901], **numbers, w=np.abs(random(2, 2, 5)) + 1)
    assert found.kind == "equal", "the promise ends at 899 frames"


@pytest.mark.parametrize("op", ["y = GatherElements <axis=1> (v, i)", "y = ScatterElements <axis=1> (v, i, k)"])
def test_an_op_that_takes_fewer_indices_than_frames_is_no_proof_that_both_are_as_many(op: str) -> None:
    body = f"""
        p1 = Pad (x, more) v = Conv <strides=[64]> (p1, w) p2 = Pad (x, fewer) k = Conv <strides=[64]> (p2, w)
        g = Greater (k, none) i = Cast <to=7> (g) {op}
    """
    pads = {"more": [0, 0, 0, 0, 0, 232], "fewer": [0, 0, 0, 0, 0, 231], "none": np.float32(0), "w": random(2, 1, 64)}
    found = verdict(body, "float[1,1,T] x", 2, range(1, 200, 5), **pads)
    assert found.kind in ("equal", "refused"), found.detail


@pytest.mark.parametrize(("hop", "rows"), [(60, 61), at_night(256, 260), at_night(1000, 1100)])
@pytest.mark.parametrize("target", [(1, -1), (-1, 1), (-1,)])
def test_rows_of_samples_are_seen_at_the_longest_length_that_a_model_takes(
    hop: int, rows: int, target: tuple[int, ...]
) -> None:
    body = """
        n = Shape <start=1, end=2> (x) e = Slice (table, at0, n, at1) v = Add (x, e) u = Add (n, almost) k = Div (u, hop)
        m = Mul (k, hop) q = Sub (m, n) pads = Concat <axis=0> (none, q) b = Pad (v, pads) c = Reshape (b, shape) y = Abs (c)
    """
    arrays = {"table": random(1, rows), "almost": [hop - 1], "hop": [hop], "none": [0, 0, 0], "shape": [*target, hop]}
    found = verdict(body, "float[1,T] x", 1, [1, 5, hop - 1, hop, hop + 1, rows], **arrays)
    assert found.kind == "equal", found.detail


CLOCK = "h = Shape (x) t = Gather (h, one) t1 = Unsqueeze (t, at0) i = Range (zero, t, one)"
BAND = """
    r = Unsqueeze (g, at1) c = Unsqueeze (g, at0) d = Sub (r, c) ge = GreaterOrEqual (d, none) lt = Less (d, width) ok = And (ge, lt)
    xt = Transpose <perm=[0,2,1]> (x) s = MatMul (x, xt) m = Where (ok, s, low) p = Softmax <axis=-1> (m) y = MatMul (p, x)
"""
SOMETIMES = "a = GreaterOrEqual (t, fifty) b = Less (t, sixty) k = And (a, b) ci = Cast <to=7> (k)"
ELSEWHERE = {
    "a constant padded in front of an op": f"""{CLOCK} f = Cast <to=1> (i) s = Sin (f) p = Pad (s, front, three)
        g = Slice (p, at0, t1) n = Neg (g) u = Unsqueeze (n, at1) y = Add (x, u)""",
    "positions that float16 rounds": f"{CLOCK} g = Cast <to=10> (i) {BAND}",
    "positions that float32 rounds": f"{CLOCK} q = Mul (i, many) g = Cast <to=1> (q) {BAND}",
    "a slice past its table in between": f"""{CLOCK} {SOMETIMES} e0 = Mul (ci, table_rows) e = Unsqueeze (e0, at0)
        s = Slice (table, e, end, at0) n = Shape (s) f = Cast <to=1> (n) y = Mul (x, f)""",
    "a size that is 1 in between": f"""{CLOCK} {SOMETIMES} tm = Sub (t, one) w = Mul (ci, tm) n = Sub (t, w) j = Range (zero, n, one)
        q = Equal (i, j) f = Cast <to=1> (q) u = Unsqueeze (f, at1) y = Mul (x, u)""",
}


@pytest.mark.parametrize("name", [at_night(n) if "float32" in n else n for n in ELSEWHERE])
def test_what_an_operand_does_elsewhere_is_no_surprise(name: str) -> None:
    half = "float16" in name
    arrays = {
        "front": [2, 0],
        "three": np.float32(3),
        "none": np.float16(0) if half else np.float32(0),
        "width": np.float16(5) if half else np.float32(4 * 131071 + 1),
        "many": 131071,
        "fifty": 50,
        "sixty": 60,
        "table": random(100),
        "table_rows": 200,
    }
    lengths = [*range(1, 20), 49, 50, 55, 59, 60, *([2060] if half else [150])]
    found = verdict(ELSEWHERE[name], "float[1,T,4] x", 1, lengths, **arrays)
    assert found.kind in ("equal", "refused"), found.detail
