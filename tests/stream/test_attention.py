"""What attention is refused for, and what its options do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from attention_texts import ARRAYS, BAND, LIMITS, PLACES, SCORES
from conftest import ROOT
from lifting import lifted_equal, model_of, random, refusal, weights

import graphc
from graphc.errors import SpecError
from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import StreamSpec
from graphc.stream.propagation.analysis import analyse
from graphc_runtime.errors import StreamError


def attention(mask: str = "", scores: str = "s", **arrays: np.ndarray) -> onnx.ModelProto:
    body = f"{SCORES} {PLACES if mask else ''} {mask} w = Softmax ({scores}) y = MatMul (w, x)"
    model = model_of(body, "float[1,T,4] x", "float[1,A,B] y")
    model.graph.node[-1].name = "mix"
    return weights(model, **(ARRAYS if mask else {}), **arrays)


def test_attention_without_a_mask_is_refused_with_the_way_out() -> None:
    error = refusal(attention())
    assert error.node == "mix (MatMul)"
    assert "attends to all frames" in error.reason
    assert "attention: {left: N, right: N}" in (error.hint or "")


def test_a_causal_mask_alone_is_refused() -> None:
    model = attention("off = Greater (d, zero) m = Where (off, low, s)", "m", low=np.float32(-1e9))
    error = refusal(model)
    assert "all past frames" in error.reason
    assert error.hint


def test_a_table_as_output_is_refused() -> None:
    error = refusal(model_of(SCORES.replace("s =", "y ="), "float[1,T,4] x"))
    assert "score matrix" in error.reason


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{attention: {left: 5, max_frames: 40}}", "give left and right, or max_frames"),
        ("{attention: {lefft: 5}}", "unknown option"),
        ("{attention: {left: -1}}", "-1 is too small: expected a number of at least 0"),
    ],
)
def test_wrong_limits_are_named_in_the_spec(tmp_path: Path, options: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        graphc.compile(spec_of(tmp_path, attention(), options))
    assert said in str(caught.value)


def test_a_pattern_that_fits_nothing_lists_the_attention(tmp_path: Path) -> None:
    with pytest.raises(StreamError) as caught:
        graphc.compile(spec_of(tmp_path, attention(), '{attention: {"other*": {left: 3}}}'))
    assert "other*" in caught.value.reason
    assert "mix" in (caught.value.hint or "")


def test_a_band_is_put_on_the_reference_and_its_cost_is_reported(tmp_path: Path) -> None:
    report = graphc.compile(spec_of(tmp_path, attention(), "{attention: {left: 6, right: 1}}")).data
    lift = report["passes"][0]
    assert lift["max_abs"] < 1e-5
    assert lift["reference_change"][0]["max_abs"] > 1e-3


def test_an_unlimited_past_is_kept_whole_up_to_max_frames(tmp_path: Path) -> None:
    model = attention("off = Greater (d, zero) m = Where (off, low, s)", "m", low=np.float32(-1e9))
    graphc.compile(spec_of(tmp_path, model, "{attention: {max_frames: 60}}"))
    session = graphc.StreamSession(tmp_path / "out.onnx")
    assert session.manifest.max_frames == 60
    x = random(1, 60, 4)
    scores = np.where(np.tri(60, dtype=bool), x[0] @ x[0].T, -np.inf)
    shares = np.exp(scores - scores.max(1, keepdims=True))
    want = shares / shares.sum(1, keepdims=True) @ x[0]
    assert np.abs(session.run(x)["y"][0] - want).max() < 1e-5
    with pytest.raises(graphc.GraphcError):
        session.run(random(1, 61, 4))


def spec_of(folder: Path, model: onnx.ModelProto, options: str) -> Path:
    onnx.save(model, folder / "model.onnx")
    path = folder / "spec.yaml"
    path.write_text(
        "version: 1\nmodel: model.onnx\noutput: out.onnx\nstream: {chunk: 2, inputs: {x: {axis: 1}}}\n"
        f"passes:\n  - lift_state: {options}\n"
    )
    return path


def test_attention_between_rates_is_refused() -> None:
    body = """
        c = Transpose <perm=[0,2,1]> (x) half = MaxPool <kernel_shape=[2], strides=[2]> (c)
        q = Transpose <perm=[0,2,1]> (half) s = MatMul (q, c) w = Softmax (s) y = MatMul (w, x)
    """
    error = refusal(model_of(body, "float[1,T,4] x"))
    assert "its queries have 1/2 frames for each input frame, and its keys 1" in error.reason
    assert "different rates" in (error.hint or "")


def test_scores_that_a_shift_moved_from_other_queries_are_refused_where_they_are_seen() -> None:
    """A table of T distances, shifted: above the diagonal stand scores of the next query, of which the band sees two."""
    shift = """
        back = Sub (r, t) rows = Unsqueeze (back, last) a = Cast <to=1> (rows) b = Mul (a, v) e = Sin (b)
        f = Transpose <perm=[1,0]> (e) g = MatMul (x, f) n = Pad (g, pads)
        u = Unsqueeze (t, first) u1 = Add (u, ones) size = Concat <axis=0> (ones, u1, u) z = Reshape (n, size)
        kept = Slice (z, ones, big, ones) whole = Concat <axis=0> (ones, u, u) sh = Reshape (kept, whole)
        s2 = Add (s, sh)
    """
    arrays = {"v": random(1, 4), "pads": np.array([0, 0, 1, 0, 0, 0]), "ones": np.array([1]), "big": np.array([2**62])}
    error = refusal(attention(shift + BAND.format(scores="s2"), "m", **arrays, **LIMITS))
    assert "attends to scores that a relative shift moved in from the rows of other queries" in error.reason
    assert "mask these entries before the softmax" in (error.hint or "")


def test_a_mask_behind_the_softmax_alone_limits_nothing() -> None:
    """The softmax has counted what the mask takes away."""
    body = (
        f"{SCORES} {PLACES} w0 = Softmax (s) far = Abs (d) near = LessOrEqual (far, reach) n = Cast <to=1> (near) "
        "w = Mul (w0, n) y = MatMul (w, x)"
    )
    model = weights(model_of(body, "float[1,T,4] x"), **ARRAYS, reach=np.array(2))
    assert "attends to all past and future frames" in refusal(model).reason


def test_attention_of_attention_is_refused() -> None:
    model = attention(BAND.format(scores="s") + " w1 = Softmax (m) rolled = MatMul (w1, w1)", "rolled", **LIMITS)
    error = refusal(model)
    assert "multiplies two score matrices" in error.reason
    assert "attention of attention" in (error.hint or "")


CROOKED = "s2 = Add (s, b) " + BAND.format(scores="s2")


@pytest.mark.parametrize(
    "table",
    [
        "pq = Mul (p, q) a = Cast <to=1> (pq) b = Sin (a)",
        "pq = Add (p, q) a = Cast <to=1> (pq) b = Cos (a)",
        "e = Equal (p, four) f = Equal (q, four) g = Or (e, f) b = Cast <to=1> (g)",
    ],
)
def test_a_table_that_does_not_shift_along_is_made_from_the_clock(table: str) -> None:
    model = attention(f"{table} {CROOKED}", "m", four=np.array(4), **LIMITS)
    lifted = lifted_equal(model, (1, 3, 7), range(1, 40))
    assert lifted.signature is not None
    assert not lifted.signature.tried


def test_a_table_of_both_places_that_nothing_made_is_refused() -> None:
    crooked = f"n = Shape (p) u = Unsqueeze (t, zero) b = Slice (learned, nought, ends, both) {CROOKED}"
    crooked = crooked.replace("n = Shape (p) u = Unsqueeze (t, zero)", "st = Shape (s) ends = Slice (st, one1, three1)")
    learned = np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)
    numbers = {"nought": np.array([0, 0]), "both": np.array([0, 1]), "one1": np.array([1]), "three1": np.array([3])}
    error = refusal(attention(crooked, "m", learned=learned, **numbers, **LIMITS))
    assert "does not depend on the distance between query and key alone" in error.reason
    assert "distance alone" in (error.hint or "")


def test_blocks_that_do_not_fit_the_chunk_name_one_that_does() -> None:
    blocks = "bp = Div (p, four) bq = Div (q, four) off = Equal (bp, bq) m = Where (off, s, low)"
    model = attention(blocks, "m", four=np.array(4), low=np.float32(-1e9))
    with pytest.raises(StreamError) as caught:
        analyse(offline_of(model, StreamSpec(chunk=1)), 6)
    assert "use a multiple of 4, such as 4 or 8" in (caught.value.hint or "")


def test_keys_out_of_two_streams_are_refused() -> None:
    body = """
        c = Relu (x) both = Concat <axis=1> (c, x) k = Transpose <perm=[0,2,1]> (both)
        s = MatMul (x, k) w = Softmax (s) y = MatMul (w, both)
    """
    error = refusal(model_of(body, "float[1,T,4] x"))
    assert "concatenates two streams along time" in error.reason


def test_a_mask_input_is_described_in_the_spec(tmp_path: Path) -> None:
    model = model_of(f"{SCORES} m = Add (s, mask) w = Softmax (m) y = MatMul (w, x)", "float[1,T,4] x, float[T,T] mask")
    onnx.save(model, tmp_path / "m.onnx")
    text = """
version: 1
model: m.onnx
output: out.onnx
stream: {chunk: 4, inputs: {x: {axis: 1}, mask: {mask: {left: 5, right: 1, block: 2}}}}
passes: [lift_state]
"""
    (tmp_path / "spec.yaml").write_text(text)
    report = graphc.compile(tmp_path / "spec.yaml").data
    assert report["passes"][0]["max_abs"] <= 1e-6
    session = graphc.StreamSession(tmp_path / "out.onnx")
    assert [i.name for i in session.manifest.inputs] == ["x"]
    assert sorted(s.shape[1] for s in session.manifest.states if s.kind == "attention_value") == [7]
    (tmp_path / "spec.yaml").write_text(text.replace("left: 5", "left: -5"))
    with pytest.raises(SpecError, match=r"stream.inputs.mask.mask.left.*expected a number of at least 0"):
        graphc.compile(tmp_path / "spec.yaml")


def test_ports_are_named_by_a_template(tmp_path: Path) -> None:
    model = attention(BAND.format(scores="s"), "m", **LIMITS)
    graphc.compile(spec_of(tmp_path, model, "{ports: 'layer{layer}.{kind}.{number}'}"))
    names = [s.input for s in graphc.StreamSession(tmp_path / "out.onnx").manifest.states]
    assert any(name.startswith("layer_attention_value_") and name.endswith("_in") for name in names)
    with pytest.raises(SpecError, match=r"a template may use the fields \{node\}, \{kind\}, \{layer\}, \{number\}"):
        graphc.compile(spec_of(tmp_path, model, "{ports: '{nodde}_{kind}'}"))


def of_example(folder: Path, name: str, options: str, chunk: str = "4") -> Path:
    path = folder / "spec.yaml"
    path.write_text(
        f"version: 1\nmodel: {ROOT / 'examples' / 'models' / name}.onnx\noutput: out.onnx\n"
        f"stream: {{chunk: {chunk}, inputs: {{features: {{axis: 1}}}}}}\n"
        f"passes:\n  - lift_state: {options}\n  - fold_constants\n  - fuse\n  - simplify\n"
    )
    return path


@pytest.mark.parametrize(
    "name",
    [
        "attention_band.dynamo",
        *(
            pytest.param(n, marks=pytest.mark.nightly)
            for n in ("attention_sdpa.dynamo", "attention_relative.torchscript")
        ),
    ],
)
def test_inputs_are_cached_in_the_place_of_keys_and_values(tmp_path: Path, name: str) -> None:
    usual = graphc.compile(of_example(tmp_path, name, "{cache: keys_values}")).data
    report = graphc.compile(of_example(tmp_path, name, "{cache: inputs}")).data
    assert report["passes"][-1]["max_abs"] <= 1e-5
    assert report["stream"]["state_bytes"] < 0.7 * usual["stream"]["state_bytes"]
    assert not [s for s in report["states"] if s["kind"] == "attention_value"]
    assert all(s["proven"] for s in report["states"] if s["kind"] == "attention_context")


def test_inputs_are_not_cached_before_a_rotation_or_for_calls_of_any_size(tmp_path: Path) -> None:
    report = graphc.compile(of_example(tmp_path, "attention_rotary.dynamo", "{cache: inputs}")).data
    assert [s for s in report["states"] if s["kind"] == "attention_value"]
    assert any("no single tensor gives both" in note for note in report["passes"][0]["notes"])
    with pytest.raises(StreamError, match=r"cache: inputs needs calls of one size; give stream\.chunk a number"):
        graphc.compile(of_example(tmp_path, "attention_sdpa.dynamo", "{cache: inputs}", "dynamic"))


HEADS = """
    a = Reshape (x, heads) hq = Transpose <perm=[0,2,1,3]> (a) kt = Transpose <perm=[0,2,3,1]> (a) s = MatMul (hq, kt)
"""
JOINED = "mixed = MatMul (w, hq) o = Transpose <perm=[0,2,1,3]> (mixed) y = Reshape (o, whole)"
OF_HEADS = {"heads": np.array([0, 0, 2, 2]), "whole": np.array([0, 0, 4])}
NEAR = "back = Neg (d) ahead = Greater (d, zero) far = Greater (back, reach) off = Or (ahead, far)"


def with_heads(rest: str, joined: str = JOINED, **arrays: np.ndarray) -> onnx.ModelProto:
    model = model_of(f"{HEADS} {PLACES} {rest} {joined}", "float[1,T,4] x")
    return weights(model, **ARRAYS, **OF_HEADS, **arrays)


@pytest.mark.nightly
def test_a_penalty_that_differs_from_head_to_head_counts_by_its_mildest_head() -> None:
    """Slopes of ALiBi subtracted: the flattest head sees furthest, and a head that hides a key hides it for no other.

    The penalties fall gradually, so they count as a mask from -10,000 on.
    """
    rest = """
        back = Neg (d) f = Cast <to=1> (back) slope = Mul (f, slopes) s2 = Sub (s, slope)
        ahead = Greater (d, zero) m = Where (ahead, low, s2) w = Softmax (m)
    """
    steep = np.array([2400.0, 240.0], np.float32).reshape(2, 1, 1)
    model = with_heads(rest, slopes=steep, low=np.float32(-np.inf))
    signature = lifted_equal(model, lengths=range(1, 60)).signature
    assert signature is not None
    assert max(max(s.init.shape) for s in signature.states) == 41
    flat = with_heads(rest, slopes=np.array([2400.0, 0.0], np.float32).reshape(2, 1, 1), low=np.float32(-np.inf))
    assert "attends to all past frames" in refusal(flat).reason


def test_scores_kept_in_a_range_behind_their_mask_are_not_masked() -> None:
    rest = f"{NEAR} m = Where (off, low, s) c = Clip (m, least, most) w = Softmax (c)"
    bounds = {"low": np.float32(-1e9), "least": np.float32(-3), "most": np.float32(3), "reach": np.array(4)}
    assert "attends to all past and future frames" in refusal(with_heads(rest, **bounds)).reason


def test_weights_normalised_over_the_queries_are_refused() -> None:
    rest = f"{NEAR} m = Where (off, low, s) w = Softmax <axis=-2> (m)"
    error = refusal(with_heads(rest, low=np.float32(-1e9), reach=np.array(4)))
    assert "sums scores over one time axis, but a softmax normalised them over the other" in error.reason
    assert "apply it over the keys" in (error.hint or "")


def test_a_reversed_table_is_refused() -> None:
    rest = f"{NEAR} r2 = Slice (s, end, begin, axes, back1) m = Where (off, low, r2) w = Softmax (m)"
    arrays = {"end": np.array([-1]), "begin": np.array([-(2**40)]), "axes": np.array([-1]), "back1": np.array([-1])}
    error = refusal(with_heads(rest, low=np.float32(-1e9), reach=np.array(4), **arrays))
    assert "slices a score matrix with a negative step" in error.reason


def test_a_query_that_sees_nothing_is_refused() -> None:
    rest = "own = GreaterOrEqual (d, zero) m = Where (own, low, s) w = Softmax (m)"
    error = refusal(with_heads(rest, low=np.float32(-np.inf)))
    assert "a query whose keys are all masked with -inf" in error.reason
    assert "mask with a finite number" in (error.hint or "")


def test_masked_weights_stay_masked_under_a_mean_over_heads() -> None:
    rest = f"{NEAR} m = Where (off, low, s) w0 = Softmax (m) w = ReduceMean <axes=[1], keepdims=1> (w0)"
    lifted_equal(with_heads(rest, low=np.float32(-1e9), reach=np.array(4)), lengths=range(1, 25))


def test_a_mask_without_heads_may_stand_before_a_table_with_heads() -> None:
    rest = f"{NEAR} o1 = Unsqueeze (off, first) m = Where (o1, low, s) w = Softmax (m)"
    lifted_equal(with_heads(rest, low=np.float32(-1e9), reach=np.array(4)), lengths=range(1, 25))
