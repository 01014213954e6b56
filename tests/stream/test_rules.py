"""Each streaming rule, by the smallest graph that shows it: equal at every length, with the delay and states it should have."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import delay, kinds, lifted_equal, model_of, random, refusal, weights

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StateSpec, StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import session_of
from graphc_runtime.errors import StreamError


def test_causal_conv_has_no_delay_and_keeps_its_context() -> None:
    model = lifted_equal(weights(model_of("y = Conv <pads=[4,0], dilations=[2]> (x, w)"), w=random(3, 2, 3)))
    assert kinds(model) == ["conv_context"]
    assert delay(model) == 0
    assert model.signature is not None
    assert model.signature.valid_frames is None


def test_same_conv_delays_by_its_lookahead() -> None:
    model = lifted_equal(weights(model_of("y = Conv <pads=[2,2]> (x, w, b)"), w=random(3, 2, 5), b=random(3)))
    assert delay(model) == 2
    assert model.signature is not None
    assert model.signature.valid_frames is None, "zeros past the end are what the client feeds anyway"


def test_second_same_conv_needs_the_clock_and_valid_frames() -> None:
    body = "a = Conv <pads=[1,1]> (x, w, b) y = Conv <pads=[1,1]> (a, v)"
    model = lifted_equal(weights(model_of(body), w=random(2, 2, 3), b=random(2), v=random(2, 2, 3)))
    assert delay(model) == 2
    assert kinds(model) == ["clock", "conv_context", "conv_context", "running_sum"]
    assert model.signature is not None
    assert model.signature.valid_frames == "valid_frames"


def test_padding_in_front_travels_through_pointwise_ops_to_the_conv() -> None:
    body = """
        p = Pad (x, pads) a = Conv (p, w, b) s = Sigmoid (a) y = Conv (s, v)
    """
    model = weights(
        model_of(body), pads=np.array([0, 0, 2, 0, 0, 0]), w=random(2, 2, 1), b=random(2), v=random(2, 2, 3)
    )
    lifted = lifted_equal(model)
    assert kinds(lifted) == ["conv_context"]
    state = lifted.signature.states[0] if lifted.signature else None
    assert state is not None
    assert np.ptp(state.init, axis=2).max() == 0
    assert np.abs(state.init).min() > 0, "the cache starts at what the bias and the sigmoid make of the padding"


def test_strided_conv_changes_the_rate_and_names_the_smallest_chunk() -> None:
    model = weights(
        model_of("a = Conv <strides=[2]> (x, w) y = Conv <strides=[3]> (a, v)"), w=random(2, 2, 2), v=random(2, 2, 3)
    )
    offline = offline_of(model, StreamSpec(chunk=1))
    with pytest.raises(StreamError) as caught:
        analyse(offline, 8)
    assert "use a multiple of 6" in str(caught.value)
    assert "6 or 12" in str(caught.value)
    lifted_equal(model)


def test_residual_around_a_conv_with_lookahead_waits() -> None:
    model = lifted_equal(weights(model_of("a = Conv <pads=[2,2]> (x, w) y = Add (a, x)"), w=random(2, 2, 5)))
    assert kinds(model) == ["conv_context", "delay_line"]


def test_stride_then_transposed_conv_and_a_skip_line_up() -> None:
    body = """
        d = Conv <strides=[2], pads=[1,1]> (x, w) u = ConvTranspose <strides=[2]> (d, v)
        c = Slice (u, zero, minus, axis) y = Add (c, x)
    """
    model = weights(
        model_of(body),
        w=random(2, 2, 4),
        v=random(2, 2, 2),
        zero=np.array([0]),
        minus=np.array([2**31 - 1]),
        axis=np.array([2]),
    )
    lifted_equal(model, lengths=range(2, 30, 2))


@pytest.mark.parametrize("attrs", ["count_include_pad=1", "count_include_pad=0"])
def test_average_pool_counts_padding_both_ways(attrs: str) -> None:
    lifted_equal(model_of(f"y = AveragePool <kernel_shape=[3], pads=[1,1], {attrs}> (x)"))


def test_max_pool_pads_with_minus_infinity() -> None:
    model = lifted_equal(model_of("y = MaxPool <kernel_shape=[3], pads=[2,0]> (x)"))
    assert model.signature is not None
    assert np.isneginf(model.signature.states[0].init).all()


def test_max_pool_with_ceil_mode() -> None:
    lifted_equal(model_of("y = MaxPool <kernel_shape=[2], strides=[2], ceil_mode=1> (x)"), lengths=range(2, 30))


def test_pool_over_time_in_two_dimensions() -> None:
    inputs, outputs = "float[1,1,T,6] x", "float[1,1,A,B] y"
    lifted_equal(model_of("y = AveragePool <kernel_shape=[2,3], pads=[1,1,0,1], strides=[1,2]> (x)", inputs, outputs))


def test_learned_initial_state_is_the_ports_first_value() -> None:
    body = "t = Transpose <perm=[2,0,1]> (x) y = GRU <hidden_size=3> (t, w, r, , , h)"
    body = "t = Transpose <perm=[2,0,1]> (x) y, hn = GRU <hidden_size=3> (t, w, r, b, n, h)"
    model = model_of(body, outputs="float[A,1,1,3] y, float[1,1,3] hn")
    del model.graph.node[1].input[4]
    model.graph.node[1].input.insert(4, "")
    weights(model, w=random(1, 9, 2), r=random(1, 9, 3), b=random(1, 18), h=random(1, 1, 3))
    lifted = lifted_equal(model)
    assert lifted.signature is not None
    assert [o.name for o in lifted.signature.outputs] == ["y"], "the final state is a state now, not an output"
    assert np.array_equal(lifted.signature.states[0].init, random(1, 1, 3))


def test_lstm_with_peepholes_clip_and_other_activations() -> None:
    body = (
        "t = Transpose <perm=[2,0,1]> (x) "
        'y = LSTM <hidden_size=2, clip=0.5, activations=["HardSigmoid","Softsign","Tanh"]> (t, w, r, b, n, h, c, p)'
    )
    model = model_of(body, outputs="float[A,1,1,2] y")
    model.graph.node[1].input[4] = ""
    weights(
        model,
        w=random(1, 8, 2),
        r=random(1, 8, 2),
        b=random(1, 16),
        h=random(1, 1, 2),
        c=random(1, 1, 2),
        p=random(1, 6),
    )
    assert kinds(lifted_equal(model)) == ["rnn_cell", "rnn_hidden"]


def test_lstm_behind_lookahead_holds_its_first_state_until_frame_0() -> None:
    body = "a = Conv <pads=[2,2]> (x, k) t = Transpose <perm=[2,0,1]> (a) y = RNN <hidden_size=3> (t, w, r)"
    model = weights(model_of(body, outputs="float[A,1,1,3] y"), k=random(2, 2, 5), w=random(1, 3, 2), r=random(1, 3, 3))
    lifted = lifted_equal(model, chunks=(1, 2, 5))
    assert delay(lifted) % 5 == 0


def test_bidirectional_recurrence_over_time_is_refused() -> None:
    body = 't = Transpose <perm=[2,0,1]> (x) y = LSTM <hidden_size=2, direction="bidirectional"> (t, w, r)'
    model = weights(model_of(body, outputs="float[A,2,1,2] y"), w=random(2, 8, 2), r=random(2, 8, 2))
    model.graph.node[1].name = "encoder_lstm"
    error = refusal(model)
    assert error.node == "encoder_lstm (LSTM)"
    assert "both directions" in error.reason
    assert error.hint is not None
    assert "unidirectional" in error.hint


def test_bidirectional_recurrence_over_frequency_has_no_state() -> None:
    body = 't = Transpose <perm=[1,2,0]> (x) y = GRU <hidden_size=2, direction="bidirectional"> (t, w, r)'
    model = weights(model_of(body, outputs="float[2,2,A,2] y"), w=random(2, 6, 1), r=random(2, 6, 2))
    assert kinds(lifted_equal(model)) == []


def test_state_after_the_last_frame_is_refused_where_it_is_used() -> None:
    body = "t = Transpose <perm=[2,0,1]> (x) q, h = GRU <hidden_size=3> (t, w, r) y = Tanh (h)"
    model = weights(model_of(body, outputs="float[1,1,3] y"), w=random(1, 9, 2), r=random(1, 9, 3))
    error = refusal(model)
    assert "after the last frame" in error.reason
    assert "stream.window" in str(error.hint)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("y = ReduceMean <axes=[2], keepdims=1> (x)", "over all time"),
        ("y = Softmax <axis=2> (x)", "over all time"),
        ("y = InstanceNormalization (x, two, two)", "statistics over all time"),
        ("y = GlobalAveragePool (x)", "pools over all time"),
        ("y = Slice (x, last, zero, axis)", "counted from the end"),
        ("y = Slice (x, back, low, axis, back)", "reverses time"),
        ("a = Transpose <perm=[0,2,1]> (x) y = MatMul (a, x)", "a score matrix"),
        ('y = Conv <auto_pad="SAME_UPPER", strides=[2]> (x, w)', "length of the whole stream"),
        ("y = Concat <axis=2> (x, x)", "two streams along time"),
        (
            "q, s, z = DynamicQuantizeLinear (x) y = DequantizeLinear (q, s, z)",
            "another scale than the whole utterance",
        ),
    ],
)
def test_what_cannot_be_streamed_is_refused_with_node_reason_and_way_out(body: str, says: str) -> None:
    model = model_of(body, outputs="float[A,B,C] y")
    weights(
        model,
        two=np.ones(2, np.float32),
        pads=np.array([0, 0, 1, 0, 0, 1]),
        last=np.array([-3]),
        zero=np.array([2**31 - 1]),
        axis=np.array([2]),
        back=np.array([-1]),
        low=np.array([-(2**31)]),
        w=random(2, 2, 3),
    )
    error = refusal(model)
    assert says in str(error)
    assert error.hint


def test_edge_padding_in_front_repeats_the_first_frame() -> None:
    body = 'p = Pad <mode="edge"> (x, pads) y = Conv (p, w)'
    model = weights(model_of(body), pads=np.array([0, 0, 2, 0, 0, 0]), w=random(2, 2, 3))
    lifted = lifted_equal(model)
    assert delay(lifted) == 0
    assert kinds(lifted) == ["clock", "conv_context"]


@pytest.mark.parametrize("mode", ["reflect", "edge"])
@pytest.mark.parametrize(("before", "after", "stride"), [(3, 0, 1), (0, 2, 1), (2, 4, 3), (7, 1, 1)])
def test_frames_of_its_own_before_the_first_and_after_the_last(mode: str, before: int, after: int, stride: int) -> None:
    body = f'h = Conv <pads=[1,2]> (x, v) p = Pad <mode="{mode}"> (h, pads) y = Conv <strides=[{stride}]> (p, w)'
    pads = np.array([0, 0, before, 0, 0, after])
    lifted_equal(weights(model_of(body), pads=pads, v=random(2, 2, 4), w=random(3, 2, 3)), (stride, 3 * stride))


def test_reflection_in_front_waits_until_its_call_has_all_of_it() -> None:
    body = 'y = Pad <mode="reflect"> (x, pads)'
    model = weights(model_of(body), pads=np.array([0, 0, 3, 0, 0, 0]))
    assert delay(lifted_equal(model, (1,))) == 3
    assert delay(lifted_equal(model, (4,))) == 0


@pytest.mark.parametrize(("before", "after"), [(1, -1), (3, -3), (-2, 2), (2, -1), (-3, 1), (-1, -2)])
@pytest.mark.parametrize("front", [0, 2])
def test_padding_that_crops_one_end_and_fills_another_shifts_time(before: int, after: int, front: int) -> None:
    body = f"h = Conv <pads=[{front},{2 - front}]> (x, w) p = Pad (h, pads, half) s = Sigmoid (p) y = Conv (s, v)"
    pads = np.array([0, 1, before, 0, -1, after])
    arrays = {"half": np.float32(0.5), "w": random(2, 2, 3), "v": random(2, 2, 3)}
    lifted_equal(weights(model_of(body), pads=pads, **arrays))


def test_padding_that_crops_to_whole_steps() -> None:
    body = """
        sh = Shape (x) n = Gather (sh, two) down = Neg (n) q = Div (down, four) m = Mul (q, four) whole = Neg (m)
        less = Sub (whole, n) pads = Concat <axis=0> (z, less) y = Pad (x, pads)
    """
    arrays = {"two": np.array([2]), "four": np.array([4]), "z": np.zeros(5, np.int64)}
    lifted_equal(weights(model_of(body), **arrays), lengths=range(4, 30))


@pytest.mark.parametrize("mode", ["edge", "reflect"])
@pytest.mark.parametrize(("before", "after"), [(1, -1), (3, -2), (-2, 2), (-3, 1)])
def test_padding_by_its_own_frames_that_crops_the_other_end(mode: str, before: int, after: int) -> None:
    body = f'h = Conv <pads=[1,2]> (x, v) p = Pad <mode="{mode}"> (h, pads) y = Conv (p, w)'
    pads = np.array([0, 0, before, 0, 0, after])
    lifted_equal(weights(model_of(body), pads=pads, v=random(2, 2, 4), w=random(3, 2, 3)), lengths=range(8, 40))


@pytest.mark.parametrize("mode", ["edge", "reflect"])
@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 3), (2, 2)])
@pytest.mark.parametrize("stride", [1, 2])
def test_padding_of_time_and_another_axis_by_its_own_entries(mode: str, before: int, after: int, stride: int) -> None:
    body = f'h = Conv <pads=[1,0,1,0]> (x, v) p = Pad <mode="{mode}"> (h, pads) y = Conv <strides=[{stride},1]> (p, w)'
    pads = np.array([0, 0, before, 1, 0, 0, after, 2])
    model = model_of(body, "float[1,2,T,4] x", "float[1,A,B,C] y")
    lifted_equal(weights(model, pads=pads, v=random(2, 2, 3, 1), w=random(3, 2, 3, 2)), (stride, 3 * stride))


def test_elements_move_within_their_frame() -> None:
    body = """
        h = Conv <pads=[2,2]> (x, w) s = Shape (h) zeros = ConstantOfShape (s)
        values, places = TopK <axis=1> (h, two) picked = GatherElements <axis=1> (h, places)
        y = ScatterElements <axis=1> (zeros, places, picked)
        z = ScatterElements <axis=1, reduction="add"> (h, places, values)
    """
    model = model_of(body, "float[1,4,T] x", "float[1,A,B] y, float[1,C,D] z", opset=18)
    lifted_equal(weights(model, two=np.array([2]), w=random(4, 4, 5)), chunks=(1, 4))


def test_elements_that_move_in_time_or_in_the_first_frame_alone_are_refused() -> None:
    last = "i = ArgMax <axis=1> (x) y = GatherElements <axis=2> (x, i)"
    assert "gathers or scatters elements over all time" in refusal(model_of(last)).reason
    first = weights(
        model_of("y = ScatterElements <axis=1> (x, i, u)"), i=np.zeros((1, 1, 1), np.int64), u=random(1, 1, 1)
    )
    assert "has another length than the stream" in refusal(first).reason


@pytest.mark.parametrize(
    "joined",
    ["Concat <axis=2> (firsts, h)", "Concat <axis=2> (h, lasts)", "Concat <axis=-1> (first, firsts, h, lasts, last)"],
)
def test_copies_of_the_first_and_last_frame_are_padding_by_the_edge(joined: str) -> None:
    body = f"""
        h = Conv <pads=[1,1]> (x, w) first = Slice (h, zero, one, axis) last = Slice (h, minus, end, axis)
        firsts = Tile (first, three) lasts = Expand (last, twice) p = {joined} y = Conv (p, w)
    """
    numbers = {
        "zero": [0],
        "one": [1],
        "minus": [-1],
        "end": [2**63 - 1],
        "axis": [2],
        "three": [1, 1, 3],
        "twice": [1, 1, 2],
    }
    arrays = {name: np.array(value) for name, value in numbers.items()}
    lifted_equal(weights(model_of(body), w=random(2, 2, 3), **arrays), chunks=(1, 4))


def test_copies_of_the_first_frame_as_many_as_there_are_frames_are_refused() -> None:
    body = """
        first = Slice (x, zero, one, axis) s = Shape (x) firsts = Expand (first, s) y = Concat <axis=2> (firsts, x)
    """
    arrays = {"zero": np.array([0]), "one": np.array([1]), "axis": np.array([2])}
    assert refusal(weights(model_of(body), **arrays)).hint


@pytest.mark.parametrize("transposed", [0, 1])
def test_rows_of_frequencies_in_front_of_frames_are_not_folded(transposed: int) -> None:
    body = f"""
        s = Shape (x) n = Gather (s, two) sizes = Concat <axis=0> (four, n, five) t = Transpose <perm=[1,2,0]> (x)
        r = Reshape (t, flat) g = Gemm <transB={transposed}, alpha=0.5, beta=2.0> (r, w, b) a = Sigmoid (g)
        o = Reshape (a, sizes) y = Transpose <perm=[1,0,2]> (o)
    """
    arrays = {"two": np.array([2]), "four": np.array([4]), "five": np.array([5]), "flat": np.array([-1, 1])}
    w = random(5, 1) if transposed else random(1, 5)
    assert kinds(lifted_equal(weights(model_of(body, "float[1,4,T] x"), w=w, b=random(5), **arrays))) == []


ROWS = """
    s = Shape (x) n = Gather (s, two) count = Range (zero, n, one) t = Reshape (count, across) nn = Unsqueeze (n, first)
    big = Concat <axis=0> (ones, channels, nn, ones) te = Expand (t, big) ce = Expand (c, big) be = Mul (te, zero)
    rows = Concat <axis=3> (be, ce, te)
"""
ROWS_ARRAYS = {
    "two": np.array(2),
    "zero": np.array(0),
    "one": np.array(1),
    "across": np.array([1, 1, -1, 1]),
    "first": np.array([0]),
    "ones": np.array([1]),
    "channels": np.array([2]),
    "c": np.array([3, 1]).reshape(1, 2, 1, 1),
}


@pytest.mark.parametrize("reduction", ["none", "add"])
def test_channels_written_over_by_rows_that_name_every_frame(reduction: str) -> None:
    body = f'{ROWS} h = Conv <pads=[1,1]> (x, w) y = ScatterND <reduction="{reduction}"> (x, rows, h)'
    model = weights(model_of(body, "float[1,4,T] x", opset=18), w=random(2, 4, 3), **ROWS_ARRAYS)
    assert kinds(lifted_equal(model, chunks=(1, 4))) == ["conv_context", "delay_line"]


@pytest.mark.parametrize("into", ["x", "zeros"])
def test_channels_written_over_where_time_is_no_index(into: str) -> None:
    body = f"""
        s = Shape (x) zeros = ConstantOfShape (s) h = Conv <pads=[1,1]> (x, w) u = Transpose <perm=[1,0,2]> (h)
        d = Transpose <perm=[1,0,2]> ({into}) o = ScatterND (d, rows, u) y = Transpose <perm=[1,0,2]> (o)
    """
    model = model_of(body, "float[1,4,T] x", opset=18)
    lifted_equal(weights(model, w=random(2, 4, 3), rows=np.array([[3], [1]])), chunks=(1, 4))


def test_a_constant_written_over_a_channel_of_every_frame() -> None:
    body = f"{ROWS} some = Concat <axis=0> (ones, channels, nn) u = Expand (half, some) y = ScatterND (x, rows, u)"
    model = weights(model_of(body, "float[1,4,T] x", opset=18), half=np.full((1, 1, 1), 0.5, np.float32), **ROWS_ARRAYS)
    assert kinds(lifted_equal(model)) == []


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (np.array([[[0, 0, 0], [0, 1, 0]]]), "writes to some frames"),
        (np.array([[[0, 0, 0], [0, 0, 1]]]), "writes to some frames"),
    ],
)
def test_single_frames_written_over_are_refused(rows: np.ndarray, says: str) -> None:
    model = weights(model_of("y = ScatterND (x, rows, u)", opset=18), rows=rows, u=random(1, 2))
    assert says in refusal(model).reason


@pytest.mark.parametrize(("start", "step"), [(0, 3), (1, 2), (0, 1)])
def test_frames_picked_by_an_evenly_spaced_range(start: int, step: int) -> None:
    body = "s = Shape (x) n = Gather (s, two) r = Range (start, n, step) y = Gather <axis=2> (x, r)"
    arrays = {"two": np.array(2), "start": np.array(start), "step": np.array(step)}
    lifted_equal(weights(model_of(body), **arrays), lengths=range(start + 1, 30))


def test_edge_padding_behind_lookahead() -> None:
    body = 'a = Conv <pads=[1,1]> (x, w) p = Pad <mode="edge"> (a, pads) y = Conv (p, w)'
    lifted_equal(weights(model_of(body), pads=np.array([0, 0, 2, 0, 0, 0]), w=random(2, 2, 3)), chunks=(1, 2, 5))


def test_frames_stacked_by_reshape_change_the_rate() -> None:
    body = "t = Transpose <perm=[0,2,1]> (x) r = Reshape (t, shape) y = Tanh (r)"
    model = weights(model_of(body), shape=np.array([1, -1, 8]))
    lifted = lifted_equal(model, lengths=range(4, 40, 4))
    assert lifted.signature is not None
    assert lifted.signature.chunk_multiple == 4
    assert str(lifted.signature.outputs[0].rate) == "1/4"


def test_cumsum_carries_the_sum() -> None:
    model = lifted_equal(weights(model_of("y = CumSum (x, axis)"), axis=np.array(2)))
    assert kinds(model) == ["running_sum"]


def test_depth_to_space_and_upsampling_along_time() -> None:
    lifted_equal(model_of("y = DepthToSpace <blocksize=2> (x)", "float[1,8,3,T] x", "float[1,2,6,A] y"))
    scales = np.array([1, 1, 2], np.float32)
    model = weights(model_of('y = Upsample <mode="nearest"> (x, s)', opset=9), s=scales)
    lifted_equal(model)


def test_loop_over_time_carries_its_state() -> None:
    body = """
        sh = Shape (x) n = Gather (sh, two) last = Squeeze (n) t = Identity (x)
        hn, y = Loop (last, yes, h0) <body = b (int64 i, bool go, float[1,2] h) => (bool again, float[1,2] h2, float[1,2] o)
        { again = Identity (go) f = Gather <axis=2> (t, i) d = Mul (h, f) h2 = Tanh (d) o = Add (h2, f) }>
    """
    model = weights(model_of(body, outputs="float[A,1,2] y"), two=np.array([2]), yes=np.array(True), h0=random(1, 2))
    assert kinds(lifted_equal(model)) == ["scan_carry"]


def test_static_input_spread_over_time() -> None:
    body = "s = Shape (x) n = Gather (s, two) z = Concat <axis=0> (one, four, n) e = Expand (spk, z) y = Concat <axis=1> (x, e)"
    model = model_of(body, "float[1,2,T] x, float[1,4,1] spk")
    weights(model, two=np.array([2]), one=np.array([1]), four=np.array([4]))
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2), "spk": InputSpec(static=True)})
    lifted_equal(model, spec=spec)


def test_a_mask_made_of_the_count_of_frames_is_steady() -> None:
    body = """
        s = Shape (x) n = Gather (s, two) m = Squeeze (n) r = Range (zero, m, unit) k = Less (r, len)
        f = Cast <to=1> (k) y = Mul (x, f)
    """
    model = model_of(body, "float[1,2,T] x, int64[1] len")
    weights(model, two=np.array([2]), zero=np.array(0), unit=np.array(1))
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2), "len": InputSpec(counts="x")})
    lifted = lifted_equal(model, spec=spec)
    assert lifted.signature is not None
    assert [i.name for i in lifted.signature.inputs] == ["x"]


def test_positions_out_of_a_ramp_are_made_from_the_clock() -> None:
    body = """
        s = Shape (x) n = Gather (s, two) m = Squeeze (n) r = Range (zero, m, unit) f = Cast <to=1> (r) y = Add (x, f)
    """
    model = weights(model_of(body), two=np.array([2]), zero=np.array(0), unit=np.array(1))
    lifted = lifted_equal(model)
    assert kinds(lifted) == ["clock"]
    assert lifted.signature is not None
    assert lifted.signature.max_frames is None, "the clock is cast as the offline count is"


def test_floats_that_count_bound_the_stream() -> None:
    body = """
        s = Shape (x) n = Gather (s, two) m = Squeeze (n) g = Cast <to=1> (m) r = Range (zero, g, unit) y = Add (x, r)
    """
    model = weights(model_of(body), two=np.array([2]), zero=np.float32(0), unit=np.float32(1))
    lifted = lifted_equal(model)
    assert lifted.signature is not None
    assert lifted.signature.max_frames == 2**24, "float32 counts no further"
    assert not lifted.signature.continues


def test_counts_are_rounded_as_offline_where_floats_no_longer_hold_them() -> None:
    body = """
        s = Shape (x) n = Gather (s, two) m = Squeeze (n) r = Range (zero, m, unit) k = Mul (r, bins) f = Cast <to=1> (k)
        u = Unsqueeze (f, at0) g = Mul (u, tiny) y = Add (x, g)
    """
    arrays = {"two": [2], "zero": 0, "unit": 1, "bins": 1_000_003, "at0": [0], "tiny": np.float32(1e-7)}
    lifted = lifted_equal(weights(model_of(body), **{n: np.array(v) for n, v in arrays.items()}), lengths=range(1, 60))
    assert lifted.signature is not None
    assert lifted.signature.max_frames is None


def test_positions_out_of_a_stored_table_bound_the_stream() -> None:
    body = "s = Shape (x) n = Gather (s, two) p = Slice (table, zero, n, two) y = Add (x, p)"
    model = weights(model_of(body), two=np.array([2]), zero=np.array([0]), table=random(1, 2, 50))
    lifted = lifted_equal(model)
    assert lifted.signature is not None
    assert lifted.signature.max_frames == 50


def test_a_constant_that_follows_the_place_in_no_known_way_is_refused() -> None:
    body = """
        s = Shape (x) n = Gather (s, two) m = Squeeze (n) r = Range (zero, m, unit) f = Cast <to=1> (r)
        last = Cast <to=1> (n) share = Div (f, last) y = Add (x, share)
    """
    model = weights(model_of(body), two=np.array([2]), zero=np.array(0), unit=np.array(1))
    assert "depends on the length" in refusal(model).reason or "from position to position" in refusal(model).reason


def test_a_periodic_constant_is_cut_at_the_phase_of_the_delay() -> None:
    body = "a = Conv <pads=[1,1]> (x, w) s = Shape (a) n = Gather (s, two) m = Squeeze (n) r = Range (zero, m, unit)"
    body += " q = Mod (r, three) f = Cast <to=1> (q) y = Add (a, f)"
    model = model_of(body)
    weights(model, w=random(2, 2, 3), two=np.array([2]), zero=np.array(0), unit=np.array(1), three=np.array(3))
    lifted = lifted_equal(model)
    assert lifted.signature is not None
    assert lifted.signature.chunk_multiple == 3


def test_two_stream_inputs_at_different_rates() -> None:
    body = "d = Conv <strides=[2]> (x, w) y = Add (d, z)"
    model = model_of(body, "float[1,2,T] x, float[1,2,U] z")
    weights(model, w=random(2, 2, 2))
    spec = StreamSpec(chunk=2, inputs={"x": InputSpec(axis=2), "z": InputSpec(axis=2, rate="1/2")})
    lifted_equal(model, spec=spec, lengths=range(2, 30, 2))


def test_two_outputs_with_different_delays() -> None:
    body = "a = Conv <pads=[1,3]> (x, w) y = Tanh (x) z = Conv <strides=[2], pads=[2,2]> (a, w)"
    model = model_of(body, outputs="float[1,2,A] y, float[1,2,B] z")
    lifted = lifted_equal(weights(model, w=random(2, 2, 5)))
    assert lifted.signature is not None
    assert [o.delay for o in lifted.signature.outputs] == [0, 2]


@pytest.mark.parametrize("dtype", ["float16", "double"])
def test_other_floats(dtype: str) -> None:
    numpy_type = {"float16": np.float16, "double": np.float64}[dtype]
    body = "a = Conv <pads=[1,1]> (x, w) y = Conv <pads=[1,1]> (a, w)"
    if dtype == "double":
        body = "a = MaxPool <kernel_shape=[3], pads=[1,1]> (x) b = Mul (a, s) y = Add (b, x)"
    model = model_of(body, f"{dtype}[1,2,T] x", f"{dtype}[1,A,B] y")
    weights(model, w=random(2, 2, 3, dtype=numpy_type), s=np.asarray(0.5, numpy_type))
    offline = offline_of(model, StreamSpec(chunk=1))
    session = session_of(lift(analyse(offline, 3)))
    rng = np.random.default_rng(0)
    for frames in (3, 8, 20):
        feeds = offline.draw(frames, rng)
        want, got = offline.run(feeds)["y"], session.run(feeds)["y"]
        assert want.shape == got.shape
        assert np.allclose(want.astype(float), got.astype(float), atol=5e-3 if dtype == "float16" else 1e-12)


def test_quantized_conv_pads_with_its_zero_point() -> None:
    body = "q = QuantizeLinear (x, xs, xz) a = QLinearConv <pads=[2,0]> (q, xs, xz, w, ws, wz, xs, xz) y = DequantizeLinear (a, xs, xz)"
    model = weights(
        model_of(body),
        xs=np.float32(0.05),
        xz=np.uint8(131),
        ws=np.float32(0.02),
        wz=np.uint8(120),
        w=np.random.default_rng(0).integers(0, 255, (2, 2, 3)).astype(np.uint8),
    )
    lifted = lifted_equal(model)
    assert lifted.signature is not None
    assert (lifted.signature.states[0].init == 131).all()


def test_symbolic_batch_is_bound_to_the_specs_batch() -> None:
    model = weights(model_of("y = Conv <pads=[2,0]> (x, w)", "float[batch,2,T] x"), w=random(2, 2, 3))
    lifted = lifted_equal(model, spec=StreamSpec(chunk=1, batch=3, inputs={"x": InputSpec(axis=2)}))
    assert lifted.signature is not None
    assert lifted.signature.states[0].init.shape == (3, 2, 2)


def test_a_fixed_length_graph_streams_further_than_it_was_exported_for() -> None:
    body = "r = Reshape (x, shape) y = Conv <pads=[2,0]> (r, w)"
    model = weights(model_of(body, "float[1,2,12] x"), shape=np.array([1, 2, 12]), w=random(2, 2, 3))
    spec = StreamSpec(chunk=4, inputs={"x": InputSpec(axis=2)})
    lifted_equal(model, spec=spec, lengths=range(12, 13))


def test_short_time_fourier_transform_is_a_window() -> None:
    model = weights(
        model_of("y = STFT (x, step, window)", "float[1,T,1] x", "float[1,A,5,2] y"),
        step=np.array(4),
        window=np.hanning(8).astype(np.float32),
    )
    lifted = lifted_equal(model, lengths=range(8, 40))
    assert kinds(lifted) == ["conv_context"]


def test_tokens_stream_through_one_hot_and_embedding() -> None:
    body = "o = OneHot (x, depth, values) e = Gather (table, x) y = Concat <axis=2> (o, e)"
    model = weights(
        model_of(body, "int64[1,T] x", "float[1,A,7] y"),
        depth=np.array(5),
        table=random(5, 2),
        values=np.array([0, 1], np.float32),
    )
    lifted_equal(model)


EXTRA = """
    s = Shape (x) n = Gather (s, two) neg = Neg (n) r = Mod (neg, four) zeros = Concat <axis=0> (z5, r)
    p = Pad (x, zeros) y = Conv <strides=[4]> (p, w)
"""


def test_extra_padding_up_to_a_full_stride_acts_at_the_flush() -> None:
    model = model_of(EXTRA)
    weights(model, two=np.array([2]), four=np.array([4]), z5=np.array([0, 0, 2, 0, 0]), w=random(2, 2, 6))
    lifted_equal(model)


def test_frames_trimmed_to_whole_stacks() -> None:
    body = """
        t = Transpose <perm=[0,2,1]> (x) s = Shape (x) n = Gather (s, two) q = Div (n, four) end = Mul (q, four)
        c = Slice (t, zero, end, one) y = Reshape (c, shape)
    """
    model = model_of(body)
    weights(
        model, two=np.array([2]), four=np.array([4]), zero=np.array([0]), one=np.array([1]), shape=np.array([1, -1, 8])
    )
    lifted_equal(model, lengths=range(4, 40))


def test_static_input_tiled_over_time() -> None:
    body = (
        "s = Shape (x) n = Gather (s, two) r = Concat <axis=0> (ones, n) e = Tile (spk, r) y = Concat <axis=1> (x, e)"
    )
    model = weights(model_of(body, "float[1,2,T] x, float[1,4,1] spk"), two=np.array([2]), ones=np.array([1, 1]))
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2), "spk": InputSpec(static=True)})
    lifted_equal(model, spec=spec)


@pytest.mark.parametrize("frames_first", [True, False])
def test_framing_by_a_table_of_indices_is_a_window(frames_first: bool) -> None:
    body = """
        s = Shape (x) n = Gather (s, two) m = Squeeze (n) last = Sub (m, four) o = Range (zero, last, step)
        col = Unsqueeze (o, axis) i = Add (col, taps) y = Gather <axis=2> (x, i)
    """
    model = weights(
        model_of(body),
        two=np.array([2]),
        four=np.array(4),
        zero=np.array(0),
        step=np.array(2),
        axis=np.array([1 if frames_first else 0]),
        taps=np.arange(5).reshape((1, 5) if frames_first else (5, 1)),
    )
    assert kinds(lifted_equal(model, lengths=range(5, 40))) == ["conv_context"]


def test_what_only_a_shape_reads_need_not_stream() -> None:
    body = """
        f = Slice (x, zero, one, axis) s = Shape (f) z = ConstantOfShape (s) p = Concat <axis=2> (z, x)
        y = Conv (p, w)
    """
    lifted_equal(weights(model_of(body), zero=np.array([0]), one=np.array([1]), axis=np.array([2]), w=random(2, 2, 2)))


def test_group_normalisation_over_time_is_refused_by_its_own_name() -> None:
    body = "r = Reshape (x, shape) n = InstanceNormalization (r, one, one) s = Shape (x) y = Reshape (n, s)"
    model = weights(model_of(body), shape=np.array([0, 1, -1]), one=np.ones(1, np.float32))
    model.graph.node[1].name = "group_norm"
    error = refusal(model)
    assert error.node == "group_norm (InstanceNormalization)"
    assert "statistics over all time" in error.reason


def test_streams_at_two_rates_are_not_cut_to_each_other() -> None:
    body = "d = Conv <strides=[2]> (x, w) s = Shape (d) n = Gather (s, two) c = Slice (x, zero, n, two) y = Add (d, c)"
    model = weights(model_of(body), w=random(2, 2, 2), two=np.array([2]), zero=np.array([0]))
    assert "same rate" in str(refusal(model))


def test_pre_emphasis_with_the_first_frame_in_front() -> None:
    body = """
        f = Slice (x, zero, one, axis) a = Slice (x, one, end, axis) c = Slice (x, zero, minus, axis) d = Mul (c, k)
        e = Sub (a, d) y = Concat <axis=2> (f, e)
    """
    arrays = {"zero": 0, "one": 1, "end": 2**31 - 1, "minus": -1, "axis": 2}
    model = weights(model_of(body), k=np.float32(0.97), **{n: np.array([v]) for n, v in arrays.items()})
    assert delay(lifted_equal(model, lengths=range(2, 30))) == 0


def test_a_loop_that_appends_to_a_sequence_is_a_scan() -> None:
    body = """
        sh = Shape (x) n = Gather (sh, two) last = Squeeze (n) t = Identity (x) s0 = SequenceEmpty <dtype=1> ()
        hn, s = Loop (last, yes, h0, s0) <body = b (int64 i, bool go, float[1,2] h, seq(float[1,2]) q)
            => (bool again, float[1,2] h2, seq(float[1,2]) r)
        { again = Identity (go) f = Gather <axis=2> (t, i) d = Mul (h, f) h2 = Tanh (d) r = SequenceInsert (q, h2) }>
        y = ConcatFromSequence <axis=2, new_axis=1> (s)
    """
    model = weights(model_of(body), two=np.array([2]), yes=np.array(True), h0=random(1, 2))
    assert kinds(lifted_equal(model)) == ["scan_carry"]


def test_the_forms_of_opset_11() -> None:
    body = """
        u = Unsqueeze <axes=[1]> (x) c = Conv <pads=[1,2,1,0]> (u, w) a = Clip (c, low, high)
        r = ReduceSum <axes=[1], keepdims=0> (a) p = Pad (r, pads) t = Transpose <perm=[0,2,1]> (p)
        s = Softmax <axis=2> (t) h, k = Split <axis=2, split=[1,1]> (s) z = Unsqueeze <axes=[3]> (k) y = Squeeze <axes=[3]> (z)
    """
    model = model_of(body, "float[1,2,T] x", opset=11)
    weights(model, w=random(3, 1, 3, 3), low=np.float32(-1), high=np.float32(1), pads=np.array([0, 0, 1, 0, 0, 0]))
    lifted_equal(model)


def test_a_given_state_read_at_every_frame_is_refused() -> None:
    model = model_of("y = Add (x, s) n = Tanh (s)", "float[1,2,T] x, float[1,2,1] s", "float[1,2,A] y, float[1,2,1] n")
    spec = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)}, states=[StateSpec(input="s", output="n")])
    assert "a state of stream.states at every frame" in refusal(model, spec).reason


@pytest.mark.parametrize("step", [20, 48, 160])
def test_frames_cut_to_whole_steps_that_the_graph_names(step: int) -> None:
    body = "h = Shape <start=2, end=3> (x) n = Div (h, step) e = Mul (n, step) y = Slice (x, zero, e, axis)"
    model = weights(model_of(body), step=np.array([step]), zero=np.array([0]), axis=np.array([2]))
    lifted_equal(model, chunks=(1,), lengths=range(step, 4 * step, step // 4 + 1))


@pytest.mark.parametrize("step", [20, 48, 160])
def test_padding_up_to_whole_steps_that_the_graph_names(step: int) -> None:
    body = """
        h = Shape <start=2, end=3> (x) minus = Neg (h) more = Mod (minus, step) size = Concat <axis=0> (ones, more)
        none = ConstantOfShape (size) c = Concat <axis=2> (x, none) y = Conv <strides=[4]> (c, w)
    """
    model = weights(model_of(body), step=np.array([step]), ones=np.array([1, 2]), w=random(2, 2, 4))
    lifted_equal(model, chunks=(1,), lengths=range(1, 3 * step, step // 4 + 1))


def test_gather_nd_of_one_axis_is_a_gather() -> None:
    body = """
        h = Shape <start=2, end=3> (x) t = Squeeze (h) r = Range (zero, t, one) u = Unsqueeze (r, last)
        g = GatherND (table, u) p = Transpose <perm=[1,0]> (g) y = Add (x, p)
    """
    arrays = {"zero": np.array(0), "one": np.array(1), "last": np.array([-1]), "table": random(30, 2)}
    lifted = lifted_equal(weights(model_of(body), **arrays), lengths=range(1, 30))
    assert lifted.signature is not None
    assert lifted.signature.max_frames == 30


def test_a_mask_of_frames_that_exist_follows_both_ends() -> None:
    """A window of gathered frames, each with a mark whether it lies inside the stream."""
    body = """
        h = Shape <start=2, end=3> (x) t = Squeeze (h) r = Range (zero, t, one) rows = Unsqueeze (r, last)
        place = Add (rows, near) before = Less (place, zero) behind = GreaterOrEqual (place, t) out = Or (before, behind)
        n = Not (out) f = Cast <to=1> (n) c = Transpose <perm=[1,0]> (f) p = Pad (x, pads)
        a0 = Conv (p, w0) y = Mul (a0, c)
    """
    arrays = {"zero": np.array(0), "one": np.array(1), "last": np.array([1]), "near": np.arange(-2, 2)}
    arrays |= {"pads": np.array([0, 0, 2, 0, 0, 1]), "w0": random(4, 2, 4)}
    lifted = lifted_equal(weights(model_of(body), **arrays), lengths=range(1, 30))
    assert delay(lifted) >= 1


def test_a_count_of_frames_in_sight_is_made_from_the_clock() -> None:
    body = """
        h = Shape <start=2, end=3> (x) t = Squeeze (h) r = Range (zero, t, one) n = Add (r, one) c = Min (n, five)
        f = Cast <to=1> (c) y = Div (x, f)
    """
    arrays = {"zero": np.array(0), "one": np.array(1), "five": np.array(5)}
    lifted_equal(weights(model_of(body), **arrays), lengths=range(1, 20))


@pytest.mark.parametrize("attributes", ["", "<exclusive=1>"])
def test_a_moving_sum_by_running_sums_delays_nothing(attributes: str) -> None:
    body = f"p = Pad (x, front) c = CumSum {attributes} (p, axis) a = Slice (c, k, end, at) d = Slice (c, zero, back, at) y = Sub (a, d)"
    arrays = {"front": [0, 0, 8, 0, 0, 0], "axis": 2, "k": [8], "back": [-8], "zero": [0], "end": [2**62], "at": [2]}
    lifted = lifted_equal(weights(model_of(body), **{n: np.array(v) for n, v in arrays.items()}))
    assert delay(lifted) == 0


RUNNING = pytest.mark.parametrize("attributes", ["", "<exclusive=1>"])


@RUNNING
def test_a_running_sum_is_rounded_as_offline_whatever_the_chunk(attributes: str) -> None:
    model = weights(model_of(f"y = CumSum {attributes} (x, axis)"), axis=np.array(2))
    x = 1e6 + np.random.default_rng(0).standard_normal((1, 2, 999)).astype(np.float32)
    assert farthest(model, x) == 0


@RUNNING
def test_a_running_sum_of_float16_does_not_drift(attributes: str) -> None:
    body = f"h = Cast <to=10> (x) s = CumSum {attributes} (h, axis) y = Cast <to=1> (s)"
    x = np.random.default_rng(0).random((1, 2, 3000), np.float32) / 8
    assert farthest(weights(model_of(body), axis=np.array(2)), x) <= 2 * np.finfo(np.float16).eps


def farthest(model: onnx.ModelProto, x: np.ndarray) -> float:
    """The largest error of a stream, in parts of the offline output, over calls of some sizes."""
    offline = offline_of(model, StreamSpec(chunk=1))
    want = offline.run({"x": x})["y"]
    found = 0.0
    for chunk in (1, 7, 500):
        session = session_of(lift(analyse(offline, chunk)))
        got = np.concatenate([session.push(x)["y"], session.flush()["y"]], axis=2)
        found = max(found, float((np.abs(got - want) / np.maximum(np.abs(want), 1)).max()))
    return found


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool", "LpPool"])
@pytest.mark.parametrize("order", [[0, 2, 1, 3], [2, 0, 1, 3]])
def test_a_pool_takes_each_frame_alone_if_time_is_its_batch_or_channel(op: str, order: list[int]) -> None:
    back = [order.index(a) for a in range(4)]
    body = f"""
        h = Conv <pads=[1,0,1,0]> (x, w) t = Transpose <perm={order}> (h)
        p = {op} <kernel_shape=[1,2], strides=[1,2]> (t) y = Transpose <perm={back}> (p)
    """
    model = model_of(body, "float[1,2,T,4] x", "float[1,A,B,C] y")
    lifted_equal(weights(model, w=random(2, 2, 3, 1)), (1, 3))


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("diagonal", ["", ", k"])
def test_a_triangle_of_other_axes_than_time(upper: int, diagonal: str) -> None:
    body = f"h = Conv <pads=[1,0,0,1,0,0]> (x, w) m = Trilu <upper={upper}> (h{diagonal}) y = Relu (m)"
    model = model_of(body, "float[1,2,T,3,3] x", "float[1,A,B,C,D] y")
    lifted_equal(weights(model, w=random(2, 2, 3, 1, 1), k=np.array(1)), (1, 3))


def test_a_triangle_over_time_is_refused_with_a_way_out() -> None:
    err = refusal(model_of("y = Trilu (x)", "float[1,4,T] x"))
    assert "one side is time" in err.reason
    assert "torch.arange" in (err.hint or "")


def test_a_partial_last_window_without_padding_counts_its_frames() -> None:
    """As torch's newer exporter writes ``avg_pool1d``."""
    body = (
        'p = AveragePool <kernel_shape=[2], strides=[2], ceil_mode=1, count_include_pad=1, auto_pad="NOTSET"> (x) '
        "y = Relu (p)"
    )
    lifted_equal(model_of(body), (1, 3), range(2, 30))
