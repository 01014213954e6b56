"""Linear interpolation between frames, as a Resize and as exporters write it out."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import delay, lifted_equal, model_of, random, refusal, weights

HALF = "half_pixel"
WRITTEN_OUT = (
    "shape = Shape (x) size = Gather (shape, axis) count = Mul (size, factor) places = Range (zero, count, one) "
    "i = Cast <to=1> (places) later = Add (i, half) scaled = Mul (later, scale) place = Sub (scaled, half) "
    "held = Clip (place, none) left = Cast <to=7> (held) next = Add (left, one) last = Sub (size, one) "
    "right = Clip (next, , last) a = Gather <axis=2> (x, left) b = Gather <axis=2> (x, right) "
    "whole = Cast <to=1> (left) part = Sub (held, whole) step = Sub (b, a) rest = Mul (step, part) u = Add (a, rest) "
    "y = Conv <pads=[2,0]> (u, w)"
)


def resized(factors: list[float], mode: str = HALF, shape: str = "1,3,T") -> onnx.ModelProto:
    body = f'u = Resize <mode="linear", coordinate_transformation_mode="{mode}"> (x, , scales) y = Relu (u)'
    return weights(model_of(body, f"float[{shape}] x"), scales=np.float32(factors))


def written_out(factor: int) -> onnx.ModelProto:
    return weights(
        model_of(WRITTEN_OUT, "float[1,3,T] x"),
        axis=np.array(2),
        factor=np.array(factor),
        zero=np.array(0),
        one=np.array(1),
        half=np.float32(0.5),
        none=np.float32(0),
        scale=np.float32(1 / factor),
        w=random(2, 3, 3),
    )


@pytest.mark.parametrize("mode", [HALF, "pytorch_half_pixel", "asymmetric"])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_a_place_between_two_frames_waits_for_the_second(mode: str, factor: int) -> None:
    lifted = lifted_equal(resized([1, 1, factor], mode))
    assert delay(lifted) == factor
    assert lifted.signature is not None
    assert not lifted.signature.tried


@pytest.mark.parametrize("mode", [HALF, "pytorch_half_pixel", "asymmetric"])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_downsampling_takes_the_middle_of_so_many_frames(mode: str, factor: int) -> None:
    lifted = lifted_equal(resized([1, 1, 1 / factor], mode), (1, 2), range(2 * factor, 8 * factor))
    assert delay(lifted) == 0
    assert lifted.signature is not None
    assert not lifted.signature.tried
    assert lifted.signature.min_frames == (2 * factor if mode == "pytorch_half_pixel" else factor)


@pytest.mark.parametrize("factor", [2, 3])
def test_downsampling_of_two_axes(factor: int) -> None:
    lifted_equal(resized([1, 1, 1 / factor, 2], shape="1,2,T,4"), (1, 2), range(2 * factor, 8 * factor))


def test_sizes_that_do_not_divide_the_length_give_a_factor_of_their_own() -> None:
    body = (
        "shape = Shape (x) n = Slice (shape, at, end) size = Div (n, two) sizes = Concat <axis=0> (others, size) "
        'u = Resize <mode="linear"> (x, , , sizes) y = Relu (u)'
    )
    numbers = {"at": [2], "end": [3], "two": [2], "others": [1, 3]}
    model = weights(model_of(body, "float[1,3,T] x"), **{name: np.array(value) for name, value in numbers.items()})
    assert refusal(model).hint


def test_a_running_sum_downsampled_and_upsampled_again() -> None:
    """The phase of a source of harmonics, as neural source filters make it."""
    body = (
        'd = Resize <mode="linear"> (x, , less) c = CumSum (d, axis) u = Resize <mode="linear"> (c, , more) y = Sin (u)'
    )
    arrays = {"less": np.float32([1, 1, 0.25]), "more": np.float32([1, 1, 4]), "axis": np.array(2)}
    lifted_equal(weights(model_of(body, "float[1,3,T] x"), **arrays), (1, 2), range(4, 60))


def test_other_axes_are_resized_as_before() -> None:
    assert delay(lifted_equal(resized([1, 1, 2, 3], shape="1,2,T,4"))) == 2
    assert delay(lifted_equal(resized([1, 1, 2, 0.5], shape="1,2,T,4"))) == 2


@pytest.mark.parametrize(
    ("factor", "frames"), [(2, 2**22), (8, 2**20), (3, 2**9)], ids=["exact", "exact, finer", "rounded"]
)
def test_the_comparison_ends_where_onnxruntime_rounds_places_and_the_stream_goes_on(factor: int, frames: int) -> None:
    signature = lifted_equal(resized([1, 1, factor])).signature
    assert signature is not None
    assert (signature.max_frames, signature.continues) == (frames, True)


@pytest.mark.parametrize(("size", "frames"), [("Mul (n, two)", 2**22), ("Min (double, most)", 2500)])
def test_sizes_that_the_length_makes_are_claimed(size: str, frames: int) -> None:
    body = (
        f"shape = Shape (x) n = Slice (shape, at, end) double = Mul (n, two) size = {size} "
        'sizes = Concat <axis=0> (others, size) u = Resize <mode="linear"> (x, , , sizes) y = Relu (u)'
    )
    numbers = {"at": [2], "end": [3], "two": [2], "most": [5000], "others": [1, 3]}
    model = weights(model_of(body, "float[1,3,T] x"), **{name: np.array(value) for name, value in numbers.items()})
    signature = lifted_equal(model).signature
    assert signature is not None
    assert signature.max_frames == frames


@pytest.mark.parametrize("factor", [2, 3, 5])
def test_frames_that_a_table_picks_on_both_sides_of_a_place(factor: int) -> None:
    signature = lifted_equal(written_out(factor), lengths=range(2, 30)).signature
    assert signature is not None
    assert signature.max_frames == (2**22 if factor == 2 else 2000)
    assert factor > 2 or signature.min_frames == 2, "the table picks the second frame"


@pytest.mark.parametrize(("factors", "mode"), [([1, 1, 2], "align_corners"), ([1, 1, 1.5], HALF), ([1, 1, 0.4], HALF)])
def test_places_that_the_end_moves_and_other_factors_are_refused(factors: list[float], mode: str) -> None:
    err = refusal(resized(factors, mode))
    assert "interpolates between frames" in err.reason or "resizes time by a factor of" in err.reason
    assert err.hint


@pytest.mark.parametrize("lowest", [1, 20, 60])
def test_frames_from_one_on_need_that_frame(lowest: int) -> None:
    body = (
        "shape = Shape (x) size = Gather (shape, axis) i = Range (zero, size, one) late = Max (i, lowest) "
        "last = Sub (size, one) held = Min (late, last) p = Gather <axis=2> (x, held) y = Tanh (p)"
    )
    numbers = {"axis": np.array(2), "zero": np.array(0), "one": np.array(1), "lowest": np.array(lowest)}
    model = weights(model_of(body), **numbers)
    if lowest < 60:
        signature = lifted_equal(model, lengths=range(lowest + 1, 70)).signature
        assert signature is not None
        assert signature.min_frames == lowest + 1
    else:
        refusal(model)
