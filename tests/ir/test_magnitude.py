"""Masks beside numbers: what is measured by the largest of them would see nothing of the others."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from late_models import late_model
from lifting import lifted_equal, weights

from graphc.ir.masked_scale import scale_beside_masks
from graphc.spec.schema import EXACT, ToleranceSpec
from graphc.validate.compare import compare

LOWEST = float(np.finfo(np.float32).min)
MASKED = """
    r = Range (zero, t, one) f = Cast <to=1> (r) i = Unsqueeze (f, second) j = Unsqueeze (f, front)
    {table}
    d = Sub (i, j) a = Abs (d) k = Less (a, five) b = Where (k, v, fill)
    u = Transpose <perm=[0, 2, 1]> (x) s0 = MatMul (u, x) s1 = Add (s0, b) s2 = Softmax <axis=-1> (s1)
    m = MatMul (s2, u) y = Transpose <perm=[0, 2, 1]> (m)
"""


def masked(table: str, low: float) -> onnx.ModelProto:
    numbers = {"second": np.array([1]), "five": np.float32(5), "fill": np.float32(low)}
    return weights(
        late_model(MASKED.format(table=table)), **numbers, eighth=np.float32(0.125), minus_two=np.float32(-2)
    )


@pytest.mark.parametrize("low", [*(pytest.param(v, marks=pytest.mark.nightly) for v in (-np.inf, -1e4)), -1e9, LOWEST])
@pytest.mark.parametrize("table", ["p = Mul (i, j) v = Sin (p)", "p = Add (i, j) q = Sin (p) v = Mul (q, eighth)"])
def test_a_table_of_both_places_under_a_mask_is_no_table_of_the_distance(table: str, low: float) -> None:
    """Beside a mask of -1e9 every score looks alike; it is made from the clock in every call."""
    lifted_equal(masked(table, low), (1, 3, 100))


@pytest.mark.parametrize("low", [pytest.param(-np.inf, marks=pytest.mark.nightly), -1e9])
@pytest.mark.parametrize(
    "table",
    [
        "p = Sub (i, j) v = Sin (p)",
        pytest.param("p = Mul (i, eighth) q = Mul (j, eighth) v = Sub (p, q)", marks=pytest.mark.nightly),
        pytest.param(
            "p = Mul (i, eighth) q = Mul (j, eighth) p1 = Sin (p) p2 = Cos (p) q1 = Sin (q) q2 = Cos (q)"
            "a1 = Mul (p1, q2) a2 = Mul (p2, q1) v = Sub (a1, a2)",
            marks=pytest.mark.nightly,
        ),
        pytest.param(
            "i2 = Mul (i, i) j2 = Mul (j, j) ij = Mul (i, j) l = Mul (ij, minus_two) n = Add (i2, j2) v = Add (n, l)",
            marks=pytest.mark.nightly,
        ),
    ],
)
def test_a_table_of_the_distance_under_a_mask_however_it_rounds(table: str, low: float) -> None:
    lifted_equal(masked(table, low), (100, 400))


@pytest.mark.parametrize("low", [-1e4, -1e9, LOWEST, -np.inf])
def test_the_scale_of_scores_is_not_that_of_their_mask(low: float) -> None:
    scores = np.random.default_rng(0).standard_normal((20, 20)).astype(np.float32)
    assert scale_beside_masks(np.where(np.eye(20), low + scores, scores).astype(np.float32)) < 5


@pytest.mark.parametrize("scale", [1, 1e4, 1e6, 1e30])
def test_the_scale_of_signals_is_their_largest_magnitude(scale: float) -> None:
    for seed in range(200):
        rng = np.random.default_rng(seed)
        signal = rng.standard_normal(50) * scale
        assert scale_beside_masks(signal) == np.abs(signal).max()
    assert scale_beside_masks(np.zeros(3)) == 0
    assert scale_beside_masks(np.array([np.nan, np.inf, 3.0])) == 3
    assert scale_beside_masks(np.array([[0, 1e9, 0, 0]])) == 1e9


def test_an_error_beside_a_mask_is_seen() -> None:
    want = np.linspace(-1, 1, 50, dtype=np.float32)
    want[::5] = -1e9
    got = want.copy()
    got[7] += 0.01
    found = compare("y", want, got, 0, EXACT)
    assert not found.holds
    assert found.frame == 7
    assert found.reason == "differs by 0.01, where 0.00011 is allowed"
    got[7], got[5] = want[7], want[5] + 64
    assert compare("y", want, got, 0, EXACT).holds


def test_a_tolerance_that_was_asked_for_is_of_the_largest_magnitude() -> None:
    want = np.linspace(-1, 1, 50)
    want[::5] = -1e9
    assert compare("y", want, want + 0.01, 0, ToleranceSpec(rtol=1e-4, atol=1e-5)).holds
