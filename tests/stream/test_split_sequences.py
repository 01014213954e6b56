"""Entries taken from a sequence that a tensor is split to."""

from __future__ import annotations

import numpy as np
import pytest
from lifting import lifted_equal, model_of, weights


@pytest.mark.parametrize(
    "take",
    [
        "q = SplitToSequence <axis=1, keepdims=0> (x, single) y = SequenceAt (q, index)",
        "q = SplitToSequence <axis=1, keepdims=0> (x) y = SequenceAt (q, index)",
        "q = SplitToSequence <axis=-2> (x, ones) a = SequenceAt (q, index) b = SequenceAt (q, last1) y = Mul (a, b)",
        "q = SplitToSequence <axis=1> (x, pairs) a = SequenceAt (q, last1) y = Neg (a)",
    ],
)
def test_entries_of_a_split_are_slices(take: str) -> None:
    places = {"single": 1, "index": 1, "last1": -1, "ones": [1, 1], "pairs": 2}
    arrays = {name: np.array(value, np.int64) for name, value in places.items()}
    lifted_equal(weights(model_of(take), **arrays), lengths=range(1, 12))
