"""Periods of constants that meet a stream."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

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
