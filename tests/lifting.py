"""Models out of text, lifted and compared with the offline model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from promise import lifted_at, streams_equal

from graphc.ir.model import Model
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import session_of
from graphc_runtime.errors import StreamError


def model_of(
    body: str, inputs: str = "float[1,2,T] x", outputs: str = "float[1,A,B] y", opset: int = 17
) -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["" : {opset}, "com.microsoft": 1, "ai.onnx.ml": 3]> g ({inputs}) => ({outputs}) {{{body}}}'
    model = onnx.parser.parse_model(text)
    for port in model.graph.output:
        port.type.tensor_type.ClearField("shape")
    return model


def weights(model: onnx.ModelProto, **arrays: np.ndarray) -> onnx.ModelProto:
    for name, value in arrays.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    return model


def random(*shape: int, dtype: type = np.float32) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    return (rng.standard_normal(shape) * 0.5).astype(dtype)


def lifted_equal(
    model: onnx.ModelProto,
    chunks: tuple[int, ...] = (1, 3),
    lengths: range = range(1, 30),
    spec: StreamSpec | None = None,
) -> Model:
    """The model lifted at multiples of its smallest chunk, each streamed and compared; the last one is returned."""
    offline = offline_of(model, spec or StreamSpec(chunk=1))
    smallest = analyse(offline)
    for times in chunks:
        lifted = lifted_at(smallest, times)
        verdict = streams_equal(offline, session_of(lifted), lengths)
        assert verdict.kind == "equal", verdict.detail
    return lifted


def kinds(model: Model) -> list[str]:
    assert model.signature is not None
    return sorted(s.kind for s in model.signature.states)


def delay(model: Model) -> int:
    assert model.signature is not None
    return model.signature.outputs[0].delay


def refusal(model: onnx.ModelProto, spec: StreamSpec | None = None) -> StreamError:
    with pytest.raises(StreamError) as caught:
        lift(analyse(offline_of(model, spec or StreamSpec(chunk=1))))
    assert caught.value.node
    assert caught.value.reason
    return caught.value


def ends_before(model: onnx.ModelProto, frames: int, spec: StreamSpec | None = None) -> None:
    """The model is refused, or lifted for streams of fewer frames alone, or for longer ones, and equal in these."""
    offline = offline_of(model, spec or StreamSpec(chunk=1))
    try:
        lifted = lift(analyse(offline))
    except StreamError as err:
        assert err.node
        assert err.hint
        return
    assert lifted.signature is not None
    least, most = lifted.signature.min_frames, lifted.signature.max_frames
    assert least > 1 or (most is not None and most < frames)
    longest = most or 5 * frames
    looked = (
        *range(1, 30),
        *range(least, least + 30),
        frames - 1,
        frames,
        frames + 1,
        longest // 2,
        longest - 1,
        longest,
    )
    wanted = {n for n in looked if least <= n <= longest}
    verdict = streams_equal(offline, session_of(lifted), sorted(wanted))
    assert verdict.kind == "equal", verdict.detail
