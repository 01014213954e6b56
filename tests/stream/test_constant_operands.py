"""Constants that meet a stream: their periods, and tables that frames are looked up in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lifting import delay, lifted_equal, model_of, random, weights

from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.lowering.constant_operands import period_of


def periods(values: list[float]) -> list[int]:
    return [p for p in range(2, len(values) // 2 + 1) if all(a == b for a, b in zip(values, values[p:], strict=False))]


@given(st.lists(st.sampled_from([0.0, -0.0, 1.0]), min_size=1, max_size=4), st.integers(1, 6), st.integers(0, 3))
def test_the_smallest_period_is_found(part: list[float], times: int, more: int) -> None:
    values = [*part * times, *part[:more]]
    if len(set(values)) > 1:
        array = np.array(values, np.float32)[:, None]
        assert period_of([array[:1], array], 0) == next(iter(periods(values)), None)


def test_long_constants_without_a_period_are_seen_at_once() -> None:
    spike = np.zeros((1, 300_000), np.float32)
    spike[0, -1] = 1
    assert period_of([spike], 1) is None


def test_a_period_is_the_same_at_every_length() -> None:
    assert period_of([np.array([1, 2, 1]), np.array([1, 2, 1, 2, 1, 2])], 0) == 2
    assert period_of([np.array([2, 1, 2]), np.array([1, 2, 1, 2, 1, 2])], 0) is None


def test_a_codebook_is_read_by_elements() -> None:
    body = "d = MatMul (x, keys) a = ArgMax <axis=2, keepdims=1> (d) i = Expand (a, wide) y = GatherElements <axis=1> (book, i)"
    arrays = {"keys": random(4, 6), "book": random(1, 6, 4), "wide": np.array([1, 1, 4])}
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
    assert delay(lifted_equal(weights(model_of(body, "float[1,T,4] x"), **arrays), spec=spec)) == 0


def test_indices_of_frames_that_do_not_exist_are_clamped() -> None:
    body = (
        "b = Abs (x) c = Clip (b, low, high) i = Cast <to=7> (c) l = Conv <pads=[0,2]> (x, k) z = Mul (l, nought)"
        " n = Cast <to=7> (z) s = Add (i, n) d = Sub (s, ten) q = Squeeze (d, front) r = Transpose <perm=[1,0]> (q)"
        " y = GatherElements <axis=0> (book, r)"
    )
    arrays = {"low": np.float32(10), "high": np.float32(14), "nought": np.float32(0), "ten": np.array(10)}
    model = weights(model_of(body), **arrays, front=np.array([0]), k=random(2, 2, 3), book=random(5, 2))
    assert delay(lifted_equal(model)) == 2


@pytest.mark.parametrize(("kernel", "stride"), [(30, 20), (25, 20), (3, 2)])
def test_a_position_table_that_is_read_at_a_count(kernel: int, stride: int) -> None:
    """As fairseq's sinusoidal positions: the count of frames that are no padding, and a row for each."""
    body = (
        f"c = Conv <strides=[{stride}]> (x, k) n = Shape <start=2, end=3> (c) s = Concat <axis=0> (single, n)"
        " o = Expand (unit, s) a = CumSum (o, axis) i = Add (a, unit) p = Gather <axis=0> (table, i)"
        " t = Transpose <perm=[0,2,1]> (c) y = Add (t, p)"
    )
    arrays = {"single": np.array([1]), "unit": np.array(1), "axis": np.array(1), "table": random(40, 2)}
    model = weights(model_of(body), k=random(2, 2, kernel), **arrays)
    lifted_equal(model, chunks=(1, 2), lengths=range(kernel, kernel + 3 * stride + 5))
