"""Batches: streams that begin together, and streams that have clocks of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from attention_texts import ARRAYS, BAND, LIMITS, PLACES, SCORES
from conftest import ROOT
from lifting import model_of, random, weights

import graphc
from graphc import BatchSession, GraphcError, InputError, ModelError, StreamError
from graphc.errors import SpecError
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.spec.stream_schema import InputSpec, StreamSpec

TO_TIME = "c = Transpose <perm=[0,2,1]> (x)"
BANDED = f"{SCORES} {PLACES} {BAND.format(scores='s')} w = Softmax (m) y = MatMul (w, x)"
CASES = {
    "banded attention with lookahead": (BANDED, {**ARRAYS, **LIMITS}),
    "a table of both places": (
        f"{SCORES} {PLACES} pq = Mul (p, q) pf = Cast <to=1> (pq) b = Sin (pf) s2 = Add (s, b) "
        f"{BAND.format(scores='s2')} w = Softmax (m) y = MatMul (w, x)",
        {**ARRAYS, **LIMITS},
    ),
    "a difference to the first frame, and its average": (
        "s = Slice (x, begins, ends, ends) d = Sub (x, s) z = CumSum (d, along) y = Mul (z, s)",
        {"begins": np.array([0]), "ends": np.array([1]), "along": np.array(1)},
    ),
    "first frames and others that repeat": (
        f"{TO_TIME} f = ConvTranspose <strides=[2]> (c, v) size = Concat <axis=0> (ones2, n1) o = Expand (onef, size) "
        "e = ConvTranspose <strides=[2]> (o, box) m = Mul (n1, two1) f0 = Slice (f, nought, m, two1) "
        "g0 = Slice (e, nought, m, two1) d = Div (f0, g0) y = Transpose <perm=[0,2,1]> (d)".replace(
            "size =", "h = Shape (c) n1 = Slice (h, two1, three1) size =", 1
        ),
        {
            "v": random(4, 4, 7),
            "box": np.float32([1, 2, 3, 4, 3, 2, 1.5])[None, None],
            "ones2": np.array([1, 1]),
            "onef": np.ones((1, 1, 1), np.float32),
            "nought": np.array([0]),
            "two1": np.array([2]),
            "three1": np.array([3]),
        },
    ),
    "conv with lookahead twice": (
        f"{TO_TIME} a = Conv <pads=[1,1]> (c, u, b) e = Conv <pads=[2,2]> (a, v, b) y = Transpose <perm=[0,2,1]> (e)",
        {"u": random(4, 4, 3), "b": random(4), "v": random(4, 4, 5)},
    ),
    "positions from the clock": (
        f"{PLACES} f = Cast <to=1> (q) g = Mul (f, rates) h2 = Sin (g) e = Add (x, h2) z = CumSum (e, axis) "
        "y = Mul (z, scale)",
        {**ARRAYS, "rates": random(1, 4), "axis": np.array(1), "scale": np.float32(0.1)},
    ),
    "a recurrence behind lookahead with a learned first state": (
        f"{TO_TIME} a = Conv <pads=[2,2]> (c, v, b) t0 = Transpose <perm=[2,0,1]> (a) n = Shape <start=0, end=1> (x) "
        "size = Concat <axis=0> (single, n, single3) h0 = Expand (first_state, size) "
        "r, last_state = GRU <hidden_size=3> (t0, gw, gr, , , h0) p = Squeeze (r, at) y = Transpose <perm=[1,0,2]> (p)",
        {
            "v": random(4, 4, 5),
            "b": random(4),
            "gw": random(1, 9, 4),
            "gr": random(1, 9, 3),
            "single": np.array([1]),
            "single3": np.array([3]),
            "first_state": random(1, 1, 3),
            "at": np.array([1]),
        },
    ),
    "reflected padding": (
        f'{TO_TIME} a = Pad <mode="reflect"> (c, pads) y = Conv (a, v)',
        {"pads": np.array([0, 0, 2, 0, 0, 2]), "v": random(4, 4, 5)},
    ),
    "an average over the frames that exist": (
        f"{TO_TIME} a = Conv <pads=[1,1]> (c, u, b) y = AveragePool <kernel_shape=[3], pads=[1,1]> (a)",
        {"u": random(4, 4, 3), "b": random(4)},
    ),
    "heads in the batch": (
        "n = Shape <start=0, end=1> (x) nn = Mul (n, two) apart = Reshape (x, heads) "
        "moved = Transpose <perm=[0,2,1,3]> (apart) size = Concat <axis=0> (nn, rest) "
        f"z = Reshape (moved, size) k = Transpose <perm=[0,2,1]> (z) s = MatMul (z, k) {PLACES} "
        f"{BAND.format(scores='s')} w = Softmax (m) mixed = MatMul (w, z) size2 = Concat <axis=0> (n, rest2) "
        "back = Reshape (mixed, size2) y = Transpose <perm=[0,2,1,3]> (back)",
        {
            **ARRAYS,
            **LIMITS,
            "two": np.array([2]),
            "heads": np.array([0, 0, 2, 2]),
            "rest": np.array([-1, 2]),
            "rest2": np.array([2, -1, 2]),
        },
    ),
}


def saved(folder: Path, case: str, batch: str = "N") -> Path:
    body, arrays = CASES[case]
    model = weights(model_of(body, f"float[{batch},T,4] x", f"float[{batch},A,B] y"), **arrays)
    if case == "heads in the batch":
        model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def spec_of(
    folder: Path, stream: str, passes: str = "[lift_state, fold_constants, fuse, simplify]", target: str = "onnx"
) -> Path:
    path = folder / "spec.yaml"
    head = f"version: 1\nmodel: model.onnx\noutput: out.onnx\ntarget: {target}\n"
    path.write_text(f"{head}stream: {{{stream}}}\npasses: {passes}\n")
    return path


def reference(path: Path, batch: int) -> Offline:
    return offline_of(onnx.load(path), StreamSpec(chunk=1, batch=batch, inputs={"x": InputSpec(axis=1)}))


BATCHES = {"symbolic": ("N", "onnxruntime"), "static": ("3", "onnx")}


@pytest.mark.parametrize(
    ("case", "batch", "target"),
    [
        pytest.param(case, *BATCHES[kind], id=f"{case}-{kind}", marks=[pytest.mark.nightly] if (i + j) % 2 else [])
        for i, case in enumerate(CASES)
        for j, kind in enumerate(BATCHES)
    ],
)
def test_streams_of_a_batch_begin_and_end_each_for_itself(tmp_path: Path, case: str, batch: str, target: str) -> None:
    """Validation runs every stream at another time; and so does a client here, by hand."""
    model = saved(tmp_path, case, batch)
    spec = spec_of(tmp_path, "chunk: 4, batch: 3, clocks: own, inputs: {x: {axis: 1}}", target=target)
    report = graphc.compile(spec).data
    assert all(record["max_abs"] <= 1e-5 for record in report["passes"])
    session = BatchSession(tmp_path / "out.onnx")
    assert session.manifest.streams == 3
    counters = [s for s in session.manifest.states if s.kind == "clock"]
    assert all(s.shape == [3] and s.batch_axis == 0 for s in counters)
    offline = reference(model, 3)
    axis = session.manifest.outputs[0].axis or 0
    for begun_later in (0, 1, 7):
        x, other = random(3, 23, 4), random(3, 11, 4)
        one, two = session.open(), None
        parts: dict[int, list[np.ndarray]] = {}
        for turn in range(60):
            if turn < 23:
                session.push(one, x[:1, turn : turn + 1])
            if turn == 22:
                session.finish(one)
            if turn == begun_later:
                two = session.open()
                session.push(two, other[1:2])
                session.finish(two)
            for place, new in session.step().items():
                parts.setdefault(place, []).append(new["y"])
        assert session.free == 3
        assert two is not None
        for place, value, row in ((one, x, 0), (two, other, 1)):
            want = offline.run({"x": value})["y"].take([row], axis=0)
            np.testing.assert_allclose(np.concatenate(parts[place], axis=axis), want, atol=1e-5)


@pytest.mark.nightly
def test_streams_that_share_a_clock_are_equal_too(tmp_path: Path) -> None:
    for case in CASES:
        model = saved(tmp_path, case)
        graphc.compile(spec_of(tmp_path, "chunk: 4, batch: 2, inputs: {x: {axis: 1}}"))
        session = graphc.StreamSession(tmp_path / "out.onnx")
        assert session.manifest.streams is None
        x = random(2, 21, 4)
        np.testing.assert_allclose(session.run(x)["y"], reference(model, 2).run({"x": x})["y"], atol=1e-5)
        with pytest.raises(ModelError, match="clocks: own"):
            BatchSession(tmp_path / "out.onnx")


def test_inputs_may_be_cached_where_streams_have_their_own_clocks(tmp_path: Path) -> None:
    layer = "k0 = MatMul (x, a) q0 = MatMul (x, a2) v0 = MatMul (x, a3)"
    body = (
        f"{layer} kt = Transpose <perm=[0,2,1]> (k0) s = MatMul (q0, kt) {PLACES} "
        "off = Greater (d, zero) far = Less (d, reach) out = Or (off, far) m = Where (out, low, s) "
        "w = Softmax (m) y = MatMul (w, v0)"
    )
    arrays = {**ARRAYS, "reach": np.array(-3), "low": np.float32(-1e9)}
    arrays |= {name: random(4, 4 + i)[:, :4] for i, name in enumerate(("a", "a2", "a3"))}
    onnx.save(weights(model_of(body, "float[N,T,4] x"), **arrays), tmp_path / "model.onnx")
    passes = "[lift_state: {cache: inputs}, fold_constants, fuse]"
    report = graphc.compile(spec_of(tmp_path, "chunk: 2, batch: 2, clocks: own, inputs: {x: {axis: 1}}", passes)).data
    assert [s["kind"] for s in report["states"]].count("attention_context") == 1
    assert all(record["max_abs"] <= 1e-5 for record in report["passes"])


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ("chunk: dynamic, clocks: own", "clocks: own needs a chunk in frames"),
        ("chunk: 4, window: 8, clocks: own", "excludes window and states"),
        ("chunk: 4, clocks: mine", "known: shared, own"),
    ],
)
def test_specs_that_ask_for_clocks_in_vain_are_refused(tmp_path: Path, stream: str, said: str) -> None:
    saved(tmp_path, "conv with lookahead twice")
    with pytest.raises(SpecError, match=said):
        graphc.compile(spec_of(tmp_path, f"{stream}, inputs: {{x: {{axis: 1}}}}"))


def refused(folder: Path, body: str, port: str, arrays: dict[str, np.ndarray], batch: int = 2) -> StreamError:
    onnx.save(weights(model_of(body, port), **arrays), folder / "model.onnx")
    with pytest.raises(StreamError) as caught:
        graphc.compile(spec_of(folder, f"chunk: 4, batch: {batch}, clocks: own, inputs: {{x: {{axis: 1}}}}"))
    return caught.value


def test_streams_that_are_not_apart_are_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, "a = ReduceMean <axes=[0], keepdims=1> (x) y = Add (x, a)", "float[N,T,4] x", {})
    assert "one stream of the batch changes another" in error.reason
    assert "begin together" in (error.hint or "")


def test_a_model_without_a_batch_axis_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, "y = Relu (x)", "float[1,T,4] x", {})
    assert "no input has a batch axis" in error.reason
    assert "export the model with a dynamic batch axis, or with a batch of 2" in (error.hint or "")


def test_places_are_given_and_taken(tmp_path: Path) -> None:
    saved(tmp_path, "conv with lookahead twice")
    graphc.compile(spec_of(tmp_path, "chunk: 4, batch: 2, clocks: own, inputs: {x: {axis: 1}}"))
    session = BatchSession(tmp_path / "out.onnx")
    assert session.step() == {}
    places: Sequence[int] = [session.open(), session.open()]
    with pytest.raises(InputError, match=r"all 2 streams of the batch are in use; finish a stream"):
        session.open()
    with pytest.raises(InputError, match=r"there is no stream 5; open\(\) begins one"):
        session.push(5, random(1, 4, 4))
    with pytest.raises(InputError, match=r"has the shape \[2, 4, 4\]"):
        session.push(places[0], random(2, 4, 4))
    session.finish(places[0])
    with pytest.raises(InputError, match="has been finished"):
        session.push(places[0], random(1, 4, 4))


def test_an_example_with_a_symbolic_batch_runs_apart(tmp_path: Path) -> None:
    model = ROOT / "examples" / "models" / "crnn.torchscript.onnx"
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"version: 1\nmodel: {model}\noutput: out.onnx\nstream: {{chunk: 4, batch: 4, clocks: own}}\n"
        "passes: [lift_state, fold_constants, fuse, simplify]\n"
    )
    report = graphc.compile(path).data
    assert all(record["max_abs"] <= 1e-4 for record in report["passes"])


def test_a_place_in_the_batch_that_matters_is_refused(tmp_path: Path) -> None:
    body = """
        n = Shape <start=0, end=1> (x) t = Squeeze (n) r = Range (zero, t, one) f = Cast <to=1> (r) p = Reshape (f, s)
        y = Add (x, p)
    """
    arrays = {"zero": np.array(0), "one": np.array(1), "s": np.array([-1, 1, 1])}
    error = refused(tmp_path, body, "float[N,T,4] x", arrays)
    assert "depends on a stream's position in the batch" in error.reason


def test_streams_that_only_large_values_mix_are_refused(tmp_path: Path) -> None:
    body = "m = ReduceMax <axes=[0], keepdims=1> (x) o = Sub (m, six) r = Relu (o) y = Add (x, r)"
    error = refused(tmp_path, body, "float[N,T,4] x", {"six": np.float32(6)})
    assert "one stream of the batch changes another" in error.reason


def test_a_static_input_without_a_batch_axis_is_one_for_all(tmp_path: Path) -> None:
    model = model_of("y = Mul (x, g)", "float[N,T,4] x, float[4] g")
    onnx.save(model, tmp_path / "model.onnx")
    stream = "chunk: 2, batch: 2, clocks: own, inputs: {x: {axis: 1}, g: {static: true}}"
    graphc.compile(spec_of(tmp_path, stream))
    session = BatchSession(tmp_path / "out.onnx")
    x = random(1, 4, 4)
    for value in (1.0, 2.0):
        session.push(session.open(), x=x, g=np.full(4, value, np.float32))
    with pytest.raises(InputError, match="all streams share the static input 'g', and stream 1 has another value"):
        session.step()
    session.push(1, g=np.ones(4, np.float32))
    found = session.step()
    assert all(np.array_equal(found[place]["y"], x[:, :2]) for place in (0, 1)), "what was refused took nothing"
    session.drop(1)
    assert session.free == 1
    with pytest.raises(InputError, match="there is no stream 1"):
        session.drop(1)
    with pytest.raises(InputError, match="the static input 'g' of stream 1 was not given; push it, or drop"):
        session.finish(session.open())


def tokens(folder: Path, stream: str) -> Path:
    """A table of 5 rows, looked up by tokens: one beyond its end ends the call."""
    body = "r = Gather (table, t) c = Transpose <perm=[0,2,1]> (r) d = Conv <pads=[2,0]> (c, k) y = Tanh (d)"
    model = model_of(body, "int64[N,T] t")
    onnx.save(weights(model, table=random(5, 4), k=random(4, 4, 3)), folder / "model.onnx")
    graphc.compile(spec_of(folder, f"chunk: 2{stream}, inputs: {{t: {{axis: 1}}}}"))
    return folder / "out.onnx"


def test_a_stream_that_ends_a_call_takes_nothing_from_the_others(tmp_path: Path) -> None:
    path = tokens(tmp_path, ", batch: 2, clocks: own")
    t = np.random.default_rng(0).integers(0, 5, (1, 6))
    session, parts = BatchSession(path), []
    good, bad = session.open(), session.open()
    session.push(good, t)
    session.push(bad, np.array([[1, 99]]))
    with pytest.raises(ModelError, match="does not run"):
        session.step()
    session.drop(bad)
    session.finish(good)
    while session.free < 2:
        parts.append(session.step()[good]["y"])
    alone = graphc.StreamSession(tokens(tmp_path, "")).run(t=t)["y"]
    assert np.array_equal(np.concatenate(parts, axis=2), alone)


def test_a_call_that_fails_leaves_its_frames_waiting(tmp_path: Path) -> None:
    session = graphc.StreamSession(tokens(tmp_path, ""))
    session.push(t=np.array([[1, 2]]))
    with pytest.raises(ModelError, match="does not run"):
        session.push(t=np.array([[99, 1]]))
    with pytest.raises(ModelError, match="does not run"):
        session.flush()
    assert session.run(t=np.array([[1, 2, 3, 4]]))["y"].shape == (1, 4, 4)


def test_dynamic_scales_are_not_shared_between_streams(tmp_path: Path) -> None:
    saved(tmp_path, "banded attention with lookahead")
    path = spec_of(tmp_path, "chunk: 4, batch: 2, clocks: own, inputs: {x: {axis: 1}}")
    path.write_text(path.read_text().replace("lift_state", "lift_state, {quantize: {mode: dynamic}}"))
    with pytest.raises(
        GraphcError, match="one scale for a whole call, so each stream of the batch would change the others"
    ):
        graphc.compile(path)


def test_a_batch_that_the_model_has_no_axis_for_is_refused(tmp_path: Path) -> None:
    model = ROOT / "examples" / "models" / "lstm_tagger.dynamo.onnx"
    path = tmp_path / "spec.yaml"
    path.write_text(
        f"version: 1\nmodel: {model}\noutput: out.onnx\nstream: {{chunk: 4, batch: 3}}\npasses: [lift_state]\n"
    )
    with pytest.raises(
        GraphcError,
        match=r"spec\.yaml:4:\d+: stream\.batch: no input has a batch axis, neither a symbolic one nor one of size 3",
    ):
        graphc.compile(path)
