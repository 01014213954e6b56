"""Frames written at even places: overlap-add and interleaving, as scatters and Col2Im, stream; other scatters do not."""

from __future__ import annotations

import numpy as np
import pytest
from lifting import model_of, random, weights
from promise import verdict_of

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.canonical.overlap_add.even_places import EvenPlaces, even_places
from graphc.stream.propagation.analysis import analyse
from graphc_runtime.errors import StreamError

SPEC = StreamSpec(chunk=1, inputs={"x": InputSpec(axis=1)})
INTS = {
    "zero": np.array(0),
    "one": np.array(1),
    "two": np.array(2),
    "front": np.array([0]),
    "behind": np.array([1]),
    "column": np.array([[0]]),
    "negative": np.array([-1]),
}
FRAMES = "h = Shape (x) t = Gather (h, one) i = Range (zero, t, one) t1 = Unsqueeze (t, front)"


def added(hop: int, width: int, gap: int = 1) -> tuple[str, dict[str, np.ndarray]]:
    """Frames of ``width`` entries, ``gap`` apart, added ``hop`` apart by ScatterElements."""
    body = f"""
        {FRAMES} f = Unsqueeze (i, behind) g = Mul (f, hop) e = Add (g, entries) p = Reshape (e, flat)
        u = Reshape (x, flat) last = Sub (t1, behind) begun = Mul (last, hop) size = Add (begun, width)
        d = ConstantOfShape <value = float[1] {{0.0}}> (size)
        s = ScatterElements <axis=0, reduction="add"> (d, p, u) y = Unsqueeze (s, front)
    """
    return body, {
        "hop": np.array(hop),
        "entries": gap * np.arange(width)[None],
        "flat": np.array([-1]),
        "width": np.array([gap * (width - 1) + 1]),
    }


@pytest.mark.parametrize("times", [1, 0], ids=["smallest chunk", "any multiple"])
@pytest.mark.parametrize(("hop", "width", "gap"), [(2, 4, 1), (4, 4, 1), (3, 7, 1), (5, 3, 1), (2, 3, 3)])
def test_frames_added_by_a_scatter(hop: int, width: int, gap: int, times: int) -> None:
    body, arrays = added(hop, width, gap)
    ints = {n: v for n, v in INTS.items() if n in body}
    model = weights(model_of(body, f"float[1,T,{width}] x", "float[1,U] y"), **arrays, **ints)
    assert not analyse(offline_of(model, SPEC)).promise.tried
    assert verdict_of(model, times, range(1, 24), SPEC).kind == "equal"


WRITTEN = {
    "zeros between frames": ("size = Mul (t1, twice)", "p = Mul (i, two)", "x", "0.0"),
    "ones between frames": ("size = Mul (t1, twice)", "e = Mul (i, two) p = Add (e, one)", "x", "1.0"),
    "later by two": ("size = Add (t1, twice)", "p = Add (i, two)", "x", "0.0"),
    "later by two, over ones": ("size = Add (t1, twice)", "p = Add (i, two)", "x", "1.0"),
    "followed by ones": ("size = Add (t1, twice)", "p = Identity (i)", "x", "1.0"),
}


@pytest.mark.parametrize(("size", "places", "updates", "value"), WRITTEN.values(), ids=WRITTEN)
def test_frames_written_by_rows_of_places(size: str, places: str, updates: str, value: str) -> None:
    body = f"""
        {FRAMES} {size} {places} r = Unsqueeze (p, behind) all = Concat <axis=0> (size, single, wide)
        d = ConstantOfShape <value = float[1] {{{value}}}> (all) u = Transpose <perm=[1,0,2]> ({updates})
        s = ScatterND (d, r, u) z = Transpose <perm=[1,0,2]> (s) y = MatMul (z, w)
    """
    ints = {n: v for n, v in INTS.items() if n in body}
    model = weights(
        model_of(body, "float[1,T,3] x", "float[1,U,2] y"),
        w=random(3, 2),
        twice=np.array([2]),
        single=np.array([1]),
        wide=np.array([3]),
        **ints,
    )
    assert not analyse(offline_of(model, SPEC)).promise.tried
    assert verdict_of(model, 1, range(1, 24), SPEC).kind == "equal"


@pytest.mark.parametrize("exact", [True, False])
def test_two_streams_in_turn(exact: bool) -> None:
    """The second is written over the first, whose frames were repeated, or between its frames."""
    first = 'both = Resize <mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"> (c, , scales)'
    body = f"""
        {FRAMES} c = Transpose <perm=[0,2,1]> (x) {first} q = Transpose <perm=[2,0,1]> (both)
        k = Tanh (x) u = Transpose <perm=[1,0,2]> (k) e = Mul (i, two) p = Add (e, one) r = Unsqueeze (p, behind)
        s = ScatterND <reduction="{"none" if exact else "add"}"> (q, r, u) z = Transpose <perm=[1,0,2]> (s)
        y = MatMul (z, w)
    """
    ints = {n: v for n, v in INTS.items() if n in body}
    scales = np.array([1, 1, 2], np.float32)
    model = weights(model_of(body, "float[1,T,3] x", "float[1,U,2] y"), w=random(3, 2), scales=scales, **ints)
    assert not analyse(offline_of(model, SPEC)).promise.tried
    assert verdict_of(model, 1, range(1, 24), SPEC).kind == "equal"


FOLDS = {
    "overlap": (4, "strides=[1,2], pads=[0,0,0,0], dilations=[1,1]", 2, 2),
    "padded": (6, "strides=[1,2], pads=[0,2,0,2], dilations=[1,1]", 2, 0),
    "dilated": (3, "strides=[1,2], pads=[0,0,0,0], dilations=[1,3]", 2, 5),
    "apart": (2, "strides=[1,3], pads=[0,0,0,0], dilations=[1,1]", 3, -1),
}


@pytest.mark.parametrize(("width", "attributes", "hop", "more"), FOLDS.values(), ids=FOLDS)
def test_a_fold_over_one_axis(width: int, attributes: str, hop: int, more: int) -> None:
    body = f"""
        h = Shape (x) t = Gather (h, one) t1 = Unsqueeze (t, front) begun = Mul (t1, hop) long = Add (begun, more)
        image = Concat <axis=0> (single, long) u = Transpose <perm=[0,2,1]> (x)
        c = Col2Im <{attributes}> (u, image, block) y = Squeeze (c, two1)
    """
    arrays = {"hop": np.array([hop]), "more": np.array([more]), "single": np.array([1]), "two1": np.array([2])}
    ints = {n: INTS[n] for n in ("one", "front")}
    model = weights(
        model_of(body, f"float[1,T,{2 * width}] x", "float[1,2,U] y", 18), block=np.array([1, width]), **arrays, **ints
    )
    assert not analyse(offline_of(model, SPEC)).promise.tried
    assert verdict_of(model, 1, range(3, 24), SPEC).kind == "equal"


def test_places_that_stop_far_out_end_the_promise() -> None:
    body = f"""
        {FRAMES} size = Mul (t1, twice) e = Mul (i, two) p = Min (e, far) r = Unsqueeze (p, behind)
        all = Concat <axis=0> (size, single, wide) d = ConstantOfShape <value = float[1] {{0.0}}> (all)
        u = Transpose <perm=[1,0,2]> (x) s = ScatterND (d, r, u) y = Transpose <perm=[1,0,2]> (s)
    """
    ints = {n: v for n, v in INTS.items() if n in body}
    arrays = {"twice": np.array([2]), "single": np.array([1]), "wide": np.array([3]), "far": np.array(9000)}
    model = weights(model_of(body, "float[1,T,3] x", "float[1,U,3] y"), **arrays, **ints)
    promise = analyse(offline_of(model, SPEC)).promise
    assert promise.max_frames == 4501


def test_frames_in_another_order_are_refused() -> None:
    body = f"""
        {FRAMES} last = Sub (t, one) p = Sub (last, i) r = Unsqueeze (p, behind) u = Transpose <perm=[1,0,2]> (x)
        d = Mul (u, none) s = ScatterND (d, r, u) y = Transpose <perm=[1,0,2]> (s)
    """
    ints = {n: v for n, v in INTS.items() if n in body}
    model = weights(model_of(body, "float[1,T,3] x", "float[1,T,3] y"), none=np.float32(0), **ints)
    with pytest.raises(StreamError):
        analyse(offline_of(model, SPEC))


def test_even_places() -> None:
    lines = [np.array([1, 0, 5, 4, 9, 8]), np.array([1, 0, 5, 4])]
    assert even_places(lines, [12, 8]) == EvenPlaces(4, (1, 0), 0, 2)
    assert even_places(lines, [12, 9]) is None
    assert even_places([np.array([0, 2, 4]), np.array([0, 3])], [6, 6]) is None
    assert even_places([np.array([0, 0, 2, 2]), np.array([0, 0])], [4, 2]) is None


@pytest.mark.parametrize("times", [1, 0], ids=["smallest chunk", "any multiple"])
@pytest.mark.parametrize(("width", "hop", "crop"), [(4, 2, 0), (5, 2, 1), (8, 2, 3), (6, 3, 3), (4, 4, 0)])
def test_frames_divided_by_the_envelope_of_their_windows(width: int, hop: int, crop: int, times: int) -> None:
    """As an inverse STFT is exported: the envelope is smaller near both ends, where fewer windows overlap."""
    cut = "" if not crop else "a1 = Slice (s, first, last, at2) b1 = Slice (e, first, last, at2) y = Div (a1, b1)"
    body = f"""
        h = Shape (x) t = Gather (h, one) t1 = Unsqueeze (t, front) u = Transpose <perm=[0,2,1]> (x)
        to = Concat <axis=0> (single, wide, t1) frames = Expand (window, to)
        s = ConvTranspose <strides=[{hop}]> (u, eye) e = ConvTranspose <strides=[{hop}]> (frames, eye)
        {cut or "y = Div (s, e)"}
    """
    arrays = {
        "one": np.array(1),
        "front": np.array([0]),
        "single": np.array([1]),
        "wide": np.array([width]),
        "window": (np.hanning(width + 2)[1:-1] ** 2).astype(np.float32).reshape(1, width, 1),
        "eye": np.eye(width, dtype=np.float32)[:, None],
    }
    if crop:
        arrays |= {"first": np.array([crop]), "last": np.array([-crop]), "at2": np.array([2])}
    model = weights(model_of(body, f"float[1,T,{width}] x", "float[1,1,U] y"), **arrays)
    assert not analyse(offline_of(model, SPEC)).promise.tried
    assert verdict_of(model, times, range(1, 24), SPEC).kind == "equal"
