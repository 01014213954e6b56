"""The promise, on networks that nobody drew by hand: equal for every length, or refused with a reason."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import onnx
import pytest
from conftest import ROOT
from drawn_attention import draw_attention_network
from drawn_thresholds import draw_threshold_network
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import Chooser, Seeded, draw_network
from promise import verdict_of

V = TypeVar("V")
LENGTHS = range(1, 45)
NIGHT = os.environ.get("GRAPHC_PROFILE") == "nightly"


class Drawn:
    """Choices that hypothesis makes, and can shrink."""

    def __init__(self, data: st.DataObject):
        self.data = data

    def integer(self, low: int, high: int) -> int:
        return self.data.draw(st.integers(low, high))

    def pick(self, options: Sequence[V]) -> V:
        return self.data.draw(st.sampled_from(list(options)))


def never_wrong(choose: Drawn, draw: Callable[[Chooser], onnx.ModelProto]) -> None:
    verdict = verdict_of(draw(choose), choose.integer(0, 4), LENGTHS)
    event(verdict.kind)
    assert verdict.kind != "wrong", verdict.detail


@settings(max_examples=2000 if NIGHT else 24)
@given(st.data())
def test_random_networks_are_equal_or_refused(data: st.DataObject) -> None:
    never_wrong(Drawn(data), draw_network)


@settings(max_examples=500 if NIGHT else 12)
@given(st.data())
def test_random_attention_is_equal_or_refused(data: st.DataObject) -> None:
    never_wrong(Drawn(data), draw_attention_network)


@pytest.mark.parametrize("seed", [*range(12), *(pytest.param(s, marks=pytest.mark.nightly) for s in range(12, 24))])
def test_thresholds_are_equal_or_refused(seed: int) -> None:
    """Networks that do something else from some length on, streamed at lengths on both sides of it."""
    choose = Seeded(seed)
    model, lengths = draw_threshold_network(choose)
    verdict = verdict_of(model, choose.integer(0, 4), [1, *lengths])
    assert verdict.kind != "wrong", verdict.detail


@pytest.mark.parametrize("target", [pytest.param("onnx", marks=pytest.mark.nightly), "onnxruntime"])
def test_random_networks_stay_equal_when_fused(target: str) -> None:
    for seed in range(150 if NIGHT else 2):
        for draw in (draw_network, draw_attention_network):
            choose = Seeded(seed)
            verdict = verdict_of(draw(choose), choose.integer(0, 3), range(1, 30), fused_for=target)
            assert verdict.kind != "wrong", f"seed {seed} of {draw.__name__}: {verdict.detail}"


CORPUS = sorted((ROOT / "tests" / "corpus").glob("*.onnx"))


@pytest.mark.parametrize(
    ("path", "times"),
    [
        pytest.param(path, times, id=f"{times}-{path.stem}", marks=[pytest.mark.nightly] if (n + times) % 4 else [])
        for n, path in enumerate(CORPUS)
        for times in range(4)
    ],
)
def test_networks_that_failed_once(path: Path, times: int) -> None:
    """Kept as the generator drew them; the file's name says what was wrong. By day each at one chunk."""
    verdict = verdict_of(onnx.load(path), times, LENGTHS)
    assert verdict.kind == "equal", verdict.detail


@pytest.mark.parametrize("opset", [13, 18, 21, 23])
def test_networks_at_other_opsets(opset: int) -> None:
    kinds = []
    for seed in range(12):
        choose = Seeded(1000 * opset + seed)
        model = draw_network(choose)
        if any(n.op_type == "LayerNormalization" for n in model.graph.node) and opset < 17:
            continue
        if opset < 17:
            model.opset_import[0].version = opset
        else:
            model = onnx.version_converter.convert_version(model, opset)
        model.ir_version = 10
        verdict = verdict_of(model, choose.integer(1, 3), range(1, 30))
        assert verdict.kind != "wrong", f"seed {seed}: {verdict.detail}"
        kinds.append(verdict.kind)
    assert kinds.count("equal") >= 8
