"""Products that are written in other forms stream as their plain form does."""

from __future__ import annotations

import numpy as np
import pytest
from promise import verdict_of
from transforming import model_of, random

from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.canonical.products import with_letters

SPEC = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("...td,de->...te", [(2, 3, 5, 4), (4, 6)]),
        ("...td,...de", [(3, 5, 4), (2, 3, 4, 6)]),
        ("td...,d->t...", [(5, 4, 2, 3), (4,)]),
        ("... t d -> ... d t", [(2, 5, 4)]),
        ("...,...->...", [(5, 4), (3, 1, 4)]),
        ("b...a", [(2, 3, 4, 5)]),
        ("...ii->...i", [(2, 3, 3)]),
    ],
)
def test_an_ellipsis_is_letters(equation: str, shapes: list[tuple[int, ...]]) -> None:
    arrays = [random(*shape) for shape in shapes]
    written = with_letters(equation, [a.ndim for a in arrays])
    assert "." not in written
    np.testing.assert_allclose(np.einsum(written, *arrays), np.einsum(equation, *arrays), rtol=1e-5)


BODIES = {
    "an Einsum with an ellipsis": 'y = Einsum <equation="...td,de->...te"> (x, w)',
    "FusedMatMul by a transposed weight": "y = com.microsoft.FusedMatMul <transB=1, alpha=0.5> (x, w)",
    "FusedMatMul with time last": "t = Transpose <perm=[0,2,1]> (x) y = com.microsoft.FusedMatMul <transA=1> (t, w)",
    "attention": """
        q = MatMul (x, w) s = com.microsoft.FusedMatMul <transB=1, alpha=0.5> (q, x)
        n = Shape <start=1, end=2> (x) m = Squeeze (n) i = Range (zero, m, one)
        r = Unsqueeze (i, at1) c = Unsqueeze (i, at0) d = Sub (r, c) near = Less (d, left) far = Greater (d, right)
        sees = And (near, far) masked = Where (sees, s, minus) p = Softmax <axis=-1> (masked) y = MatMul (p, x)
    """,
}
WEIGHTS = {
    "w": random(4, 4),
    "zero": np.array(0),
    "one": np.array(1),
    "at0": np.array([0]),
    "at1": np.array([1]),
    "left": np.array(5),
    "right": np.array(-3),
    "minus": np.float32(-1e9),
}


@pytest.mark.parametrize("times", [1, 0], ids=["smallest chunk", "any multiple"])
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_a_product_in_another_form_is_equal(body: str, times: int) -> None:
    arrays = {name: value for name, value in WEIGHTS.items() if name in ("w",) or name in body}
    found = verdict_of(model_of(body, "float[1,T,4] x", **arrays), times, range(1, 30), SPEC)
    assert found.kind == "equal", found.detail


@pytest.mark.parametrize("equation", ["btd,de,ef->btf", "de,btd,fe->bft", "btd,btd,de->bte", "btd,d,de,e->bt"])
def test_an_einsum_of_several_operands_is_one_of_two_at_a_time(equation: str) -> None:
    terms, _, output = equation.partition("->")
    names = ["x" if term.startswith("b") else f"w{index}" for index, term in enumerate(terms.split(","))]
    arrays = {n: random(*[4] * len(t)) for n, t in zip(names, terms.split(","), strict=True) if n != "x"}
    body = f'y = Einsum <equation="{equation}"> ({", ".join(names)})'
    model = model_of(body, "float[1,T,4] x", f"float[{','.join('ABC'[: len(output)])}] y", **arrays)
    assert verdict_of(model, 1, range(1, 12), SPEC).kind == "equal"
