"""Small models of kinds that once went wrong: pads of several axes, old opsets, frames as a batch, windows that overlap."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import at_night
from lifting import ends_before, lifted_equal, model_of, random, refusal, weights
from promise import lifted_at, streams_equal

import graphc
from graphc.ir.model import Model
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.lift import lift, lift_dynamic
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import session_of
from graphc_runtime.errors import GraphcError, InputError, ModelError, StreamError

PICTURES = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=0)})


def lifted(model: onnx.ModelProto, spec: StreamSpec | None = None) -> Model:
    """The lift of a model, equal at a few chunks and many lengths, all of them proved."""
    offline = offline_of(model, spec or StreamSpec(chunk=1))
    smallest = analyse(offline)
    for times in (1, 3):
        found = lifted_at(smallest, times)
        assert found.signature is not None
        assert not found.signature.tried
        lengths = range(found.signature.min_frames, found.signature.min_frames + 30)
        verdict = streams_equal(offline, session_of(found), lengths)
        assert verdict.kind == "equal", verdict.detail
    return found


def pads(*amounts: int) -> np.ndarray:
    return np.array(amounts)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("width", [1, 5])
@pytest.mark.parametrize("aside", [(0, 2), at_night((1, 0)), (3, 1), at_night((0, -1))])
def test_a_pad_of_time_and_then_of_another_axis(mode: str, width: int, aside: tuple[int, int]) -> None:
    """The frames in front of the stream are padded too; of one entry a wrong shape would be broadcast."""
    if mode == "reflect" and width <= max(aside):
        pytest.skip("onnxruntime reflects no more entries than there are")
    if width + sum(aside) < 1:
        pytest.skip("an axis without entries")
    body = f'p = Pad (x, front) q = Pad <mode="{mode}"> (p, aside) y = Conv (q, w)'
    model = model_of(body, f"float[1,2,T,{width}] x", "float[1,A,B,C] y")
    kernel = random(2, 2, 3, 1)
    lifted(
        weights(model, front=pads(0, 0, 2, 0, 0, 0, 0, 0), aside=pads(0, 0, 0, aside[0], 0, 0, 0, aside[1]), w=kernel)
    )


@pytest.mark.parametrize("mode", ["edge", "reflect"])
def test_edges_at_an_opset_without_extremes_of_whole_numbers(mode: str) -> None:
    model = weights(model_of(f'y = Pad <mode="{mode}"> (x, amounts)', opset=11), amounts=pads(0, 0, 2, 0, 0, 2))
    lifted(model)


def test_calls_of_any_size_at_an_opset_without_extremes_of_whole_numbers() -> None:
    body = "c = Conv <pads=[2,2]> (x, k) t = Transpose <perm=[2,0,1]> (c) s = GRU <hidden_size=3> (t, w, r) y = Squeeze <axes=[1]> (s)"
    model = weights(
        model_of(body, outputs="float[A,B,C] y", opset=11), k=random(4, 2, 5), w=random(1, 9, 4), r=random(1, 9, 3)
    )
    offline = offline_of(model, StreamSpec(chunk=1))
    assert streams_equal(offline, session_of(lift_dynamic(offline)), range(1, 30)).kind == "equal"


def test_a_reduction_whose_axes_are_an_empty_list_is_over_all() -> None:
    model = model_of("m = ReduceMax <axes=[0], keepdims=0> (x) y = Sub (x, m)")
    attribute = next(a for a in model.graph.node[0].attribute if a.name == "axes")
    del attribute.ints[:]
    assert "over all time" in refusal(model).reason


@pytest.mark.parametrize("stride", [1, at_night(2), 3])
@pytest.mark.parametrize("front", [1, at_night(4), 10])
@pytest.mark.parametrize("bias", ["", ", b"])
@pytest.mark.parametrize("crop", [0, 2])
def test_zeros_in_front_of_a_transposed_convolution_delay_nothing(
    stride: int, front: int, bias: str, crop: int
) -> None:
    body = f"p = Pad (x, front) y = ConvTranspose <strides=[{stride}], pads=[{crop},0]> (p, w{bias})"
    arrays = {"front": pads(0, 0, front, 0, 0, 0), "w": random(2, 3, 4), **({"b": random(3)} if bias else {})}
    found = lifted(weights(model_of(body), **arrays))
    assert found.signature is not None
    assert found.signature.delay_frames == 0 or front * stride < crop


@pytest.mark.parametrize("front", [0, at_night(1), 7])
@pytest.mark.parametrize("behind", [0, at_night(1), 7])
@pytest.mark.parametrize("value", [0.0, 1.5])
def test_pre_emphasis_between_constants(front: int, behind: int, value: float) -> None:
    names = [*(["before"] if front else []), "first", "d", *(["after"] if behind else [])]
    body = f"""
        prev = Slice (x, zero, minus, two) rest = Slice (x, one, most, two) first = Slice (x, zero, one, two)
        pm = Mul (prev, a) d = Sub (rest, pm) y = Concat <axis=2> ({", ".join(names)})
    """
    numbers = {"zero": pads(0), "one": pads(1), "two": pads(2), "minus": pads(-1), "most": pads(2**62)}
    sides = {n: np.full((1, 2, c), value, np.float32) for n, c in (("before", front), ("after", behind)) if c}
    lifted(weights(model_of(body), a=np.float32(0.97), **numbers, **sides))


@pytest.mark.parametrize(
    "op",
    [
        "MaxPool <kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]> (x)",
        "AveragePool <kernel_shape=[3,3], pads=[1,1,1,1]> (x)",
        "AveragePool <kernel_shape=[3,3], pads=[1,1,1,1], count_include_pad=1> (x)",
        "LpPool <kernel_shape=[2,2]> (x)",
        "ConvTranspose <strides=[2,2]> (x, w)",
        "Conv (x, w)",
        "DepthToSpace <blocksize=2> (x)",
        "SpaceToDepth <blocksize=2> (x)",
    ],
)
def test_frames_as_the_batch(op: str) -> None:
    model = model_of(f"y = {op}", "float[T,4,8,8] x", "float[A,B,C,D] y")
    lifted(weights(model, w=random(4, 4, 3, 3)), PICTURES)


@pytest.mark.parametrize(("kernel", "stride"), [(2, 2), (5, 3)])
@pytest.mark.parametrize("counted", [0, 1])
def test_windows_that_ceil_mode_adds_at_the_end(kernel: int, stride: int, counted: int) -> None:
    attributes = f"kernel_shape=[{kernel}], strides=[{stride}], ceil_mode=1, count_include_pad={counted}"
    lifted(model_of(f"y = AveragePool <{attributes}> (x)"))


def test_the_width_of_blocks_is_a_number_at_the_lengths_that_a_model_takes() -> None:
    """As dynamo exports `T // (T // 4)`; other lengths, where it is 5 to 7, do not fill the blocks."""
    body = """
        q = Reshape (x, blocks) h = Shape (x) t = Gather (h, two) b = Div (t, four) w = Div (t, b) w1 = Unsqueeze (w, at0)
        b1 = Unsqueeze (b, at0) s = Concat <axis=0> (one2, b1, w1) z = Reshape (x, s) r = Range (zero, w, unit)
        f = Cast <to=1> (r) g = Sin (f) v = Add (z, g) a = Add (v, q) y = Reshape (a, flat)
    """
    numbers = {
        "blocks": [1, 2, -1, 4],
        "two": 2,
        "four": 4,
        "at0": [0],
        "one2": [1, 2],
        "zero": 0,
        "unit": 1,
        "flat": [1, 2, -1],
    }
    model = weights(model_of(body), **{name: np.array(value) for name, value in numbers.items()})
    offline = offline_of(model, StreamSpec(chunk=1))
    found = lift(analyse(offline))
    assert found.signature is not None
    assert (found.signature.chunk_multiple, found.signature.max_frames, found.signature.tried) == (4, None, ())
    assert streams_equal(offline, session_of(found), range(4, 60, 4)).kind == "equal"


@pytest.mark.parametrize("hop", [1, 4])
@pytest.mark.parametrize("outside", [False, True])
def test_a_mask_of_frames_that_exist_is_cut_into_windows_beside_them(hop: int, outside: bool) -> None:
    """As local attention does in blocks; the mask is made of the length alone."""
    body = """
        h = Shape (x) n = Gather (h, two) t = Squeeze (n) e = Expand (real, n) v = Pad (e, margin, outside)
        m = Add (t, last) r = Range (zero, m, hop) u = Unsqueeze (r, at1) i = Add (u, taps) w = Gather (v, i)
        f = Cast <to=1> (w) p = Pad (x, around) z = Gather <axis=2> (p, i) y = Mul (z, f)
    """
    numbers = {
        "two": [2],
        "real": [not outside],
        "margin": [3, 5],
        "outside": outside,
        "zero": 0,
        "hop": hop,
        "at1": [1],
    }
    more = {"taps": np.arange(6), "around": pads(0, 0, 3, 0, 0, 5), "last": 3}
    arrays = {name: np.array(value) for name, value in {**numbers, **more}.items()}
    lifted(weights(model_of(body, outputs="float[A,B,C,D] y"), **arrays))


@pytest.mark.parametrize("kernel", [4, 7])
def test_an_envelope_that_is_cropped_at_a_computed_length(kernel: int) -> None:
    body = """
        h = Shape (x) u = ConstantOfShape <value = float[1] {1.0}> (h) e = Slice (u, zero, one, one)
        n = Shape <start=2, end=3> (x) d = Mul (n, two) m = Add (d, one)
        o = ConvTranspose <strides=[2]> (e, v) q = Slice (o, one, m, two)
        f = ConvTranspose <strides=[2]> (x, w) p = Slice (f, one, m, two) y = Div (p, q)
    """
    numbers = {"zero": pads(0), "one": pads(1), "two": pads(2)}
    lifted(weights(model_of(body), v=np.abs(random(1, 1, kernel)) + 1, w=random(2, 3, kernel), **numbers))


@pytest.mark.parametrize(("kernel", "hop"), [(32, 8), (16, 8), (12, 8), (5, 2), (3, 3)])
def test_the_envelope_of_overlapping_windows(kernel: int, hop: int) -> None:
    """An output divided by it has an early edge, and then a period of one hop."""
    body = """
        f = ConvTranspose <strides=[HOP]> (x, w) s = Shape (x) t = Gather (s, two) n = Concat <axis=0> (ones, t)
        o = Expand (one, n) e = ConvTranspose <strides=[HOP]> (o, v) g = Add (e, eps)
        m = Mul (t, hop) f0 = Slice (f, zero, m, two) g0 = Slice (g, zero, m, two) y = Div (f0, g0)
    """.replace("HOP", str(hop))
    window = np.hanning(kernel + 2)[1:-1].astype(np.float32)
    arrays = {
        "w": random(2, 1, kernel),
        "v": (window**2)[None, None],
        "one": np.ones((1, 1, 1), np.float32),
        "eps": np.float32(1e-3),
        "ones": pads(1, 1),
        "two": pads(2),
        "zero": pads(0),
        "hop": pads(hop),
    }
    lifted(weights(model_of(body), **arrays))


def test_a_transposed_convolution_over_frames_that_are_not_alike_has_no_formula() -> None:
    body = """
        s = Shape (x) t = Gather (s, two) z = Squeeze (t) r = Range (zero, z, one) c = Cast <to=1> (r) u = Unsqueeze (c, lead)
        e = ConvTranspose <strides=[1], pads=[1,1]> (u, v) y = Add (x, e)
    """
    arrays = {"two": pads(2), "zero": np.array(0), "one": np.array(1), "lead": pads(0, 1), "v": random(1, 1, 3)}
    offline = offline_of(weights(model_of(body), **arrays), StreamSpec(chunk=1))
    try:
        found = lift(analyse(offline))
    except StreamError:
        return
    assert found.signature is not None
    assert streams_equal(offline, session_of(found), range(3, 40)).kind == "equal"


def compiled(folder: Path, model: onnx.ModelProto, stream: str, passes: str) -> GraphcError:
    onnx.save(model, folder / "model.onnx")
    (folder / "spec.yaml").write_text(
        f"version: 1\nmodel: model.onnx\noutput: out/model.onnx\nstream: {stream}\npasses: [{passes}]\n"
    )
    with pytest.raises(GraphcError) as caught:
        graphc.compile(folder / "spec.yaml")
    return caught.value


def test_a_state_that_grows_with_every_call_is_refused(tmp_path: Path) -> None:
    model = model_of("next = Concat <axis=1> (cache, x) y = Identity (x)", "float[1,T,4] x, float[1,L,4] cache")
    model.graph.output.append(onnx.helper.make_tensor_value_info("next", 1, [1, "M", 4]))
    stream = "{chunk: 2, inputs: {x: {axis: 1}}, states: [{input: cache, output: next}]}"
    error = compiled(tmp_path, model, stream, "fold_constants")
    assert error.exit_code == 3
    assert "the state 'cache' goes in as [1, 1, 4] and comes out as [1, 3, 4]" in error.reason
    assert "fixed number of frames" in (error.hint or "")


def test_a_window_without_lift_state_is_an_error(tmp_path: Path) -> None:
    model = model_of("next = Add (sum, one) y = Add (x, sum)", "float[1,T,4] x, float[1,1,4] sum")
    model.graph.output.append(onnx.helper.make_tensor_value_info("next", 1, [1, 1, 4]))
    stream = "{chunk: 2, window: 6, inputs: {x: {axis: 1}}, states: [{input: sum, output: next}]}"
    error = compiled(tmp_path, weights(model, one=np.float32(1)), stream, "fold_constants")
    assert isinstance(error, ModelError)
    assert "stream.window needs lift_state" in error.reason


def test_a_model_that_runs_at_one_length_says_which_node_holds_it() -> None:
    body = "c = CumSum (x, axis) g = Gather <axis=2> (c, places) y = Add (x, g)"
    model = weights(model_of(body), axis=np.array(1), places=np.arange(50)[::-1].copy())
    model.graph.node[1].name = "turn"
    error = refusal(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)}))
    assert "runs only at 50 frames" in error.reason
    assert error.node == "turn (Gather)"
    assert "stream.window: 50" in (error.hint or "")


@pytest.mark.parametrize("before", [1, 4, 200])
def test_a_stream_too_short_to_be_reflected_is_none_that_the_model_takes(before: int) -> None:
    model = weights(model_of('y = Pad <mode = "reflect"> (x, amounts)'), amounts=pads(0, 0, before, 0, 0, 0))
    found = lift(analyse(offline_of(model, StreamSpec(chunk=1))))
    assert found.signature is not None
    assert found.signature.min_frames == before + 1
    session = session_of(found)
    with pytest.raises(InputError, match=f"from {before + 1} frames on"):
        session.run(x=np.zeros((1, 2, before), np.float32))
    assert session.run(x=np.zeros((1, 2, before + 1), np.float32))["y"].shape == (1, 2, 2 * before + 1)


@pytest.mark.parametrize(("up", "down"), [(2, 3), (16, 44), (160, 441)])
def test_a_resampler_whose_phases_are_folded_into_time_and_cut_to_a_length(up: int, down: int) -> None:
    """Conv with a stride makes ``up`` phases, which Reshape lays behind each other; ceil(T * up / down) samples stay."""
    body = (
        f"wide = Unsqueeze (x, one) phases = Conv <strides = [{down}], pads = [{down}, {down}]> (wide, kernel) "
        "last = Transpose <perm = [0, 2, 1]> (phases) laid = Reshape (last, flat) frames = Shape <start = 1> (x) "
        "more = Mul (frames, up) far = Add (more, spare) kept = Div (far, down) y = Slice (laid, none, kept, one)"
    )
    model = weights(
        model_of(body, "float[1,T] x", "float[A,B] y"),
        kernel=random(up, 1, 2 * down + 1),
        flat=np.array([0, -1]),
        one=np.array([1]),
        none=np.array([0]),
        up=np.array([up]),
        spare=np.array([down - 1]),
        down=np.array([down]),
    )
    found = lifted(model)
    assert found.signature is not None
    assert found.signature.outputs[0].rate == Fraction(up, down)


POOLED = (
    "p = AveragePool <strides = [4], kernel_shape = [4], ceil_mode = 1> (x) size = Shape (x) n = Shape <start = 2> (x)"
)
NEAREST = 'Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">'


def test_a_resize_to_the_length_of_another_stream_is_refused_with_what_works() -> None:
    err = refusal(model_of(f"{POOLED} r = {NEAREST} (p, , , size) y = Add (r, x)"))
    assert "a factor that depends on the length" in err.reason
    assert "whole factor" in (err.hint or "")
    body = f"{POOLED} r = {NEAREST} (p, , scales) c = Slice (r, zero, n, two) y = Add (c, x)"
    numbers = {"scales": np.array([1, 1, 4], np.float32), "zero": np.array([0]), "two": np.array([2])}
    lifted(weights(model_of(body), **numbers))


@pytest.mark.parametrize("start", ["n", "wide"])
def test_a_slice_that_begins_as_far_from_the_end_as_the_stream_is_long(start: str) -> None:
    """``freqs[:, -seq_len:]``, as rotary positions are cut: all of it, whatever the length."""
    places = "f = Cast <to = 1> (r) c = Reshape (f, col) p = Mul (c, inv) s = Slice (p, neg, big, one, one) k = Cos (s)"
    body = (
        "n = Shape <start = 1, end = 2> (x) wide = Add (n, one) end = Squeeze (n) r = Range (zero, end, unit) "
        f"neg = Neg ({start}) {places} cut = Slice (x, neg, big, one, one) y = Mul (cut, k)"
    )
    model = weights(
        model_of(body, "float[1,T,4] x"),
        zero=np.array(0),
        unit=np.array(1),
        one=np.array([1]),
        big=np.array([2**62]),
        col=np.array([1, -1, 1]),
        inv=np.array([[[1, 0.1, 0.01, 0.001]]], np.float32),
    )
    offline = offline_of(model, StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)}))
    found = lift(analyse(offline, 3))
    assert found.signature is not None
    assert found.signature.max_frames == 2**24 + 1  # float32 counts no further
    assert not found.signature.tried
    assert streams_equal(offline, session_of(found), range(1, 40)).kind == "equal"


@pytest.mark.parametrize("kept", [1, 5])
def test_a_slice_that_begins_at_frames_from_the_end_is_refused(kept: int) -> None:
    model = weights(
        model_of("y = Slice (x, start, end, axis)"), start=np.array([-kept]), end=np.array([2**62]), axis=np.array([2])
    )
    assert "end" in refusal(model).reason


def test_a_state_paired_with_an_unlike_output_names_those_of_its_shape(tmp_path: Path) -> None:
    body = "flat = ReduceSum <keepdims = 0> (x) next = Add (state, flat) y = Identity (x)"
    model = model_of(body, "float[1,T,4] x, float[5] state")
    model.graph.output.append(onnx.helper.make_tensor_value_info("next", 1, [5]))
    stream = "{chunk: 2, inputs: {x: {axis: 1}}, states: [{input: state, output: y}]}"
    error = compiled(tmp_path, model, stream, "fold_constants")
    assert "but its next value, the output 'y', has [" in error.reason
    assert error.hint == "pair it in stream.states with an output of its shape: next"


@pytest.mark.parametrize(
    "body",
    [
        "one = Slice (x, first, second, time) c = Expand (one, shape3) p = Concat <axis=2> (c, x)",
        "one = Slice (x, minus, end, time) c = Expand (one, shape3) p = Concat <axis=2> (x, c)",
        (
            "one = Slice (x, minus, end, time, second) half = Div (n, two) whole = Mul (half, two) left = Sub (n, whole) "
            "sizes = Concat <axis=0> (b, c2, left) c = Expand (one, sizes) p = Concat <axis=2> (x, c)"
        ),
    ],
    ids=["three copies of the first frame", "three copies of the last", "as many as the length says"],
)
def test_edge_frames_are_repeated_by_sizes_that_a_graph_computes(body: str) -> None:
    sizes = "b = Shape <start=0, end=1> (x) c2 = Shape <start=1, end=2> (x) n = Shape <start=2, end=3> (x)"
    shape3 = "shape3 = Concat <axis=0> (b, c2, three)"
    numbers = {"first": [0], "second": [1], "minus": [-1], "end": [2**31], "time": [2], "two": [2], "three": [3]}
    model = weights(
        model_of(f"{sizes} {shape3} {body} y = Conv (p, k)"),
        k=random(2, 2, 2),
        **{name: np.array(value) for name, value in numbers.items()},
    )
    signature = lifted_equal(model, lengths=range(2, 30)).signature
    assert signature is not None
    assert not signature.tried
    assert signature.max_frames is None
    assert signature.min_frames <= 2


def test_copies_of_an_edge_frame_that_change_with_the_length_are_claimed() -> None:
    body = (
        "n = Shape <start=2, end=3> (x) more = Sub (n, far) some = Max (more, three) size = Concat <axis=0> (lead, some) "
        "one = Slice (x, first, second, time) c = Expand (one, size) p = Concat <axis=2> (c, x) y = Conv (p, k)"
    )
    numbers = {"far": [500], "three": [3], "lead": [1, 2], "first": [0], "second": [1], "time": [2]}
    model = weights(model_of(body), k=random(2, 2, 2), **{name: np.array(value) for name, value in numbers.items()})
    ends_before(model, 504)
