"""What a failed check says is to be done: about the input, the spec, or graphc."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import onnx
import pytest
from lifting import model_of

import graphc
from graphc import StreamError
from graphc.discover.init_spec import starter_spec
from graphc.passes.validate_after_pass import Checks
from graphc.spec.schema import ToleranceSpec
from graphc.spec.stream_schema import StateSpec
from graphc.validate.compare import compare


def said(want: float, got: float, states: list[StateSpec], kind: str = "rnn_hidden") -> str:
    values = (np.float32([[number]]) for number in (want, got))
    found = compare("y", *values, axis=1, tolerance=ToleranceSpec(atol=1e-6))
    checks = SimpleNamespace(stream=SimpleNamespace(states=states), offline=None)
    model = SimpleNamespace(signature=SimpleNamespace(states=[SimpleNamespace(kind=kind)]))
    return Checks.about_the_lift(cast(Any, checks), found, cast(Any, model))


def test_infinities_on_one_side_may_come_from_the_numbers() -> None:
    assert "as a log does with silence, give the range of real inputs" in said(np.nan, 0.0, [])
    defect = "a lift that is not exact is a defect of graphc: report this model"
    assert said(1.0, 0.0, []) == defect
    masked = "if the data masks keys of an attention with a finite number (-1e9), mask with -inf; if not, "
    assert said(1.0, 0.0, [], "attention_key") == masked + defect


def test_states_that_the_spec_pairs_are_asked_for() -> None:
    pairs = [StateSpec(input="h", output="c2"), StateSpec(input="c", output="h2")]
    assert "check that stream.states pairs every state with its own output" in said(1.0, 0.0, pairs)


@pytest.mark.parametrize("stream", ["chunk: 2", "chunk: 2, window: 8"])
def test_noise_that_data_shapes_is_refused_as_noise(stream: str, tmp_path: Path) -> None:
    onnx.save(model_of("n = RandomNormalLike (x) y = Add (x, n)", "float[1,T,2] x"), tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(
        f"{{version: 1, model: model.onnx, output: out.onnx, stream: {{{stream}, inputs: {{x: {{axis: 1}}}}}}, passes: [lift_state]}}"
    )
    with pytest.raises(
        StreamError,
        match="draws random numbers; export the model in evaluation mode, or make the random numbers an input",
    ):
        graphc.compile(tmp_path / "spec.yaml")
    with pytest.raises(StreamError, match="draws random numbers"):
        starter_spec(tmp_path / "model.onnx", tmp_path)


def test_a_window_of_outputs_whose_number_the_data_decides(tmp_path: Path) -> None:
    body = "s = ReduceSum (x, last) q = Squeeze (s, ends) b = Greater (q, nought) y = Compress <axis=1> (x, b)"
    model = model_of(body, "float[1,T,2] x")
    for name, value in {"last": np.array([2]), "ends": np.array([0, 2]), "nought": np.float32(0)}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    onnx.save(model, tmp_path / "model.onnx")
    (tmp_path / "spec.yaml").write_text(
        "{version: 1, model: model.onnx, output: out.onnx, stream: {chunk: 2, window: 8, inputs: {x: {axis: 1}}}, passes: [lift_state]}"
    )
    with pytest.raises(StreamError, match=r"the output 'y' has the shape \[1, \d, 2\] for one window and") as caught:
        graphc.compile(tmp_path / "spec.yaml")
    assert "export the model up to the node that picks entries by data" in str(caught.value.hint)
