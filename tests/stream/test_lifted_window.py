"""A window over a model that slides by its own: the new frames alone are computed, and each call is the window's."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from transforming import model_of, random

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.clip_models.lifted_window import slide_by_lift
from graphc.stream.clip_models.sliding_clip import slide
from graphc.validate.run_streams import run_stream, session_of

WINDOW, CHUNK = 20, 4
STREAM = StreamSpec(chunk=CHUNK, window=WINDOW, inputs={"x": InputSpec(axis=1)})
WEIGHTS = {"w": random(3, 1, 5, 3), "v": random(2, 3, 2, 1)}
CLIP = """
    a = Reshape (x, to_image) b = Conv <kernel_shape=[5,3], strides=[2,1]> (a, w) c = LeakyRelu (b)
    d = MaxPool <kernel_shape=[2,2], strides=[2,2]> (c) y = Conv <kernel_shape=[4,1]> (d, u)
"""


def clip(body: str, **more: np.ndarray) -> onnx.ModelProto:
    shapes = {"to_image": np.array([-1, 1, 20, 8])}
    arrays = {**WEIGHTS, "u": random(2, 3, 4, 1), **shapes, **more}
    return model_of(body, "float[1,20,8,1] x", **{n: v for n, v in arrays.items() if n in body})


def streams(model: onnx.ModelProto, frames: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray] | None]:
    """What the window gives in every call, and what the lift gives."""
    offline = offline_of(model, STREAM)
    feeds = offline.draw(frames, np.random.default_rng(1))
    lifted = slide_by_lift(offline, WINDOW, CHUNK, None)
    window = run_stream(session_of(slide(offline, WINDOW, CHUNK)), feeds)
    return window, None if lifted is None else run_stream(session_of(lifted), feeds)


@pytest.mark.parametrize("frames", [4, 19, 20, 37, 200])
def test_the_new_frames_give_what_the_whole_window_gives(frames: int) -> None:
    window, lifted = streams(clip(CLIP), frames)
    assert lifted is not None
    np.testing.assert_allclose(lifted["y"], window["y"], atol=1e-5)


def test_a_reshape_that_turns_the_last_frame_is_a_transpose() -> None:
    body = CLIP.replace("y = Conv", "e = Conv") + "f = ReduceMean <axes=[3]> (e) y = Reshape (f, last)"
    window, lifted = streams(clip(body, last=np.array([-1, 1, 1, 2])), 60)
    assert lifted is not None
    np.testing.assert_allclose(lifted["y"], window["y"], atol=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        CLIP.replace("strides=[2,1]>", "strides=[2,1], pads=[1,0,1,0]>").replace("[4,1]> (d, u)", "[4,1]> (d, u)"),
        CLIP.replace("y = Conv <kernel_shape=[4,1]> (d, u)", "y = ReduceMean <axes=[2]> (d)"),
        CLIP.replace("strides=[2,1]>", 'strides=[2,1], auto_pad="SAME_UPPER">'),
        CLIP.replace("c = LeakyRelu (b)", "c = Softmax <axis=2> (b)"),
    ],
)
def test_a_model_that_sees_where_its_window_ends_runs_whole(body: str) -> None:
    _, lifted = streams(clip(body), 40)
    assert lifted is None


def test_a_reshape_of_a_tensor_without_a_known_shape_is_left_to_the_window() -> None:
    """onnx infers no shape behind an op that it does not know."""
    body = CLIP.replace("a = Reshape (x, to_image)", "z = com.microsoft.BiasGelu (x, bias) a = Reshape (z, to_image)")
    _, lifted = streams(clip(body, bias=random(1)), 40)
    assert lifted is None
