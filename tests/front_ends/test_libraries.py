"""Front ends against the libraries that they are named after, and their streams against themselves."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from tests.front_ends.cases import CASES, SIGNALS, front_end_model, references, with_peak
from tests.promise import verdict_of

from graphc.spec.stream_schema import InputSpec, StreamSpec

NEAR = 1e-3
LONGER = ("energy", "mfcc", "mel_odd")
BELOW_PEAK = 8.0


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("name", CASES)
def test_features_are_those_of_the_library(name: str, signal: str) -> None:
    case = with_peak(CASES[name], signal)
    session = onnxruntime.InferenceSession(front_end_model(case).SerializeToString())
    made = session.run(None, {"samples": references()[f"signal/{signal}"][None]})[0][0]
    want = references()[f"{name}/{signal}"]
    if name == "openwakeword_mel":
        made = np.maximum(made, made.max() - BELOW_PEAK)
    assert made.shape == want.shape
    largest = np.abs(want).max() if "mfcc" in name else 1.0
    assert np.abs(made - want).max() <= NEAR * case.unit * max(1.0, largest / 100.0)


@pytest.mark.parametrize("name", CASES)
def test_a_front_end_streams_as_it_is(name: str) -> None:
    spec = StreamSpec(chunk=1, inputs={"samples": InputSpec(axis=1)})
    verdict = verdict_of(front_end_model(CASES[name]), 2, [4001, 9637], spec)
    assert verdict.kind == "equal", verdict.detail


@pytest.mark.parametrize("name", [n for n in CASES if not any(part in n for part in LONGER)])
def test_a_front_end_is_few_nodes(name: str) -> None:
    model = front_end_model(CASES[name])
    ours = [n for n in model.graph.node if n.name.startswith("front_end/") and n.op_type != "Transpose"]
    assert len(ours) <= 8
