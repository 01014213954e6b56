"""The rewrites of ``fuse``: a graph in ONNX text, the ops after, and the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from conftest import ROOT, by_turns
from example_models import ATTENTION, INPUTS, SPECS
from lifting import model_of as contrib_model
from lifting import weights
from transforming import model_of, random, transformed

import graphc
from graphc import PassError
from graphc.api import Match, Model, PatternRewrite, Scene, Tensor, register_rewrite
from graphc.discover.inspection import inspect_model
from graphc.discover.reading import Told
from graphc.op_sets.registry import op_set_named
from graphc.passes.registry import load_registry
from graphc.rewriting.rewrite import REWRITES, rewrites_for
from graphc.spec.stream_schema import InputSpec, StreamSpec

ORT = "onnxruntime"


def fused(model: onnx.ModelProto, *only: str, target: str = "onnx", close: float = 1e-5) -> list[str]:
    """The ops after ``fuse`` with some of its rewrites; the outputs are what they were."""
    return transformed(model, {"fuse": {"only": list(only)}}, target=target, close=close)


def told(model: onnx.ModelProto, name: str, target: str = "onnx") -> list[str]:
    """What a rewrite says of what it left."""
    load_registry()
    scene = Scene(Model.of(model), op_set_named(target))
    REWRITES[name]().apply(scene)
    return scene.notes


def wide(body: str, **arrays: np.ndarray) -> onnx.ModelProto:
    """A model of [1, 4, 6]."""
    return model_of(body, "float[1,4,6] x", **arrays)


def test_every_rewrite_says_what_it_does_and_has_a_stage() -> None:
    load_registry()
    assert len(REWRITES) >= 18
    for cls in REWRITES.values():
        assert cls.summary(), cls.name
        assert cls.name in (ROOT / "docs" / "fusion.md").read_text(), f"docs/fusion.md does not name {cls.name}"
    assert {r.name for r in rewrites_for(op_set_named("onnx"))} < {r.name for r in rewrites_for(op_set_named(ORT))}


def test_unknown_rewrites_are_named_with_the_nearest() -> None:
    with pytest.raises(PassError, match=r"fuse.only: there is no rewrite 'layer_nrm' for the target onnx.*layer_norm"):
        fused(model_of("y = Relu (x)"), "layer_nrm")
    with pytest.raises(PassError, match=r"fuse.leave_out: there is no rewrite 'x'"):
        graphc.transform(model_of("y = Relu (x)"), [{"fuse": {"leave_out": ["x"]}}])


def test_identities_are_taken_out() -> None:
    body = """
        a = Identity (x) b = Mul (a, ones) c = Add (zeros, b) n = Not (no) d = Where (no, x, c) e = Where (n, d, x)
        y = Relu (e)
    """
    arrays = {"ones": np.ones((2, 1), np.float32), "zeros": np.zeros(8, np.float32), "no": np.zeros((1, 1), bool)}
    assert fused(model_of(body, **arrays), "identities") == ["Not", "Where", "Relu"]
    widened = model_of("y = Mul (x, ones)", ones=np.ones((3, 2, 8), np.float32))
    assert fused(widened, "identities") == ["Mul"], "the product broadcasts"


def test_what_is_computed_twice_is_computed_once() -> None:
    body = "a = Add (x, c) b = Add (x, d) e = Relu (a) f = Relu (b) y = Mul (e, f)"
    model = model_of(body, c=random(8), d=random(8))
    assert fused(model, "common_subexpressions") == ["Add", "Relu", "Mul"]
    both = model_of("y = Relu (x) z = Relu (x)", outputs="float[1,A,B] y, float[1,A,B] z")
    assert fused(both, "common_subexpressions") == ["Relu", "Relu"], "both are outputs"


def test_reshapes_and_transposes_of_single_entries() -> None:
    body = "a = Transpose <perm=[1,0,2]> (x) b = Unsqueeze (a, at) y = Reshape (b, s)"
    model = model_of(body, at=np.array([0]), s=np.array([16]))
    assert fused(model, "reshapes") == ["Reshape"]
    turned = model_of("a = Transpose <perm=[0,2,1]> (x) b = Reshape (a, s) y = Relu (b)", s=np.array([8, 2]))
    assert fused(turned, "reshapes") == ["Reshape", "Transpose", "Relu"]


@pytest.mark.parametrize("square", ["q = Mul (d, d)", "q = Pow (d, two)"])
def test_layer_norm_out_of_its_parts(square: str) -> None:
    body = f"""
        m = ReduceMean <axes=[-1]> (x) d = Sub (x, m) {square} v = ReduceMean <axes=[2]> (q) e = Add (v, eps)
        r = Sqrt (e) n = Div (d, r) g = Mul (n, scale) y = Add (g, shift)
    """
    arrays = {"two": np.float32(2), "eps": np.float32(1e-5), "scale": random(8), "shift": random(8)}
    assert fused(model_of(body, **arrays), "layer_norm") == ["LayerNormalization"]
    elsewhere = body.replace("<axes=[2]>", "<axes=[1]>")
    assert "LayerNormalization" not in fused(model_of(elsewhere, **arrays), "layer_norm")
    assert any("not over the last axis alone" in n for n in told(model_of(elsewhere, **arrays), "layer_norm"))


ERF = "a = Div (x, root) e = Erf (a) o = Add (e, one)"


@pytest.mark.parametrize(
    "body",
    [
        f"{ERF} m = Mul (x, o) y = Mul (m, half)",
        f"{ERF} h = Mul (half, x) y = Mul (o, h)",
        f"{ERF} h = Mul (o, half) y = Mul (x, h)",
    ],
)
def test_gelu_out_of_its_parts(body: str) -> None:
    arrays = {"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    assert fused(model_of(body, **arrays), "gelu", target=ORT) == ["Gelu"]
    assert "Gelu" not in fused(model_of(body, **arrays), "gelu")
    assert any("needs opset 20, but the model has opset 17" in n for n in told(model_of(body, **arrays), "gelu"))


@pytest.mark.parametrize("square", ["q = Mul (x, x)", "q = Pow (x, two)"])
@pytest.mark.parametrize(
    "quotient", ["n = Div (x, r)", "i = Reciprocal (r) n = Mul (x, i)", "i = Div (one, r) n = Mul (i, x)"]
)
def test_rms_norm_out_of_its_parts(square: str, quotient: str) -> None:
    body = f"{square} v = ReduceMean (q, axes) e = Add (v, eps) r = Sqrt (e) {quotient} y = Mul (scale, n)"
    arrays = {"two": np.float32(2), "one": np.float32(1), "eps": np.float32(1e-6), "scale": random(8)}
    model = model_of(body, opset=23, axes=np.array([-1]), **arrays)
    assert fused(model, "rms_norm") == ["RMSNormalization"]
    older = model_of(body, opset=18, axes=np.array([-1]), **arrays)
    assert "RMSNormalization needs opset 23, but the model has opset 18" in told(older, "rms_norm")[0]
    elsewhere = model_of(body, opset=23, axes=np.array([1]), **arrays)
    assert "not over the last axis alone" in told(elsewhere, "rms_norm")[0]


def test_tanh_gelu_silu_and_hard_swish_out_of_their_parts() -> None:
    cube = "c = Pow (x, three) t = Mul (c, k) s = Add (x, t) i = Mul (s, slope) h = Tanh (i) o = Add (h, one)"
    arrays = {
        "three": np.float32(3),
        "k": np.float32(0.044715),
        "slope": np.float32((2 / np.pi) ** 0.5),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    tanh = model_of(f"{cube} m = Mul (x, half) y = Mul (m, o)", **arrays)
    assert fused(tanh, "tanh_gelu", target=ORT, close=1e-4) == ["FastGelu"]
    assert fused(model_of("s = Sigmoid (x) y = Mul (x, s)"), "silu", target=ORT) == ["QuickGelu"]
    steeper = model_of("a = Mul (x, k) s = Sigmoid (a) y = Mul (s, x)", k=np.float32(1.702))
    assert fused(steeper, "silu", target=ORT, close=1e-4) == ["QuickGelu"]
    gate = model_of("h = HardSigmoid <alpha=0.16666667, beta=0.5> (x) y = Mul (x, h)")
    assert fused(gate, "hard_swish") == ["HardSwish"]
    flat = model_of("h = HardSigmoid <alpha=0.2, beta=0.5> (x) y = Mul (x, h)")
    assert fused(flat, "hard_swish") == ["HardSigmoid", "Mul"]
    assert "its slope is 0.2" in told(flat, "hard_swish")[0]


def test_a_pattern_whose_inner_tensor_is_read_elsewhere_stays() -> None:
    assert fused(model_of("s = Sigmoid (x) m = Mul (x, s) y = Add (m, s)"), "silu", target=ORT) == [
        "Sigmoid",
        "Mul",
        "Add",
    ]


def test_factors_go_back_to_weights() -> None:
    halved = wide(
        "a = MatMul (x, w) b = Add (a, v) y = Mul (b, half)", w=random(6, 5), v=random(5), half=np.float32(0.5)
    )
    assert fused(halved, "fold_scale") == ["MatMul", "Add"]
    moved = wide(
        "a = MatMul (x, w) b = Reshape (a, s) c = Transpose <perm=[0,2,1,3]> (b) y = Div (c, k)",
        w=random(6, 6),
        s=np.array([1, 4, 2, 3]),
        k=np.float32(6),
    )
    assert fused(moved, "fold_scale") == ["MatMul", "Reshape", "Transpose"]


def test_a_factor_goes_back_over_both_branches_that_read_a_tensor() -> None:
    """Scores of queries with two biases, one times a constant: the factor goes into what both read."""
    body = """
        q = MatMul (x, w) a = Add (q, u) b = Add (q, v) k = MatMul (x, w2) kt = Transpose <perm=[0,2,1]> (k)
        content = MatMul (a, kt) place = MatMul (b, table) s = Add (content, place) y = Div (s, root)
    """
    arrays = {"w": random(6, 6), "u": random(6), "v": random(1, 6), "w2": random(6, 6) + 1, "table": random(6, 4)}
    ops = fused(wide(body, root=np.float32(2), **arrays), "fold_scale")
    assert "Div" not in ops
    assert len(ops) == 8


def test_a_factor_stays_where_its_way_is_read_elsewhere_or_ends_at_a_port() -> None:
    read = wide("a = MatMul (x, w) b = Mul (a, half) y = Add (a, b)", w=random(6, 5), half=np.float32(0.5))
    assert fused(read, "fold_scale") == ["MatMul", "Mul", "Add"]
    assert "is read elsewhere too" in told(read, "fold_scale")[0]
    port = wide("a = Add (x, x) y = Mul (a, half)", half=np.float32(0.5))
    assert "'x' is a port" in told(port, "fold_scale")[0]
    bent = wide("a = MatMul (x, w) b = Tanh (a) y = Mul (b, half)", w=random(6, 5), half=np.float32(0.5))
    assert "Tanh) does not let a factor through" in told(bent, "fold_scale")[0]
    square = wide("a = MatMul (x, w) b = Mul (a, a) y = Mul (b, half)", w=random(6, 5), half=np.float32(0.5))
    assert fused(square, "fold_scale") == ["MatMul", "Mul", "Mul"]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
def test_scales_and_shifts_of_channels_go_into_convolutions(op: str, groups: int) -> None:
    shape = (4, 4 // groups, 3)
    body = f"c = {op} <group={groups}> (x, w) m = Mul (c, scale) y = Sub (m, shift)"
    model = wide(body, w=random(*shape), scale=random(4, 1), shift=random(1, 4, 1))
    assert fused(model, "fold_affine") == [op]


def test_scales_of_channels_go_into_products_on_either_side() -> None:
    behind = wide("a = MatMul (x, w) y = Div (a, scale)", w=random(6, 5), scale=random(5) + 3)
    assert fused(behind, "fold_affine") == ["MatMul"]
    front = wide("a = Mul (x, scale) y = MatMul (a, w)", w=random(6, 5), scale=random(6))
    assert fused(front, "fold_affine") == ["MatMul"]
    frames = wide("a = MatMul (x, w) y = Mul (a, scale)", w=random(6, 5), scale=random(4, 1))
    assert fused(frames, "fold_affine") == ["MatMul", "Mul"], "a scale for each frame is none of channels"


def test_products_of_one_tensor_become_one() -> None:
    body = """
        q0 = MatMul (x, wq) q = Add (q0, bq) k = MatMul (x, wk) v0 = MatMul (x, wv) v = Add (bv, v0)
        kt = Transpose <perm=[0,2,1]> (k) s = MatMul (q, kt) y = MatMul (s, v)
    """
    arrays = {name: random(6, 6 + i)[:, :6] for i, name in enumerate(("wq", "wk", "wv"))}
    model = wide(body, bq=random(6), bv=random(1, 6), **arrays)
    assert fused(model, "merge_qkv") == ["MatMul", "Add", "Split", "Transpose", "MatMul", "MatMul"]
    pair = wide("a = MatMul (x, w) b = MatMul (x, v) y = Mul (a, b)", w=random(6, 5), v=random(6, 5) + 1)
    assert fused(pair, "merge_qkv") == ["MatMul", "MatMul", "Mul"], "two without a bias gain nothing"


def test_gemms_of_one_tensor_become_one() -> None:
    body = "a = Gemm (x, w, b) c = Gemm <transB=1> (x, v, e) y = Mul (a, c)"
    model = model_of(body, "float[4,6] x", w=random(6, 5), b=random(5), v=random(5, 6), e=random(1)[:1])
    assert fused(model, "merge_qkv", "matmul_add_to_gemm") == ["Gemm", "Split", "Mul"]


def test_a_region_between_transposes_works_in_their_order() -> None:
    body = """
        t = Transpose <perm=[0,2,1]> (x) c = Conv (t, w, b) l, g = Split <axis=1> (c) s = Sigmoid (g) m = Mul (l, s)
        k = Add (m, each) y = Transpose <perm=[0,2,1]> (k)
    """
    model = wide(body, w=random(8, 6, 1), b=random(8), each=random(4, 1))
    assert fused(model, "eliminate_transposes") == ["MatMul", "Add", "Split", "Sigmoid", "Mul", "Add"]
    alone = wide("a = Relu (x) t = Transpose <perm=[0,2,1]> (a) y = Conv (t, w)", w=random(8, 6, 3))
    assert fused(alone, "eliminate_transposes") == ["Relu", "Transpose", "Conv"], "no fewer Transposes would be left"


def test_convolutions_of_some_size_become_products_of_gathered_frames_for_onnxruntime() -> None:
    body = """
        t = Transpose <perm=[0,2,1]> (x) c = Conv <dilations=[2]> (t, w, b) r = Relu (c) y = Transpose <perm=[0,2,1]> (r)
    """
    model = model_of(body, "float[1,9,64] x", w=random(64, 64, 3), b=random(64))
    gathered = ["Gather", "Reshape", "MatMul", "Add", "Relu"]
    assert fused(model, "eliminate_transposes", target=ORT, close=1e-4) == gathered
    strided = model_of(body.replace("dilations", "strides"), "float[1,9,64] x", w=random(64, 64, 3), b=random(64))
    assert fused(strided, "eliminate_transposes", target=ORT, close=1e-4) == gathered
    assert "Conv" in fused(model, "eliminate_transposes", close=1e-4)
    small = model_of(body, "float[1,9,6] x", w=random(8, 6, 3), b=random(8))
    assert "Conv" in fused(small, "eliminate_transposes", target=ORT)


def test_a_batch_of_one_is_left_out_where_products_have_a_bias() -> None:
    body = "a = MatMul (x, w) b = Add (a, v) r = Relu (b) l = LayerNormalization (r, g, h) y = Add (l, x)"
    model = wide(body, w=random(6, 6), v=random(6), g=random(6), h=random(6))
    ops = fused(model, "squeeze_batch", "matmul_add_to_gemm", target=ORT)
    assert ops == ["Reshape", "Gemm", "Relu", "LayerNormalization", "Add", "Reshape"]
    assert fused(model_of("a = Relu (x) y = Neg (a)"), "squeeze_batch") == ["Relu", "Neg"]
    several = model_of("a = MatMul (x, w) y = Add (a, v)", "float[2,4,6] x", w=random(6, 6), v=random(6))
    assert fused(several, "squeeze_batch", "matmul_add_to_gemm", target=ORT) == ["MatMul", "Add"]


def test_cuts_out_of_a_constant_stay_out_of_a_batch_of_one() -> None:
    body = (
        "c = Slice (k, zero, rows, at) a = MatMul (x, w) b = Add (a, v) d = Add (b, c) e = MatMul (d, w) y = Add (e, v)"
    )
    arrays = {"zero": np.array([0]), "rows": np.array([4]), "at": np.array([1]), "k": random(1, 9, 6)}
    model = wide(body, w=random(6, 6), v=random(6), **arrays)
    ops = fused(model, "squeeze_batch", "matmul_add_to_gemm", target=ORT)
    assert "Gemm" in ops
    assert "Slice" in ops


def test_parts_that_become_heads_alike_are_split_behind_that() -> None:
    part = " ".join(
        f"{n}r = Reshape ({n}, s) {n}h = Transpose <perm=[0,2,{p}]> ({n}r)" for n, p in (("a", "1,3"), ("b", "1,3"))
    )
    body = f"a, b, c = Split <axis=2> (x) {part} cr = Reshape (c, s) ch = Transpose <perm=[0,2,3,1]> (cr) m = MatMul (ah, ch) y = MatMul (m, bh)"
    model = model_of(body, "float[1,5,18] x", s=np.array([1, 5, 2, 3]))
    ops = fused(model, "hoist_split", "transposes", "reshapes")
    assert ops == ["Reshape", "Transpose", "Split", "Transpose", "MatMul", "MatMul"]


def test_moves_along_one_axis_become_one_by_index() -> None:
    """The shift of relative positions, as a chunk has it."""
    body = "f = Reshape (x, flat) a = Slice (f, one, end, at) r = Reshape (a, rows) y = Slice (r, zero, width, last)"
    arrays = {
        "flat": np.array([1, 2, 28]),
        "one": np.array([3]),
        "end": np.array([27]),
        "at": np.array([2]),
        "rows": np.array([1, 2, 4, 6]),
        "zero": np.array([0]),
        "width": np.array([4]),
        "last": np.array([3]),
    }
    assert fused(model_of(body, "float[1,2,4,7] x", **arrays), "moves_to_gather") == ["GatherElements"]
    turned = model_of(
        "a = Transpose <perm=[0,2,1]> (x) b = Reshape (a, s) y = Transpose <perm=[1,0]> (b)", s=np.array([8, 2])
    )
    assert fused(turned, "moves_to_gather") == ["Transpose", "Reshape", "Transpose"]


def test_flat_convolutions_for_onnxruntime() -> None:
    body = "y = Conv <group=6, pads=[2,0], dilations=[2]> (x, w, b)"
    model = model_of(body, "float[1,6,9] x", w=random(6, 1, 3), b=random(6))
    assert fused(model, "conv1d_as_2d", target=ORT) == ["Reshape", "Conv", "Reshape"]
    turned = model_of(
        "t = Transpose <perm=[0,2,1]> (x) c = Conv <group=6> (t, w, b) y = Transpose <perm=[0,2,1]> (c)",
        "float[1,9,6] x",
        w=random(6, 1, 3),
        b=random(6),
    )
    ops = fused(turned, "conv1d_as_2d", "transposes", "reshapes", target=ORT)
    assert ops == ["Reshape", "Transpose", "Conv", "Transpose", "Reshape"], (
        "Transposes next to the Conv, which takes them"
    )
    small = model_of("y = Conv (x, w)", "float[1,6,9] x", w=random(6, 6, 3))
    assert fused(small, "conv1d_as_2d", target=ORT) == ["Conv"]


def test_a_transpose_in_front_of_a_product_goes_into_it_for_onnxruntime() -> None:
    body = "t = Transpose <perm=[0,2,1]> (x) y = MatMul (x, t)"
    assert fused(model_of(body), "fused_matmul", target=ORT) == ["FusedMatMul"]
    assert fused(model_of(body), "matmul_add_to_gemm") == ["Transpose", "MatMul"]


def compiled(folder: Path, name: str, target: str, fuse: str = "fuse") -> graphc.Report:
    (folder / "spec.yaml").write_text(
        f"version: 1\nmodel: {ROOT / 'examples' / 'models' / name}.onnx\noutput: out.onnx\ntarget: {target}\n"
        f"stream: {{chunk: 16, inputs: {{features: {{axis: 1}}}}}}\npasses: [lift_state, fold_constants, {fuse}]\n"
    )
    return graphc.compile(folder / "spec.yaml")


STREAMING = [
    "conformer.dynamo",
    "conformer_lookahead.torchscript",
    "attention_relative.dynamo",
    "attention_rotary.torchscript",
]


@pytest.mark.parametrize(
    ("name", "target"),
    [
        pytest.param(name, target, marks=[pytest.mark.nightly] if (i + j) % 2 else [])
        for i, name in enumerate(STREAMING)
        for j, target in enumerate(("onnx", ORT))
    ],
)
def test_streaming_models_stay_equal_and_lose_nodes(tmp_path: Path, name: str, target: str) -> None:
    report = compiled(tmp_path, name, target).data
    lifted, _, fuse = report["passes"]
    assert fuse["max_abs"] <= 1e-5
    assert fuse["nodes_after"] <= 0.9 * lifted["nodes_after"]
    domains = {n.domain for n in onnx.load(tmp_path / "out.onnx").graph.node}
    assert ("com.microsoft" in domains) == (target == ORT)
    assert any("stay" in note for note in fuse["notes"]), "what was left is told, with the reason"


EXAMPLES = SPECS | ATTENTION


@pytest.mark.parametrize("name", by_turns(EXAMPLES, 1, share=8))
def test_every_example_is_fused_for_onnxruntime(name: str, tmp_path: Path) -> None:
    """Compiled in its own way or, where it has no spec, at the smallest chunk; validation holds each to 1e-4."""
    path = EXAMPLES[name]
    if path.suffix == ".yaml":
        lines = [line for line in path.read_text().splitlines() if "quantize" not in line]
        text = "\n".join(lines).replace("../examples", str(ROOT / "examples")).replace("../out", "out")
        text = text.replace("version: 1", f"version: 1\ntarget: {ORT}")
    else:
        inputs = INPUTS.get(path.name.partition(".")[0], {"features": InputSpec(axis=1)})
        chunk = inspect_model(path, Told(inputs))["chunk_multiple"]
        stream = StreamSpec(chunk=chunk, inputs=inputs).model_dump_json(exclude_defaults=True)
        text = f"version: 1\nmodel: {path}\noutput: out.onnx\ntarget: {ORT}\nstream: {stream}\npasses: [lift_state, fold_constants, fuse]\n"
    (tmp_path / "spec.yaml").write_text(text)
    report = graphc.compile(tmp_path / "spec.yaml").data
    assert all(record["max_abs"] <= 1e-4 for record in report["passes"])


def test_attention_with_a_cache_is_one_op_for_onnxruntime(tmp_path: Path) -> None:
    report = compiled(tmp_path, "attention_relative.dynamo", ORT).data
    assert report["passes"][-1]["counts"]["multi_head_attention"] == 1
    assert report["passes"][-1]["counts"]["query_bias"] == 1
    assert any("its scores are not a product" in n for n in report["passes"][-1]["notes"]), "queries of one layer wait"
    plain = compiled(tmp_path, "attention_relative.dynamo", ORT, "fuse: {leave_out: [multi_head_attention]}").data
    assert "multi_head_attention" not in plain["passes"][-1]["counts"]


QUERIES = """g = Gemm (x, w, b) r = Reshape (g, three) q, k, v = Split <axis=2> (r)
y = com.microsoft.MultiHeadAttention <num_heads=2> (q, k, v, own, none, moved)
h = Reshape (q, heads) t = Transpose <perm=[0,2,1,3]> (h) a = Add (t, u) moved = MatMul (a, p)"""


@pytest.mark.parametrize(
    ("old", "new", "gone"),
    [
        ("", "", True),
        ("<axis=2>", "<axis=1>", False),
        ("a = Add (t, u) moved = MatMul (a, p)", "moved = MatMul (t, p)", False),
        ("(x, w, b)", "<beta=0.5> (x, w, b)", False),
        ("q, k, v = Split <axis=2> (r)", "k, q, v = Split <axis=2> (r)", True),
        ("own, none", "all_own, none", False),
    ],
)
def test_the_bias_of_queries_goes_into_their_product(old: str, new: str, gone: bool) -> None:
    rows = 12 if "axis=1" in new else 4
    sizes = [1, rows, 8] if rows == 12 else [1, rows, 24]
    arrays = {
        "w": random(6, sizes[-1]),
        "b": random(sizes[-1]),
        "three": np.array(sizes),
        "heads": np.array([1, 4, 2, 4]),
        "own": np.concatenate([random(8), np.zeros(16, np.float32)]),
        "all_own": random(24),
        "u": random(2, 1, 4),
        "p": random(4, 4),
    }
    text = QUERIES.replace(old, new).replace("none", '""') if old else QUERIES.replace("none", '""')
    model = weights(contrib_model(text, f"float[{rows},6] x"), **arrays)
    assert "MultiHeadAttention" in fused(model, "query_bias", target=ORT)
    made = graphc.transform(model, [{"fuse": {"only": ["query_bias"]}}], ORT)
    attention = next(n for n in made.graph.node if n.op_type == "MultiHeadAttention")
    assert (attention.input[3] == "") == gone


def test_caches_change_their_layout_with_the_region_that_they_lie_in(tmp_path: Path) -> None:
    """The convolution module of a Conformer: channels first as exported, frames first when fused."""
    body = """
        t = Transpose <perm=[0,2,1]> (x) c = Conv (t, w, b) l, g = Split <axis=1> (c) s = Sigmoid (g) m = Mul (l, s)
        p = Pad (m, pads) d = Conv <group=72> (p, v) y = Transpose <perm=[0,2,1]> (d)
    """
    arrays = {"w": random(144, 72, 1) * 0.1, "b": random(144), "v": random(72, 1, 5)}
    arrays["pads"] = np.array([0, 0, 4, 0, 0, 0])
    onnx.save(model_of(body, "float[1,T,72] x", **arrays), tmp_path / "module.onnx")
    (tmp_path / "spec.yaml").write_text(
        "version: 1\nmodel: module.onnx\noutput: out.onnx\nstream: {chunk: 4, inputs: {x: {axis: 1}}}\n"
        "passes: [lift_state, fold_constants, fuse]\n"
    )
    report = graphc.compile(tmp_path / "spec.yaml").data
    assert [s["shape"] for s in report["states"]] == [[1, 4, 72]], "frames first, channels last"
    assert report["passes"][-1]["max_abs"] <= 1e-5
    session = graphc.StreamSession(tmp_path / "out.onnx")
    assert all(list(session.states[s.input].shape) == s.shape for s in session.manifest.states)


class DoubleNegation(PatternRewrite):
    """Two Neg are none."""

    name = "double_negation"
    stage = "tidy"
    patterns: ClassVar[Sequence[object]] = (lambda op, x: op.Neg(op.Neg(x)),)  # type: ignore[assignment]

    def replacement(self, scene: Scene, found: Match) -> Tensor | str:
        return found["x"]


def test_pass_authors_declare_rewrites_of_their_own() -> None:
    register_rewrite(DoubleNegation)
    try:
        assert fused(model_of("a = Neg (x) b = Neg (a) y = Relu (b)"), "double_negation") == ["Relu"]
        with pytest.raises(PassError, match="two rewrites are named 'double_negation'"):
            register_rewrite(type("Other", (PatternRewrite,), {"name": "double_negation", "stage": "tidy"}))
    finally:
        del REWRITES["double_negation"]


def test_a_constant_that_raises_the_rank_keeps_its_pattern_from_firing() -> None:
    model = model_of(
        "a = Mul (x, k) s = Sigmoid (a) y = Mul (s, x)", "float[3,4] x", k=np.full((1, 1, 1), 1.5, np.float32)
    )
    assert fused(model, "silu", target=ORT) == ["Mul", "Sigmoid", "Mul"]
    assert "a constant would raise the rank" in told(model, "silu", ORT)[0]


def test_regions_that_share_an_edge_change_one_after_the_other() -> None:
    turn = "Transpose <perm=[0,2,1]>"
    body = f"a = {turn} (x) b = Softmax (a) c = {turn} (b) d = Softmax (c) y = {turn} (d)"
    assert fused(model_of(body, "float[2,5,8] x"), "eliminate_transposes").count("Transpose") <= 1


def test_scalar_weights_and_unused_means_are_scaled_rightly() -> None:
    model = wide(
        "a = MatMul (x, w) b = Add (a, c) y = Mul (b, two)", w=random(6, 5), c=np.float32(0.3), two=np.float32(2)
    )
    assert fused(model, "fold_scale") == ["MatMul", "Add"]
    body = "h = MatMul (x, w) n, mean = LayerNormalization (h, g, b) m = Mul (mean, half) y = Add (n, m)"
    arrays = {"w": random(6, 6), "g": random(6), "b": random(6), "half": np.float32(0.5)}
    assert fused(wide(body, **arrays), "fold_scale") == ["MatMul", "LayerNormalization", "Mul", "Add"]


def test_weights_that_would_overflow_stay_apart() -> None:
    body = "c = Cast <to=10> (x) a = MatMul (c, w) m = Mul (a, s) y = Cast <to=1> (m)"
    arrays = {
        "w": np.full((6, 5), 300, np.float16),
        "s": np.full(5, 300, np.float16) * np.arange(1, 6, dtype=np.float16),
    }
    made = graphc.transform(wide(body, **arrays), [{"fuse": {"only": ["fold_affine"]}}])
    assert [n.op_type for n in made.graph.node] == ["Cast", "MatMul", "Mul", "Cast"]


def test_a_shift_that_widens_a_convolution_is_no_bias() -> None:
    model = model_of("c = Conv (x, w) y = Add (c, b)", "float[1,4,T] x", w=random(1, 4, 3), b=random(1, 6, 1))
    assert fused(model, "fold_affine") == ["Conv", "Add"]
