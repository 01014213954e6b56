"""Masks of frames that only pad a stream to whole blocks: the stream makes them from the number of its frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import onnx
import pytest
from lifting import lifted_equal, model_of, random, weights
from promise import streams_equal

from graphc.contract.length import Length
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import StreamSpec
from graphc.stream.facts.stream import Stream
from graphc.stream.lift import lift, lift_dynamic
from graphc.stream.positions.end_masks import end_mask_of
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import session_of

PADDED = """
    shape = Shape (x) n = Gather (shape, two) less = Neg (n) more = Mod (less, block)
    pads = Concat <axis=0> (none, more) p = Pad (x, pads, half)
    long = Shape <start=2> (p) m = Squeeze (long) i = Range (zero, m, one)
"""
INPUT = Stream(0, Fraction(1), 0, Length(), (-1,), np.dtype(np.float32))


def padded(body: str, block: int, **arrays: np.ndarray) -> onnx.ModelProto:
    held = {
        "two": np.array([2]),
        "block": np.array([block]),
        "none": np.zeros(5, np.int64),
        "half": np.float32(0.5),
        "zero": np.array(0),
        "one": np.array(1),
        "rows": np.array([-1, block]),
    }
    return weights(model_of(f"{PADDED} {body}"), **held, **arrays)


@pytest.mark.parametrize("block", [3, 8])
@pytest.mark.parametrize("test", ["c = Less (i, n)", "d = GreaterOrEqual (i, n) c = Not (d)"])
def test_padded_frames_are_zeroed_by_their_position(test: str, block: int) -> None:
    body = f"{test} f = Cast <to=1> (c) z = Mul (p, f) y = Conv <pads=[2,2]> (z, w)"
    lifted_equal(padded(body, block, w=random(2, 2, 5)))


@pytest.mark.parametrize("penalty", [-10000.0, float("-inf")])
def test_padded_frames_are_penalised(penalty: float) -> None:
    body = "c = Less (i, n) b = Where (c, nil, low) s = Add (p, b) e = Exp (s) y = Conv <pads=[1,1]> (e, w)"
    lifted_equal(padded(body, 4, nil=np.float32(0), low=np.float32(penalty), w=random(2, 2, 3)))


@pytest.mark.parametrize("block", [2, 5])
@pytest.mark.parametrize("shift", [0, 1, -2])
def test_padded_frames_are_masked_in_blocks(block: int, shift: int) -> None:
    """A frame of the mask stands for a block of frames of the input, each entry for one of them."""
    body = """
        b = Reshape (i, rows) s = Add (b, shift) c = Less (s, n) f = Cast <to=1> (c) u = Unsqueeze (f, front)
        r = Reshape (p, blocks) z = Mul (r, u) y = Conv <pads=[1,0,0,0]> (z, w)
    """
    arrays = {
        "shift": np.array(shift),
        "front": np.array([0]),
        "blocks": np.array([1, 2, -1, block]),
        "w": random(2, 2, 2, 1),
    }
    lifted_equal(padded(body, block, **arrays), (1, 2))


def test_frames_behind_a_strided_convolution_are_masked_by_the_length_of_the_input() -> None:
    body = """
        h = Conv <strides=[4]> (p, w) slow = Shape <start=2> (h) q = Squeeze (slow) j = Range (zero, q, one)
        t = Mul (j, four) c = Less (t, n) f = Cast <to=1> (c) z = Mul (h, f) y = Conv <pads=[1,1]> (z, v)
    """
    arrays = {"four": np.array(4), "w": random(2, 2, 4), "v": random(2, 2, 3)}
    lifted_equal(padded(body, 8, **arrays), (1, 2))


def test_keys_that_only_pad_a_block_get_no_weight() -> None:
    body = """
        rowwise = Transpose <perm=[0,2,1]> (p) q = Reshape (rowwise, blocks) k = Transpose <perm=[0,1,3,2]> (q)
        scores = MatMul (q, k) b = Reshape (i, rows) past = GreaterOrEqual (b, n) mask = Unsqueeze (past, middle)
        masked = Where (mask, low, scores) e = Softmax (masked) v = MatMul (e, q) flat = Reshape (v, frames)
        c = Slice (flat, nought, n, first) y = Transpose <perm=[0,2,1]> (c)
    """
    arrays = {
        "blocks": np.array([1, -1, 4, 2]),
        "middle": np.array([1]),
        "low": np.float32(-1e9),
        "frames": np.array([1, -1, 2]),
        "nought": np.array([0]),
        "first": np.array([1]),
    }
    lifted_equal(padded(body, 4, **arrays), (1, 2))


def test_it_is_proved_for_every_length() -> None:
    body = "c = Less (i, n) f = Cast <to=1> (c) z = Mul (p, f) y = Conv <pads=[1,1]> (z, w)"
    model = padded(body, 4, w=random(2, 2, 3))
    signature = lift(analyse(offline_of(model, StreamSpec(chunk=1)))).signature
    assert signature is not None
    assert signature.max_frames is None
    assert not signature.tried


def test_calls_of_any_size_make_the_mask() -> None:
    body = "c = Less (i, n) f = Cast <to=1> (c) z = Mul (p, f) y = Conv <pads=[1,1]> (z, w)"
    offline = offline_of(padded(body, 4, w=random(2, 2, 3)), StreamSpec(chunk=1))
    assert streams_equal(offline, session_of(lift_dynamic(offline)), range(1, 30)).kind == "equal"


@pytest.mark.parametrize(("stride", "phases"), [(1, [0]), (3, [0, 1, 2]), (2, [-2, -1, 0, 1]), (2, [5, 0, 3])])
def test_a_mask_is_read_from_its_values(stride: int, phases: list[int]) -> None:
    lengths = list(range(12, 20))
    frames = [np.arange(-(-n // stride) + 2)[:, None] * stride + np.array(phases) for n in lengths]
    masks = [np.where(f < n, 1.0, -3.0) for f, n in zip(frames, lengths, strict=True)]
    found = end_mask_of(masks, lengths, 0, Fraction(1, stride), [INPUT])
    assert found is not None
    assert found.stride == stride
    assert found.phase.tolist() == [phases]


def test_lengths_that_show_no_end_of_some_entry_leave_its_phase_open() -> None:
    masks = [np.arange(4 * 3).reshape(3, 4) < n for n in (10, 11)]
    assert end_mask_of(masks, [10, 11], 0, Fraction(1, 4), [INPUT]) is None
