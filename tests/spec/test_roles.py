"""What is inferred where a spec names no inputs, and what is asked."""

from __future__ import annotations

import pytest
from onnx import TensorProto

from graphc.errors import SpecError
from graphc.spec.input_roles import Port, infer_stream_axes

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


@pytest.mark.parametrize(
    ("dims", "axis"),
    [((1, "T", 80), 1), (("batch", "T", 80), 1), (("T", "batch", 80), 0), ((1, 64, None), 2), (("T", 80), 0)],
)
def test_one_symbolic_dim_besides_the_batch_is_time(dims: tuple[int | str | None, ...], axis: int) -> None:
    assert infer_stream_axes([Port("x", dims, FLOAT)]) == {"x": axis}


@pytest.mark.parametrize("dims", [(None, None, 80), ("T", "U", 80), ("batch", 80), (1, 100, 40)])
def test_more_than_one_reading_is_an_error_that_says_what_to_write(dims: tuple[int | str | None, ...]) -> None:
    with pytest.raises(SpecError, match=r"stream\.inputs is missing") as caught:
        infer_stream_axes([Port("x", dims, FLOAT)])
    assert "axis" in str(caught.value)


def test_inputs_that_share_a_symbolic_dim_are_streams_on_one_clock() -> None:
    ports = [Port("a", (1, "S", 3), FLOAT), Port("b", (1, 4, "S"), FLOAT), Port("speaker", (1, 9), FLOAT)]
    assert infer_stream_axes(ports) == {"a": 1, "b": 2}


def test_an_integer_that_may_count_frames_is_asked_about() -> None:
    with pytest.raises(SpecError, match="'len' may count frames") as caught:
        infer_stream_axes([Port("x", (1, "T", 80), FLOAT), Port("len", (1,), INT64)])
    assert "len: {counts: x}" in str(caught.value)
