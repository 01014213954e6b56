"""What a graph makes of its length: lifted as far as it is true, to the frame; and streams that go on where a model ends."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from conftest import ROOT
from lifting import ends_before, lifted_equal, model_of, random, weights
from promise import streams_equal, verdict_of

from graphc.contract.length import Length
from graphc.ir.model import Model, read_model
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import session_of
from graphc_runtime.errors import InputError, StreamError

INTS = {
    "zero": np.array(0),
    "one": np.array(1),
    "two": np.array(2),
    "three": np.array(3),
    "five": np.array(5),
    "front": np.array([0]),
    "second": np.array([1]),
    "all": np.array([-1]),
    "small": np.float32(0.01),
}
STRIDED = ((320, 512, 256), (160, 400, 0), (4, 9, 4), (2, 3, 1))


def slow_model(stride: int, kernel: int, pad: int, body: str, outputs: str = "float[1,A,B] y") -> onnx.ModelProto:
    """A strided convolution z of float[1,1,T] x, and its number of frames n, in front of a body."""
    head = f"z = Conv <strides=[{stride}], pads=[{pad},{pad}]> (x, w) h = Shape (z) n = Gather (h, two)"
    return weights(model_of(f"{head} {body}", "float[1,1,T] x", outputs), w=random(2, 1, kernel), **INTS)


def slow_frames(stride: int, kernel: int, pad: int) -> Length:
    return Length().then(1, 2 * pad - kernel + stride, stride)


def lifted(model: onnx.ModelProto) -> tuple[Offline, Model]:
    offline = offline_of(model, StreamSpec(chunk=1))
    return offline, lift(analyse(offline))


@pytest.mark.parametrize(("stride", "kernel", "pad"), STRIDED)
@pytest.mark.parametrize("gate", ["Less", "LessOrEqual", "Greater", "Equal"])
def test_a_gate_on_slow_frames_ends_the_promise_at_its_last_length(
    stride: int, kernel: int, pad: int, gate: str
) -> None:
    """At every length tried padding made the slow tensor the same size, so its count passed for steady."""
    frames = 2100
    body = f"q = {gate} (n, late) f = Cast <to=1> (q) g = Mul (f, small) y = Add (z, g)"
    model = weights(slow_model(stride, kernel, pad, body), late=np.array(frames))
    offline, found = lifted(model)
    count = slow_frames(stride, kernel, pad)
    first = next(n for n in range(stride * (frames - 2), stride * (frames + 3)) if count(n) == frames)
    last = first + stride - 1 if gate in ("LessOrEqual", "Greater") else first - 1
    assert found.signature is not None
    assert found.signature.max_frames == last
    assert not found.signature.continues
    assert not found.signature.tried
    chunk = 3 * analyse(offline).chunk_multiple
    assert analyse(offline, chunk).promise.max_frames == last


@pytest.mark.parametrize(("stride", "kernel", "pad"), STRIDED)
def test_an_output_that_counts_slow_frames_is_gone(stride: int, kernel: int, pad: int) -> None:
    body = "u = Unsqueeze (n, front) count = Identity (u) y = Identity (z)"
    model = slow_model(stride, kernel, pad, body, "float[1,A,B] y, int64[1] count")
    offline, found = lifted(model)
    assert found.signature is not None
    assert [o.name for o in found.signature.outputs] == ["y"]
    shortest = found.signature.min_frames
    assert (
        streams_equal(offline, session_of(found), range(shortest, shortest + 3 * stride, stride // 2 + 1)).kind
        == "equal"
    )


@pytest.mark.parametrize(("stride", "kernel", "pad"), STRIDED)
@pytest.mark.parametrize("place", ["i", "Min", "Max"])
def test_positions_of_slow_frames(stride: int, kernel: int, pad: int, place: str) -> None:
    body = "i = Range (zero, n, one)" if place == "i" else f"r = Range (zero, n, one) i = {place} (r, five)"
    model = slow_model(stride, kernel, pad, f"{body} f = Cast <to=1> (i) y = Add (z, f)")
    offline, found = lifted(model)
    assert found.signature is not None
    assert not found.signature.tried
    shortest = found.signature.min_frames
    lengths = [*range(shortest, shortest + 3 * stride, stride // 2 + 1), *range(7 * stride, 12 * stride, stride + 1)]
    assert streams_equal(offline, session_of(found), lengths).kind == "equal"


@pytest.mark.parametrize("op", ["Mul", "Div", "Add"])
def test_a_scale_by_the_length_is_refused(op: str) -> None:
    body = f"h = Shape (x) t = Gather (h, two) f = Cast <to=1> (t) y = {op} (x, f)"
    ends_before(weights(model_of(body), **INTS), 2)


@pytest.mark.parametrize(
    "read",
    [
        "e = Unsqueeze (t, front) p = Slice (rows, front, e, front)",
        "r = Range (zero, t, one) p = Gather (rows, r)",
        "e = Unsqueeze (t, front) s = Slice (rows, front, e, front) p = Expand (s, e)",
    ],
)
def test_a_table_ends_the_promise_at_its_last_row(read: str) -> None:
    """By slice, by gather, and by an error of the op behind."""
    model = weights(model_of(f"h = Shape (x) t = Gather (h, two) {read} y = Add (x, p)"), rows=random(120), **INTS)
    found = lifted_equal(model, (1,), range(110, 121))
    assert found.signature is not None
    assert found.signature.max_frames == 120
    assert not found.signature.continues, "the stream reads the table itself"


def test_a_pad_of_nothing_over_a_table_of_two_times() -> None:
    """Amounts that come to nothing at every length, as a bias for caches that are empty offline has them."""
    body = """
        h = Shape (x) t = Gather (h, two) r = Range (zero, t, one) q = Unsqueeze (r, second) k = Unsqueeze (r, front)
        d = Sub (q, k) lo = GreaterOrEqual (d, zero) hi = Less (d, five) m = And (lo, hi) xt = Transpose <perm=[0,2,1]> (x)
        s = MatMul (xt, x) less = Sub (t, t) lu = Unsqueeze (less, front) pads = Concat <axis=0> (front, front, lu, front, front, front)
        padded = Pad (s, pads) masked = Where (m, padded, low) a = Softmax <axis=-1> (masked) o = MatMul (a, xt)
        y = Transpose <perm=[0,2,1]> (o)
    """
    found = lifted_equal(weights(model_of(body), low=np.float32(-np.inf), **INTS))
    assert found.signature is not None
    assert found.signature.max_frames is None


LFR = """
    h = Shape (x) t = Gather (h, two) a = Add (t, behind) c = Div (a, stride) r = Range (zero, c, one) b = Mul (r, stride)
    u = Unsqueeze (b, second) w = Add (u, taps) v = Sub (w, lead) {held} i = Reshape (p, all) y = Gather <axis=2> (x, i)
"""


@pytest.mark.parametrize(("stride", "count", "lead"), [(6, 7, 3), (3, 5, 2), (2, 4, 0), (4, 4, 1)])
@pytest.mark.parametrize(
    "held",
    [
        "last = Sub (t, one) lo = Max (v, zero) p = Min (lo, last)",
        "last = Sub (t, one) lo = Clip (v, zero) p = Min (lo, last)",
    ],
)
def test_frames_stacked_at_a_low_rate_by_clamped_places(stride: int, count: int, lead: int, held: str) -> None:
    numbers = {"stride": np.array(stride), "behind": np.array(stride - 1), "lead": np.array(lead)}
    model = weights(model_of(LFR.format(held=held)), taps=np.arange(count)[None], **numbers, **INTS)
    found = lifted_equal(model, (1, 2), range(count, 40))
    assert found.signature is not None
    assert found.signature.max_frames is None


NEMO = {"audio_signal": InputSpec(axis=2), "length": InputSpec(counts="audio_signal")}


def nemo(name: str) -> tuple[Offline, Model]:
    offline = offline_of(read_model(ROOT / "examples" / "nemo" / f"{name}.onnx"), StreamSpec(chunk=32, inputs=NEMO))
    return offline, lift(analyse(offline, 32))


def test_a_stream_goes_on_where_the_table_of_an_offline_model_ends() -> None:
    """256 frames behind eightfold subsampling: 2,041 frames. Beyond, the offline model broadcasts nonsense."""
    offline, short = nemo("short_table")
    assert short.signature is not None
    assert (short.signature.max_frames, short.signature.continues, short.signature.tried) == (2041, True, ())
    assert streams_equal(offline, session_of(short), (100, 2040, 2041)).kind == "equal"
    _, long = nemo("long_table")
    rng = np.random.default_rng(0)
    sessions = [session_of(short), session_of(long)]
    for _ in range(3):
        frames = rng.standard_normal((1, 40, 1000)).astype(np.float32)
        one, other = (session.push(audio_signal=frames)["outputs"] for session in sessions)
        np.testing.assert_array_equal(one, other)
    one, other = (session.flush()["outputs"] for session in sessions)
    np.testing.assert_array_equal(one, other)


def test_a_stream_stops_where_its_own_table_ends() -> None:
    body = "h = Shape (x) t = Gather (h, two) e = Unsqueeze (t, front) p = Slice (rows, front, e, front) y = Add (x, p)"
    _, found = lifted(weights(model_of(body), rows=random(120), **INTS))
    session = session_of(found)
    session.push(x=random(1, 2, 120))
    with pytest.raises(InputError, match="longer than 120 frames"):
        session.push(x=random(1, 2, 1))


@pytest.mark.parametrize(("limit", "most"), [("n", None), ("c", 2800)])
def test_the_example_of_the_calculus(limit: str, most: int | None) -> None:
    """docs/calculus.md follows this mask of blocks from its nodes to the proof."""
    body = f"""
        z = Conv <strides=[4], pads=[1,2]> (x, w) h = Shape (z) n = Gather (h, two) c = Min (n, late)
        r = Range (zero, {limit}, one) b = Div (r, four) bq = Unsqueeze (b, second) bk = Unsqueeze (b, front)
        d = Sub (bq, bk) lo = GreaterOrEqual (d, zero) hi = LessOrEqual (d, eight) a = And (lo, hi)
        m = Where (a, none, low) zt = Transpose <perm=[0,2,1]> (z) s = MatMul (zt, z) t = Add (s, m)
        p = Softmax <axis=-1> (t) o = MatMul (p, zt) y = Transpose <perm=[0,2,1]> (o)
    """
    numbers = {"late": np.array(700), "four": np.array(4), "eight": np.array(8)}
    masks = {"none": np.float32(0), "low": np.float32(-np.inf)}
    model = weights(model_of(body, "float[1,2,T] x"), w=random(3, 2, 4), **numbers, **masks, **INTS)
    analysis = analyse(offline_of(model, StreamSpec(chunk=1)))
    (context,) = [s.step.attention for s in analysis.steps if s.step.attention is not None]
    assert (context.left, context.right, context.period) == (35, 3, 4)
    assert analysis.promise.max_frames == most
    assert not analysis.promise.tried


def test_a_model_that_pads_short_streams_streams_from_its_least_length_on() -> None:
    body = (
        "s = Shape <start=2> (x) d = Sub (least, s) a = Max (d, zero) p = Concat <axis=0> (front, a) "
        "q = Pad (x, p) y = Conv (q, w)"
    )
    front = np.array([0, 0, 2, 0, 0])
    model = weights(model_of(body), least=np.array([100]), zero=np.array([0]), front=front, w=random(3, 2, 3))
    offline = offline_of(model, StreamSpec(chunk=1))
    analysis = analyse(offline)
    assert (analysis.promise.min_frames, analysis.promise.max_frames) == (100, None)
    assert analysis.promise.tried == {}
    session = session_of(lift(analysis))
    assert streams_equal(offline, session, range(100, 140)).kind == "equal"
    session.reset()
    session.push(np.zeros((1, 2, 99), np.float32))
    with pytest.raises(
        InputError, match="a stream of 99 frames is too short: the model equals the offline one from 100"
    ):
        session.flush()
    session.push(np.zeros((1, 2, 1), np.float32))
    session.flush()
    assert session.flushed


def test_a_padding_to_one_length_is_told_as_such() -> None:
    body = "s = Shape <start=2> (x) d = Sub (whole, s) p = Concat <axis=0> (none, d) q = Pad (x, p) y = Relu (q)"
    model = weights(model_of(body), whole=np.array([400]), none=np.zeros(5, np.int64))
    with pytest.raises(
        StreamError, match=r"node q \(Pad\): pads or crops every stream to 400 frames; export the model without it"
    ):
        analyse(offline_of(model, StreamSpec(chunk=1)))


DOWN_AND_UP = """
    p = Conv <strides=[2], pads=[1,1]> (x, a) q = Conv <strides=[2], pads=[1,1]> (p, b)
    r = ConvTranspose <strides=[2], pads=[1,1]> (q, c)
"""


@pytest.mark.parametrize(
    ("joined", "lengths"),
    [
        ("s = Add (r, p) y = ConvTranspose <strides=[2], pads=[1,1]> (s, d)", 28),
        ("s = Concat <axis=1> (r, p) t = Conv (s, e) y = ConvTranspose <strides=[2], pads=[1,1]> (t, d)", 28),
        ("s = Add (r, p) t = ConvTranspose <strides=[2], pads=[1,1]> (s, d) y = Mul (t, x)", 14),
    ],
)
def test_a_length_at_which_a_skip_does_not_fit_ends_no_promise(joined: str, lengths: int) -> None:
    """Of the lengths modulo 4 the model takes two, or one: at the others the joined streams differ in length."""
    arrays = {name: random(4, 4, 4) for name in "abcd"} | {"e": random(4, 8, 1)}
    body = DOWN_AND_UP + joined
    model = weights(model_of(body, "float[1,4,T] x"), **{n: v for n, v in arrays.items() if f"{n})" in body})
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)})
    found = analyse(offline_of(model, spec))
    assert (found.promise.min_frames, found.promise.max_frames, found.promise.tried) == (4, None, {})
    for times in (1, 0):
        verdict = verdict_of(model, times, range(1, 60), spec)
        assert verdict.kind == "equal"
        assert verdict.detail == f"{lengths} lengths"


@pytest.mark.parametrize("stacked", ["rows = Div (t, three)", "more = Add (t, two) rows = Div (more, three)"])
def test_frames_stacked_in_rows_are_proved_at_the_lengths_that_fill_their_rows(stacked: str) -> None:
    body = f"""
        h = Shape (x) t = Gather (h, one) {stacked} r = Unsqueeze (rows, front)
        to = Concat <axis=0> (single, r, wide) s = Reshape (x, to) y = MatMul (s, w)
    """
    model = weights(
        model_of(body, "float[1,T,4] x", "float[1,U,5] y"),
        w=random(12, 5),
        single=np.array([1]),
        wide=np.array([12]),
        **INTS,
    )
    promise = analyse(offline_of(model, StreamSpec(chunk=3, inputs={"x": InputSpec(axis=1)}))).promise
    assert not promise.tried and promise.max_frames is None
    assert verdict_of(model, 1, range(3, 40, 3), StreamSpec(chunk=3, inputs={"x": InputSpec(axis=1)})).kind == "equal"
