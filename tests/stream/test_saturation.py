"""Extremes that have reached their bound: they are numbers there, and what rises to them is not known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from lifting import model_of, weights
from numpy.typing import NDArray

from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.evaluation.evaluate import evaluate
from graphc.stream.propagation.analysis import analyse
from graphc.stream.propagation.propagate import Propagation
from graphc.stream.symbolic.check import members
from graphc.stream.symbolic.domain.saturation import at_bound
from graphc.stream.symbolic.domain.space import constant, index, lengths
from graphc.stream.symbolic.domain.tensor import Applied, Leaf, Number, numbered

F = "float32"
N = Number(index(0, 1))
Places = NDArray[Any]


def fixed(value: float) -> Leaf:
    return numbered(value, 1)


def buckets(n: Leaf, factor: float) -> Leaf:
    """T5's: 4 and the integer part of a logarithm."""
    log = Applied(("Log", F, "[]"), (Applied(("Div", F), (n, fixed(4))),))
    return Applied(
        ("Add", "int64"), (Applied(("Cast", "int64"), (Applied(("Mul", F), (log, fixed(factor))),)), fixed(4))
    )


CASES: dict[str, tuple[str, Leaf, float, Callable[[Places], Places]]] = {
    "buckets": (
        "Min",
        buckets(N, 1.9),
        7,
        lambda n: np.trunc(np.log(n.astype(F) / 4) * np.float32(1.9)) + 4,
    ),
    "buckets that fall": (
        "Max",
        buckets(N, -1.9),
        -3,
        lambda n: np.trunc(np.log(n.astype(F) / 4) * np.float32(-1.9)) + 4,
    ),
    "a root": ("Min", Applied(("Sqrt", F), (N,)), 20, lambda n: np.sqrt(n.astype(F))),
    "what is left of a number": (
        "Max",
        Applied(("Sub", F), (fixed(5), Applied(("Sqrt", F), (N,)))),
        -10,
        lambda n: 5 - np.sqrt(n.astype(F)),
    ),
    "a number that is cast to another float": (
        "Min",
        Applied(("Cast", F), (Applied(("Sub", "float64"), (Applied(("Sqrt", "float64"), (N,)), fixed(8))),)),
        -3,
        lambda n: np.sqrt(n) - 8,
    ),
    "a root from above": ("Max", Applied(("Sqrt", F), (N,)), 20, lambda n: np.sqrt(n.astype(F))),
}


@pytest.mark.parametrize(("op", "leaf", "bound", "of"), CASES.values(), ids=CASES)
def test_an_extreme_is_its_bound_where_it_surely_reached_it(
    op: str, leaf: Leaf, bound: float, of: Callable[[Places], Places]
) -> None:
    n = np.arange(1, 5000)
    where = lengths(1) & index(0, 1).ge_set(constant(1, 1)) & index(0, 1).lt_set(constant(5000, 1))
    found = at_bound(op, leaf, bound, where, 1)
    assert found is not None
    sure = np.broadcast_to(members(found, 1, [n]), n.shape)
    with np.errstate(divide="ignore"):
        reached = of(n) >= bound if op == "Min" else of(n) <= bound
    assert not (sure & ~reached).any()
    assert (reached & ~sure).sum() <= 1, "rounding may hide the first"


@pytest.mark.parametrize(
    "leaf",
    [
        Applied(("Sin", F, "[]"), (N,)),
        Applied(("Mul", F), (N, N)),
        Applied(("Sqrt", "float16"), (N,)),
        Applied(("Cast", "int64"), (Applied(("Mul", F), (Applied(("Mul", F), (N, fixed(1e37))), fixed(1e-37))),)),
        Applied(("Cast", "int8"), (Applied(("Sqrt", F), (N,)),)),
        Applied(("Cast", "int64"), (Applied(("Mul", F), (N, fixed(1e9))),)),
        Applied(("Sqrt", F), (Applied(("Mul", F), (Applied(("Mul", F), (N, fixed(1e-40))), fixed(1e40))),)),
    ],
    ids=[
        "a wave",
        "a product",
        "half precision",
        "above the largest number",
        "bytes",
        "beyond 32 bits",
        "below the smallest number",
    ],
)
def test_nothing_is_said_where_it_is_not_known_to_rise(leaf: Leaf) -> None:
    assert at_bound("Min", leaf, 3, lengths(1) & index(0, 1).ge_set(constant(1, 1)), 1) is None


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_the_buckets_of_t5_are_proved(exporter: str) -> None:
    path = ROOT / "examples" / "models" / f"attention_t5.{exporter}.onnx"
    promise = analyse(offline_of(read_model(path), StreamSpec(chunk=1))).promise
    assert not promise.tried and promise.max_frames is None


def test_a_bound_that_is_reached_late_ends_nothing_before_it() -> None:
    """Beyond 10,000 frames the root is cut off, so a gate on it closes there; until then it is not the bound."""
    body = """
        h = Shape (x) t = Gather (h, two) f = Cast <to=1> (t) r = Sqrt (f) c = Min (r, hundred)
        g = Less (c, hundred) o = Cast <to=1> (g) y = Mul (x, o)
    """
    model = weights(model_of(body, "float[1,2,T] x", "float[1,2,T] y"), two=np.array(2), hundred=np.float32(100))
    offline = offline_of(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)}))
    walk = Propagation(offline, evaluate(offline), 1)
    walk.run()
    formula = walk.proof.formulas.named("c")
    numbers = [p.where for p in formula.pieces if isinstance(p.leaf, Number)]
    assert len(numbers) == 1
    first = int(numbers[0].dim_min_val(0).to_python())
    assert 10_000 <= first <= 10_002
