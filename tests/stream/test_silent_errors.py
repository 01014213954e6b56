"""What other converters turn into a wrong model without a word (silently, exit 0): equal here, or refused with a reason.

One test for each error that was seen in LowLatency2, pulse, auto_streaming or StreamEase.
"""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from conftest import ROOT
from promise import Verdict, verdict_of
from transforming import model_of, random

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse

LENGTHS = range(1, 40)
MODELS = ROOT / "examples" / "models"


def verdict(body: str, port: str, axis: int, times: int, lengths: range = LENGTHS, **arrays: np.ndarray) -> Verdict:
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=axis)})
    return verdict_of(model_of(body, port, **arrays), times, lengths, spec)


CHUNKS = [pytest.param(1, id="smallest chunk"), pytest.param(3, id="three times it", marks=pytest.mark.nightly)]


@pytest.fixture(params=[*CHUNKS, pytest.param(0, id="any multiple")])
def times(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_a_bidirectional_lstm_is_refused(times: int) -> None:
    body = 'y, h, c = LSTM <hidden_size=4, direction="bidirectional"> (x, w, r)'
    found = verdict(body, "float[T,1,3] x", 0, times, w=random(2, 16, 3), r=random(2, 16, 4))
    assert found.kind == "refused"
    assert "runs in both directions over time" in found.detail


QUERIES = "q = MatMul (x, wq) k = MatMul (x, wk) v = MatMul (x, wv) t = Transpose <perm=[0,2,1]> (k) s = MatMul (q, t)"
WEIGHTS = {name: random(6, 6) for name in ("wq", "wk", "wv")}
PLACES = """
    n = Shape <start=1, end=2> (x) m = Squeeze (n) i = Range (zero, m, one)
    row = Unsqueeze (i, at1) column = Unsqueeze (i, at0) d = Sub (row, column)
"""
COUNTS = {"zero": np.array(0), "one": np.array(1), "at0": np.array([0]), "at1": np.array([1])}


def test_full_attention_is_not_made_local_to_the_chunk(times: int) -> None:
    body = f"{QUERIES} p = Softmax <axis=-1> (s) y = MatMul (p, v)"
    found = verdict(body, "float[1,T,6] x", 1, times, **WEIGHTS)
    assert found.kind == "refused"
    assert "node" in found.detail


def test_a_band_around_each_frame_is_equal(times: int) -> None:
    body = f"""
        {QUERIES} {PLACES} near = Less (d, left) far = Greater (d, right) sees = And (near, far)
        masked = Where (sees, s, minus) p = Softmax <axis=-1> (masked) y = MatMul (p, v)
    """
    arrays = {"left": np.array(5), "right": np.array(-3), "minus": np.float32(-1e9)}
    assert verdict(body, "float[1,T,6] x", 1, times, **WEIGHTS, **COUNTS, **arrays).kind == "equal"


@pytest.mark.parametrize("exporter", ["dynamo", pytest.param("torchscript", marks=pytest.mark.nightly)])
def test_block_masks_of_both_exporters_are_equal(exporter: str, times: int) -> None:
    model = onnx.load(MODELS / f"conformer.{exporter}.onnx")
    assert verdict_of(model, times, range(30, 75)).kind == "equal"


def test_a_table_of_positions_does_not_restart(times: int) -> None:
    body = "n = Shape <start=1, end=2> (x) p = Slice (table, zero, n, zero) y = Add (x, p)"
    found = verdict(body, "float[1,T,4] x", 1, times, table=random(64, 4), zero=np.array([0]))
    assert found.kind == "equal"


def test_rotary_positions_do_not_restart(times: int) -> None:
    body = """
        n = Shape <start=1, end=2> (x) m = Squeeze (n) i = Range (zero, m, one) f = Cast <to=1> (i)
        column = Unsqueeze (f, at1) angles = Mul (column, rates) c = Cos (angles) s = Sin (angles)
        first, second = Split <axis=2, num_outputs=2> (x)
        a = Mul (first, c) b = Mul (second, s) left = Sub (a, b)
        d = Mul (second, c) e = Mul (first, s) right = Add (d, e)
        y = Concat <axis=2> (left, right)
    """
    arrays = {**COUNTS, "rates": np.float32([1.0, 0.3])}
    model = model_of(body, "float[1,T,4] x", **arrays)
    model.opset_import[0].version = 18
    found = verdict_of(model, times, LENGTHS, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)}))
    assert found.kind == "equal"


def test_a_skip_over_a_strided_conv_and_its_transpose_is_aligned(times: int) -> None:
    body = """
        down = Conv <strides=[2], pads=[1,1]> (x, k) up = ConvTranspose <strides=[2], pads=[1,1]> (down, u)
        n = Shape <start=2, end=3> (up) m = Shape <start=2, end=3> (x) least = Min (n, m)
        a = Slice (up, zero, least, two) b = Slice (x, zero, least, two) y = Add (a, b)
    """
    arrays = {"k": random(4, 4, 4), "u": random(4, 4, 4), "zero": np.array([0]), "two": np.array([2])}
    found = verdict(body, "float[1,4,T] x", 2, times, range(4, 44, 2), **arrays)
    assert found.kind in ("equal", "refused"), found.detail
    plain = """
        down = Conv <strides=[2], pads=[1,1]> (x, k) up = ConvTranspose <strides=[2], pads=[1,1]> (down, u) y = Add (up, x)
    """
    assert verdict(plain, "float[1,4,T] x", 2, times, range(4, 44), k=arrays["k"], u=arrays["u"]).kind == "equal"


def test_every_tail_after_a_lookahead_is_equal(times: int) -> None:
    body = "a = Conv <pads=[2,3]> (x, k) b = Relu (a) c = Conv <pads=[0,4], dilations=[2]> (b, m) y = Add (c, x)"
    assert verdict(body, "float[1,4,T] x", 2, times, k=random(4, 4, 6), m=random(4, 4, 3)).kind == "equal"


def test_a_cache_of_integers_begins_at_their_zero_point(times: int) -> None:
    body = """
        q = QuantizeLinear (x, s, z) d = DequantizeLinear (q, s, z)
        p = Pad (d, front) y = Conv (p, k)
    """
    arrays = {"s": np.float32(0.05), "z": np.uint8(131), "front": np.array([0, 0, 3, 0, 0, 0]), "k": random(2, 2, 4)}
    assert verdict(body, "float[1,2,T] x", 2, times, **arrays).kind == "equal"
    lifted = lift(analyse(offline_of(model_of(body, "float[1,2,T] x", **arrays), StreamSpec(chunk=1)), 1))
    assert lifted.signature is not None
    (cache,) = (s for s in lifted.signature.states if s.kind == "conv_context")
    assert cache.init.dtype == np.uint8
    assert np.all(cache.init == 131)


def test_a_learned_first_state_is_kept(times: int) -> None:
    body = "y, h, c = LSTM <hidden_size=4> (x, w, r, , , h0, c0)"
    arrays = {"w": random(1, 16, 3), "r": random(1, 16, 4), "h0": random(1, 1, 4) * 5, "c0": random(1, 1, 4) * 5}
    assert verdict(body, "float[T,1,3] x", 0, times, **arrays).kind == "equal"


def test_a_recurrence_over_frequency_keeps_nothing_from_frame_to_frame(times: int) -> None:
    body = "f = Transpose <perm=[2,1,0]> (x) y, h, c = LSTM <hidden_size=4> (f, w, r)"
    arrays = {"w": random(1, 16, 1), "r": random(1, 16, 4)}
    assert verdict(body, "float[1,T,6] x", 1, times, **arrays).kind == "equal"
    lifted = lift(analyse(offline_of(model_of(body, "float[1,T,6] x", **arrays), StreamSpec(chunk=1)), 1))
    assert lifted.signature is not None
    assert [s.kind for s in lifted.signature.states] == []


def test_both_states_of_an_lstm_come_back(times: int) -> None:
    body = "y, h, c = LSTM <hidden_size=4> (x, w, r)"
    arrays = {"w": random(1, 16, 3), "r": random(1, 16, 4)}
    assert verdict(body, "float[T,1,3] x", 0, times, **arrays).kind == "equal"
    lifted = lift(analyse(offline_of(model_of(body, "float[T,1,3] x", **arrays), StreamSpec(chunk=2)), 2))
    assert lifted.signature is not None
    assert sorted(s.kind for s in lifted.signature.states) == ["rnn_cell", "rnn_hidden"]
    outputs = [o.name for o in lifted.proto().graph.output]
    assert all(s.output in outputs for s in lifted.signature.states)


def test_no_two_ports_have_one_name(times: int) -> None:
    body = "a = Conv <pads=[2,0]> (x, k) b = Conv <pads=[2,0]> (a, k) c = Conv <pads=[2,0]> (b, k) y = Add (c, x)"
    model = model_of(body, "float[1,4,T] x", k=random(4, 4, 3))
    for node, name in zip(model.graph.node, ("the/same", "the.same", "the_same"), strict=False):
        node.name = name
    assert verdict_of(model, times, LENGTHS, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)})).kind == "equal"
    lifted = lift(analyse(offline_of(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)})), 1)).proto()
    for ports in (lifted.graph.input, lifted.graph.output):
        names = [p.name for p in ports]
        assert len(set(names)) == len(names)


FRAMES = {
    "padded to whole frames": "u = Add (n, almost) k = Div (u, hop) m = Mul (k, hop) q = Sub (m, n)"
    " pads = Concat <axis=0> (none, q) b = Pad (x, pads)",
    "cut to whole frames": "k = Div (n, hop) m = Mul (k, hop) b = Slice (x, zero, m, one)",
}


@pytest.mark.parametrize("hop", [60, 256])
@pytest.mark.parametrize("body", FRAMES.values(), ids=FRAMES)
def test_samples_in_rows_are_frames_though_short_streams_have_one_row(body: str, hop: int, times: int) -> None:
    """All lengths up to a hop give one row: [1, hop] becomes [1, 1, hop], as if the samples kept their axis."""
    numbers = {"almost": hop - 1, "hop": hop, "none": [0, 0, 0], "zero": 0, "one": 1, "rows": [-1, 1, hop]}
    arrays = {name: np.atleast_1d(np.array(value)) for name, value in numbers.items() if name in body + "rows"}
    whole = f"n = Shape <start=1, end=2> (x) {body} c = Reshape (b, rows) y = Abs (c)"
    lengths = range(1, 4 * hop, hop // 3)
    found = verdict(whole, "float[1,T] x", 1, times, lengths, **arrays)
    assert found.kind == "equal", found.detail
