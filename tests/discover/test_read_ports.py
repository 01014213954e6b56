"""What each port is to a stream: one small model for each thing that a shipped one has."""

from __future__ import annotations

import time

import numpy as np
import onnx
import pytest
from lifting import model_of, random, weights

from graphc.discover.agreement import that_runs
from graphc.discover.read_ports import read_ports
from graphc.discover.reading import Reading, Told
from graphc.discover.receptive_field import receptive_field
from graphc.discover.trial_run import trial_run
from graphc.errors import SpecError
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StateSpec, StreamSpec
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc.system.deadline import TimeOverError, at_most
from graphc_runtime.errors import ModelError

HIDDEN = 8


def said(reading: Reading) -> dict[str, dict[str, object]]:
    return {i.port.name: i.spec.model_dump(exclude_defaults=True) for i in reading.inputs}


def guesses(reading: Reading) -> list[str]:
    return [i.port.name for i in reading.inputs if i.guess] + [p.input for p in reading.pairs if not p.sure]


def lstm_with_ports(inputs: str, h: str, c: str, out_h: str, out_c: str) -> onnx.ModelProto:
    """An LSTM over [T, 1, 4] whose first and last states are ports."""
    body = f"y4, {out_h}, {out_c} = LSTM <hidden_size = {HIDDEN}> (x, w, r, b, none, {h}, {c}) y = Squeeze (y4, one)"
    body = body.replace("none", "")
    text = f"float[{inputs},1,4] x, float[1,1,{HIDDEN}] {h}, float[1,1,{HIDDEN}] {c}"
    outputs = f"float[A,B,C] y, float[1,1,{HIDDEN}] {out_h}, float[1,1,{HIDDEN}] {out_c}"
    made = model_of(body, text, outputs)
    return weights(
        made, w=random(1, 4 * HIDDEN, 4), r=random(1, 4 * HIDDEN, HIDDEN), b=random(1, 8 * HIDDEN), one=np.array([1])
    )


def test_states_are_told_by_the_recurrence_that_they_enter_and_leave() -> None:
    reading = read_ports(lstm_with_ports("T", "a7", "a3", "k9", "k1"))
    assert [(p.input, p.output) for p in reading.pairs] == [("a7", "k9"), ("a3", "k1")]
    assert guesses(reading) == []
    assert said(reading) == {"x": {"axis": 0}}
    assert reading.carried is not None
    assert reading.carried.agrees is True
    assert reading.carried.idle == ()


def test_states_of_a_recurrence_that_runs_backwards_too_carry_no_stream() -> None:
    body = (
        f"f, fh = GRU <hidden_size = {HIDDEN}> (x, w, r, b, , h0) back = Slice (x, last, first, zero, minus) "
        f"g, gh = GRU <hidden_size = {HIDDEN}> (back, w, r, b, , g0) again = Slice (g, last, first, zero, minus) "
        "s = Add (f, again) y = Squeeze (s, one)"
    )
    state = f"float[1,1,{HIDDEN}]"
    model = model_of(body, f"float[T,1,4] x, {state} h0, {state} g0", f"float[A,B,C] y, {state} fh, {state} gh")
    arrays = {"last": np.array([-1]), "first": np.array([-(2**62)]), "zero": np.array([0]), "minus": np.array([-1])}
    gates = {"w": random(1, 3 * HIDDEN, 4), "r": random(1, 3 * HIDDEN, HIDDEN), "b": random(1, 6 * HIDDEN)}
    reading = read_ports(weights(model, one=np.array([1]), **arrays, **gates))
    assert reading.pairs == ()
    assert said(reading)["h0"]["static"] is True
    assert {"h0", "g0"} <= set(guesses(reading))


def cell(frame: str) -> onnx.ModelProto:
    """A gated cell of Gemms over one frame [1, 6] a call."""
    body = (
        f"joined = Concat <axis = 1> ({frame}, mem_in) g = MatMul (joined, w) s = Sigmoid (g) kept = Mul (s, mem_in) "
        "mem_out = Add (kept, g) y = MatMul (mem_out, v)"
    )
    model = model_of(body, f"float[1,6] {frame}, float[1,{HIDDEN}] mem_in", f"float[1,3] y, float[1,{HIDDEN}] mem_out")
    return weights(model, w=random(6 + HIDDEN, HIDDEN), v=random(HIDDEN, 3))


def test_a_frame_a_call_is_a_step() -> None:
    reading = read_ports(cell("audio_chunk"))
    assert said(reading) == {"audio_chunk": {"step": True}}
    assert [(p.input, p.output) for p in reading.pairs] == [("mem_in", "mem_out")]
    assert (reading.chunk, guesses(reading)) == (1, [])


def test_a_denoiser_s_sound_is_no_state_though_its_shapes_are_alike() -> None:
    body = "j = Concat <axis = 1> (audio, cache) audio_out = MatMul (j, w) cache_out = Slice (j, four, end, one)"
    arrays = {"w": random(12, 8), "four": np.array([8]), "end": np.array([12]), "one": np.array([1])}
    model = model_of(body, "float[1,8] audio, float[1,4] cache", "float[1,8] audio_out, float[1,4] cache_out")
    assert [(p.input, p.output) for p in read_ports(weights(model, **arrays)).pairs] == [("cache", "cache_out")]


@pytest.mark.parametrize("batch", ["batch_size", "unk__314", "N"])
def test_a_lone_open_axis_in_front_is_no_time(batch: str) -> None:
    body = "c = Conv (x, w) r = Relu (c) y = ReduceMean <keepdims = 0, axes = [2, 3]> (r)"
    model = weights(model_of(body, f"float[{batch},1,76,32] x"), w=random(4, 1, 3, 3))
    reading = read_ports(model)
    assert said(reading) == {"x": {"axis": 2}}
    assert guesses(reading) == ["x"]
    assert "axis: 3" in reading.inputs[0].others


def test_features_that_are_summed_first_leave_time() -> None:
    model = weights(model_of("c = Conv (x, w) y = Relu (c)", "float[N,80,800] x"), w=random(4, 80, 3))
    assert said(read_ports(model)) == {"x": {"axis": 2}}


def test_batch_time_features_is_the_custom_where_nothing_else_tells() -> None:
    model = weights(model_of("f = Flatten (x) y = MatMul (f, w)", "float[1,16,96] x"), w=random(16 * 96, 1))
    reading = read_ports(model)
    assert (said(reading), guesses(reading)) == ({"x": {"axis": 1}}, ["x"])


def test_open_axes_that_only_some_sizes_fit_are_told_with_one() -> None:
    model = weights(
        model_of("m = MatMul (x, w) y = CumSum (m, zero)", "float[rows,columns] x"), w=random(42, 3), zero=np.array(0)
    )
    reading = read_ports(model)
    assert said(reading) == {"x": {"axis": 0, "sizes": {1: 42}}}
    assert guesses(reading) == ["x"]


def test_numbers_rates_and_settings() -> None:
    body = (
        "c = Conv <pads = [1, 1]> (x, w) s = Unsqueeze (speaker, two) a = Add (c, s) f = Cast <to = 1> (lengths) "
        "g = Cast <to = 1> (sr) t = Add (f, g) z = Mul (t, zero) y = Add (a, z)"
    )
    inputs = "float[1,3,T] x, float[1,4] speaker, int64[1] lengths, int64 sr"
    model = weights(model_of(body, inputs), w=random(4, 3, 3), two=np.array([2]), zero=np.float32(0))
    reading = read_ports(model)
    assert said(reading) == {
        "x": {"axis": 2},
        "speaker": {"static": True},
        "lengths": {"counts": "x"},
        "sr": {"static": True, "range": (16000.0, 16000.0)},
    }
    assert guesses(reading) == ["sr"]


def test_what_is_told_is_no_guess() -> None:
    model = weights(model_of("f = Flatten (x) y = MatMul (f, w)", "float[1,16,96] x"), w=random(16 * 96, 1))
    reading = read_ports(model, Told(inputs={"x": InputSpec(axis=2)}))
    assert (said(reading), guesses(reading)) == ({"x": {"axis": 2}}, [])


@pytest.mark.parametrize(
    "told",
    [
        Told(inputs={"xs": InputSpec(axis=1)}),
        Told(states=[StateSpec(input="xs", output="y")]),
        Told(states=[StateSpec(input="x", output="ys")]),
        Told(sizes={"xs": {1: 2}}),
    ],
)
def test_names_that_are_none_of_the_model_are_refused(told: Told) -> None:
    with pytest.raises(SpecError, match=r"the model has no (input|output) '[xy]s'"):
        read_ports(model_of("y = Relu (x)"), told)


def test_time_over_ends_work_and_leaves_an_earlier_timer() -> None:
    began = time.monotonic()
    with pytest.raises(TimeOverError), at_most(0.05):
        while time.monotonic() - began < 20:
            time.sleep(0.01)
    assert time.monotonic() - began < 5
    with at_most(60), pytest.raises(TimeOverError), at_most(0.05):
        time.sleep(20)


def test_a_spectrum_frame_with_an_axis_of_one_is_a_step() -> None:
    body = "j = Concat <axis = 2> (conv_cache, mix) y = Conv (j, w) conv_cache_out = Slice (j, two, end, axis)"
    arrays = {"w": random(2, 2, 3, 3), "two": np.array([1]), "end": np.array([3]), "axis": np.array([2])}
    ports = "float[1,2,1,33] mix, float[1,2,2,33] conv_cache"
    reading = read_ports(weights(model_of(body, ports, "float[A,B,C,D] y, float[1,2,2,33] conv_cache_out"), **arrays))
    assert said(reading) == {"mix": {"step": True}}
    assert [(p.input, p.output) for p in reading.pairs] == [("conv_cache", "conv_cache_out")]


def test_a_pair_of_one_shape_that_nothing_else_tells_is_a_guess() -> None:
    body = (
        "j = Concat <axis = 1> (input_4, input_5) m = MatMul (j, w) stack_5 = Tanh (m) conv1d_3 = MatMul (stack_5, v)"
    )
    model = model_of(body, "float[1,12] input_4, float[1,5] input_5", "float[1,7] conv1d_3, float[1,5] stack_5")
    reading = read_ports(weights(model, w=random(17, 5), v=random(5, 7)))
    assert [(p.input, p.output, p.sure) for p in reading.pairs] == [("input_5", "stack_5", False)]


def test_sound_with_context_is_no_state() -> None:
    body = "t = Unsqueeze (audio_with_context, one) c = Conv <strides = [8]> (t, w) s = ReduceMean <axes = [2], keepdims = 0> (c) "
    body += f"u = Unsqueeze (s, zero) y4, h_out = GRU <hidden_size = {HIDDEN}> (u, gw, gr, gb, , h) p = ReduceMean <axes = [0, 1]> (y4)"
    state = f"float[1,1,{HIDDEN}]"
    model = model_of(body, f"float[1,64] audio_with_context, {state} h", f"float[A,B,C] p, {state} h_out")
    gates = {"gw": random(1, 3 * HIDDEN, 4), "gr": random(1, 3 * HIDDEN, HIDDEN), "gb": random(1, 6 * HIDDEN)}
    reading = read_ports(weights(model, w=random(4, 1, 8), one=np.array([1]), zero=np.array([0]), **gates))
    assert said(reading) == {"audio_with_context": {"axis": 1}}
    assert [(p.input, p.output) for p in reading.pairs] == [("h", "h_out")]


def test_how_far_an_output_sees_is_measured_to_its_end() -> None:
    """A hundred taps of 300 frames each: more than any length at which the lift looks."""
    body = "y = Conv <dilations = [300], pads = [30000, 0]> (x, w)"
    offline = offline_of(weights(model_of(body, "float[1,1,T] x"), w=random(1, 1, 101)), StreamSpec(chunk=1))
    analysis = analyse(offline)
    field = receptive_field(offline, analysis, lift(analysis), "y")
    assert field == {"left": 30_000, "right": 0, "at_least": False}


def test_the_longest_of_four_axes_is_the_guess_where_nothing_else_tells() -> None:
    model = weights(model_of("f = Flatten (x) y = MatMul (f, w)", "float[1,1,149,64] x"), w=random(149 * 64, 1))
    reading = read_ports(model)
    assert (said(reading), guesses(reading)) == ({"x": {"axis": 2}}, ["x"])


@pytest.mark.parametrize("dims", ["batch_size, N", "B, N", "N, T", "batch, samples"])
def test_a_letter_is_the_batch_only_where_no_other_axis_is(dims: str) -> None:
    model = model_of(
        "y = Relu (waveforms) m = Identity (lens)", f"float[{dims}] waveforms, int64[{dims.split(',')[0]}] lens"
    )
    reading = read_ports(model)
    assert said(reading) == {"waveforms": {"axis": 1}, "lens": {"counts": "waveforms"}}
    assert guesses(reading) == []


def test_a_letter_behind_fixed_axes_is_no_batch() -> None:
    model = weights(model_of("y = Conv <strides = [5]> (wave, w)", "float[1,1,n] wave"), w=random(2, 1, 5))
    assert said(read_ports(model)) == {"wave": {"axis": 2}}


def test_a_dim_that_is_time_in_one_input_and_none_in_another_is_a_guess() -> None:
    body = "s = Softmax <axis = 1> (z) p = ReduceSum <keepdims = 0> (s, last) q = Softmax <axis = 0> (p) y = Add (q, logit)"
    model = weights(model_of(body, "float[D,K] logit, float[D,K,6] z", "float[A,B] y"), last=np.array([2]))
    reading = read_ports(model)
    times = {i.port.name: i.port.dims[i.spec.axis] for i in reading.inputs if i.spec.axis is not None}
    assert len(set(times.values())) < 2 or set(times) <= set(guesses(reading))


def test_shapes_that_an_exporter_wrote_down_for_one_length_are_not_believed() -> None:
    model = weights(
        model_of("h = MatMul (x, w) a = Add (h, b) y = Relu (a)", "float[1,frames,3] x", "float[A,B,C] y"),
        w=random(3, 5),
        b=random(5),
    )
    stale = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 50, 5]) for n in ("h", "a")]
    model.graph.value_info.extend(stale)
    reading = read_ports(model)
    assert reading.no_trial is None
    assert said(reading) == {"x": {"axis": 1}}


def test_inputs_that_share_their_only_open_axis_have_time_on_it() -> None:
    """A convolution over bands slides along a fixed axis; the other input's recurrence tells which one is time."""
    body = (
        f"h4, hh = GRU <hidden_size = {HIDDEN}> (seq, w, r) h = Squeeze (h4, one) back = Transpose <perm = [1, 0, 2]> (h) "
        "bands = Conv <pads = [0, 1, 0, 1]> (e, k) level = ReduceMean <axes = [1, 3], keepdims = 0> (bands) "
        "wide = Unsqueeze (level, last) y = Mul (back, wide) "
    )
    turned = "seq = Transpose <perm = [1, 0, 2]> (emb) " + body
    model = weights(
        model_of(turned, "float[1,S,4] emb, float[1,2,S,6] e", "float[A,B,C] y"),
        w=random(1, 3 * HIDDEN, 4),
        r=random(1, 3 * HIDDEN, HIDDEN),
        k=random(2, 2, 1, 3),
        one=np.array([1]),
        last=np.array([2]),
    )
    reading = read_ports(model)
    assert said(reading) == {"emb": {"axis": 1}, "e": {"axis": 2}}
    assert guesses(reading) == []


def test_a_reading_that_does_not_run_is_tried_along_the_open_axis() -> None:
    """Rows of 80 places each, looked at by a convolution: rows are time, though the convolution slides along places."""
    body = (
        "wide = Reshape (x, rows) conv = Conv (wide, k) m = ReduceMax <axes = [2], keepdims = 0> (conv) "
        "n = MatMul (z, w) y = Concat <axis = 1> (m, n)"
    )
    model = weights(
        model_of(body, "float[unk__7,80] x, float[unk__8,3] z", "float[A,B] y"),
        rows=np.array([-1, 1, 80]),
        k=random(4, 1, 3),
        w=random(3, 2),
    )
    assert said(read_ports(model))["x"]["axis"] == 1
    reading, offline = that_runs(model, read_ports(model), 30.0)
    assert said(reading) == {"x": {"axis": 0}, "z": {"axis": 0}}
    assert len(offline.some_lengths()) > 1


def test_a_model_that_runs_in_no_reading_says_what_was_taken_for_time() -> None:
    model = weights(model_of("y = Conv (x, w)", "float[1,frames,3] x"), w=random(2, 5, 1))
    reading = read_ports(model, Told(inputs={"x": InputSpec(axis=2)}))
    with pytest.raises(ModelError, match="time was given as x=2") as caught:
        that_runs(model, reading, 30.0)
    assert caught.value.hint == "another axis may be time: leave out --input x=2, and graphc looks for it"


def test_a_model_whose_lengths_take_too_long_is_given_up() -> None:
    model = weights(model_of("y = Conv (x, w)", "float[1,frames,3] x"), w=random(2, 5, 1))
    reading = read_ports(model, Told(inputs={"x": InputSpec(axis=2)}))
    with pytest.raises(ModelError, match="no length at which the offline model runs was found within 0 s"):
        that_runs(model, reading, 0.0)


def test_an_axis_that_is_told_stands_beside_what_was_seen() -> None:
    gru = f"y, h = GRU <hidden_size = {HIDDEN}> (x, w, r, b)"
    model = weights(
        model_of(gru, "float[frames,1,4] x", "float[A,B,C,D] y"),
        w=random(1, 3 * HIDDEN, 4),
        r=random(1, 3 * HIDDEN, HIDDEN),
        b=random(1, 6 * HIDDEN),
    )
    (entry,) = read_ports(model, Told(inputs={"x": InputSpec(axis=2)})).inputs
    assert entry.spec.axis == 2
    assert entry.reasons[0] == "as told"
    assert entry.reasons[1].startswith("but axis 0 looks like time")


def test_numbers_that_stand_for_tokens_have_no_measured_field() -> None:
    body = "i = Cast <to = 7> (x) e = Gather (table, i) y = Conv <pads = [1, 1]> (e3, k)".replace("e3", "t")
    body = body.replace("y = Conv", "t = Transpose <perm = [0, 2, 1]> (e) y = Conv")
    model = weights(model_of(body, "float[1,T] x"), table=random(12, 3), k=random(2, 3, 3))
    offline = offline_of(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1, range=(0, 11))}))
    analysis = analyse(offline)
    assert receptive_field(offline, analysis, lift(analysis), "y") is None


@pytest.mark.parametrize("sound_first", [False, True])
def test_sound_beside_its_features_has_their_rate(sound_first: bool) -> None:
    body = "r = Resize (mel, none, up) u = Transpose <perm=[0,2,1]> (r) w = MatMul (u, k) s = Squeeze (w, last) y = Add (x, s)"
    ports = ["float[1,20,T] mel", "float[1,S] x"]
    model = model_of(body, ", ".join(ports[::-1] if sound_first else ports), "float[1,U] y")
    arrays = {"none": np.zeros(0, np.float32), "up": np.float32([1, 1, 160]), "k": random(20, 1), "last": np.array([2])}
    reading = read_ports(weights(model, **arrays))
    rates = {i.port.name: str(i.spec.rate) for i in reading.inputs}
    assert rates == ({"x": "1", "mel": "1/160"} if sound_first else {"mel": "1", "x": "160"})
    offline_of(model, reading.stream_spec()).some_lengths()


def test_an_open_batch_beside_a_state_is_no_second_rate() -> None:
    body = (
        "u = Unsqueeze (x, one) f = Conv <strides=[16]> (u, k) m = ReduceMean <axes=[2], keepdims=0> (f) "
        "step = Unsqueeze (m, zero) h, c = Split <axis=0> (state, halves) "
        f"all, hn, cn = LSTM <hidden_size = {HIDDEN}> (step, w, r, b, , h, c) stateN = Concat <axis=0> (hn, cn) "
        "last = Squeeze (hn, zero) output = MatMul (last, out)"
    )
    model = model_of(body, f"float[?,?] x, float[2,?,{HIDDEN}] state", "float[?,1] output, float[?,?,?] stateN")
    arrays = {
        "k": random(4, 1, 16),
        "w": random(1, 4 * HIDDEN, 4),
        "r": random(1, 4 * HIDDEN, HIDDEN),
        "b": random(1, 8 * HIDDEN),
        "out": random(HIDDEN, 1),
        "halves": np.array([1, 1]),
        "zero": np.array([0]),
        "one": np.array([1]),
    }
    reading = read_ports(weights(model, **arrays))
    assert said(reading)["x"] == {"axis": 1}
    assert [(p.input, p.output) for p in reading.pairs] == [("state", "stateN")]


def test_a_model_that_an_export_fixed_at_one_length_runs_there() -> None:
    model = weights(model_of("y = MatMul (table, x)", "float[1,T,4] x"), table=random(4, 34))
    assert dict(trial_run(model).sizes.dims) == {"T": 34}


def test_an_op_that_onnxruntime_lacks_for_a_type_is_no_wrong_axis() -> None:
    model = weights(
        model_of("y = Conv (x, k)", "double[1,2,T] x", "double[1,A,B] y"), k=random(2, 2, 3, dtype=np.float64)
    )
    with pytest.raises(ModelError) as caught:
        that_runs(model, read_ports(model), 10.0)
    assert caught.value.hint == "onnxruntime lacks this op for these types: export the model in float32"


def test_rows_of_few_features_are_frames() -> None:
    body = "d = MatMul (x, k) l = LogSoftmax <axis=1> (d) y = Exp (l)"
    model = weights(model_of(body, "float[?,8] x", "float[?,3] y"), k=random(8, 3))
    assert said(read_ports(model)) == {"x": {"axis": 0}}
