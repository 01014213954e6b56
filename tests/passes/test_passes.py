"""The built-in passes: a graph in ONNX text, the ops after, and the numbers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from transforming import model_of, random, transformed

import graphc
from graphc import PassError
from graphc.ir.ort_session import Session


def test_fold_evaluates_what_no_input_changes() -> None:
    body = "s = Shape (w) a = Cast <to=1> (s) b = ReduceProd (a) y = Mul (x, b)"
    assert transformed(model_of(body, w=random(2, 3)), "fold_constants") == ["Mul"]


def test_fold_knows_the_shape_of_fixed_inputs() -> None:
    body = "s = Shape <start=1> (x) a = Cast <to=1> (s) b = ReduceSum <keepdims=0> (a) y = Mul (x, b)"
    assert transformed(model_of(body), "fold_constants") == ["Mul"]
    symbolic = model_of(body, "float[1,2,T] x")
    assert "Shape" in transformed(symbolic, "fold_constants")


def test_fold_takes_the_branch_of_a_constant_condition() -> None:
    body = """
        c = Cast <to=9> (one)
        y = If (c) <then_branch = t () => (float[1,2,8] a) { a = Relu (x) },
                    else_branch = e () => (float[1,2,8] b) { b = Neg (x) }>
    """
    assert set(transformed(model_of(body, one=np.array(1)), "fold_constants")) == {"Relu", "Identity"}


def test_fold_makes_nothing_huge() -> None:
    model = model_of(
        "z = ConstantOfShape (s) r = ReduceSum <keepdims=0> (z) y = Add (x, r)", s=np.array([1 << 20, 1 << 10])
    )
    made = graphc.transform(model, ["fold_constants"])
    assert "ConstantOfShape" in [n.op_type for n in made.graph.node]
    assert made.ByteSize() < 10_000


def test_fold_keeps_quantized_weights() -> None:
    body = "w = DequantizeLinear (q, s) y = Conv (x, w)"
    model = model_of(body, q=np.ones((2, 2, 1), np.int8), s=np.float32(0.1))
    assert transformed(model, "fold_constants") == ["DequantizeLinear", "Conv"]


def test_fold_keeps_random_ops() -> None:
    model = model_of("r = RandomNormal <shape=[1]> () n = Sub (r, r) y = Add (x, n)")
    assert "RandomNormal" in transformed(model, "fold_constants")


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@pytest.mark.parametrize("groups", [1, 2])
def test_fuse_batch_norm_into_the_conv_in_front(op: str, groups: int) -> None:
    shape = (4, 2 // groups, 3) if op == "Conv" else (2, 4 // groups, 3)
    body = f"c = {op} <group={groups}> (x, w) y = BatchNormalization (c, g, b, m, v)"
    model = model_of(body, w=random(*shape), g=random(4), b=random(4), m=random(4), v=np.abs(random(4)) + 0.3)
    assert transformed(model, "fuse") == [op]


def test_fuse_leaves_batch_norm_where_the_conv_is_read_elsewhere() -> None:
    body = "c = Conv (x, w) n = BatchNormalization (c, g, b, m, v) y = Add (c, n)"
    model = model_of(body, w=random(4, 2, 1), g=random(4), b=random(4), m=random(4), v=np.abs(random(4)) + 0.3)
    assert transformed(model, "fuse") == ["Conv", "BatchNormalization", "Add"]


def test_fuse_matmul_and_add_of_rank_2_into_gemm() -> None:
    assert transformed(
        model_of("p = MatMul (x, w) y = Add (b, p)", "float[3,4] x", w=random(4, 5), b=random(5)), "fuse"
    ) == ["Gemm"]
    rank_3 = model_of("p = MatMul (x, w) y = Add (p, b)", w=random(8, 5), b=random(5))
    assert transformed(rank_3, "fuse") == ["MatMul", "Add"]


def test_fuse_zero_pad_into_conv() -> None:
    pads = np.array([0, 0, 3, 0, 0, 1])
    assert transformed(model_of("p = Pad (x, pads) y = Conv (p, w)", pads=pads, w=random(3, 2, 3)), "fuse") == ["Conv"]
    filled = model_of("p = Pad (x, pads, one) y = Conv (p, w)", pads=pads, one=np.float32(1), w=random(3, 2, 3))
    assert transformed(filled, "fuse") == ["Pad", "Conv"]


def test_fuse_takes_out_identities_transposes_and_reshapes() -> None:
    body = """
        a = Identity (x) b = Transpose <perm=[0,2,1]> (a) c = Transpose <perm=[0,2,1]> (b)
        d = Reshape (c, s) e = Reshape (d, t) y = Relu (e)
    """
    model = model_of(body, s=np.array([16]), t=np.array([1, 4, 4]))
    assert transformed(model, "fuse") == ["Reshape", "Relu"]
    turns = "a = Transpose <perm=[2,0,1]> (x) y = Transpose <perm=[2,0,1]> (a)"
    assert transformed(model_of(turns, "float[3,2,8] x"), "fuse") == ["Transpose"]
    assert transformed(model_of("y = Identity (x)"), "fuse") == ["Identity"], "both sides are ports"


def test_simplify_goes_on_with_the_graph_where_onnxsim_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from graphc_passes import simplify

    model = model_of("a = Identity (x) y = Relu (a)")
    assert transformed(model, "simplify") == ["Relu"]
    large = model_of(
        "a = Identity (x) b = MatMul (a, v) y = MatMul (b, w)", v=random(8, 1_500_000), w=random(1_500_000, 4)
    )
    assert transformed(large, {"simplify": {"memory_gb": 0.01}}) == ["Identity", "MatMul", "MatMul"]
    long = model_of("a0 = Identity (x)" + "".join(f" a{i + 1} = Sin (a{i})" for i in range(800)) + " y = Relu (a800)")
    assert transformed(long, {"simplify": {"timeout_s": 1e-9}})[0] == "Identity"
    monkeypatch.setattr(simplify.WORKER, "ask", lambda *_: "onnxsim was killed by signal 11")
    assert transformed(model, "simplify") == ["Identity", "Relu"]


def test_quantize_lists_what_stays_in_float() -> None:
    from graphc_passes.quantize import Quantize
    from graphc_passes.quantize import QuantizeOptions as Config

    from graphc.api import Model, PassContext

    body = "c = Conv (x, k) p = MatMul (c, w) y = MatMul (p, v)"
    model = model_of(body, "float[1,8,32] x", k=random(16, 8, 1), w=random(32, 32), v=random(32, 32))
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    result = Quantize().run(Model.of(model), Config(exclude_nodes=["n2"]), PassContext(None, None, model, 17))
    ops = [n.op for n in result.model.graph.nodes]
    assert "MatMulInteger" in ops
    assert result.counts == {"weights in float": 2, "weights in integers": 1}
    assert ops.count("MatMul") == 1
    told = "\n".join(result.notes)
    assert "k of n0 stays float: integer Conv is several times slower" in told
    assert "v of n2 stays float: exclude_nodes names it" in told
    with pytest.raises(PassError, match="there is no node 'nope'"):
        Quantize().run(Model.of(model), Config(exclude_nodes=["nope"]), PassContext(None, None, model, 17))


def test_transform_leaves_the_model_and_its_ports_alone() -> None:
    model = model_of("a = Identity (x) y = Relu (a)")
    model.metadata_props.add(key="who", value="made it")
    before = model.SerializeToString()
    made = graphc.transform(model, ["fold_constants", "simplify", "fuse"])
    assert model.SerializeToString() == before
    assert [p.name for p in made.graph.input] == ["x"]
    assert {p.key: p.value for p in made.metadata_props} == {"who": "made it"}


def test_transform_names_unknown_passes_and_options() -> None:
    model = model_of("y = Relu (x)")
    with pytest.raises(PassError, match=r"there is no pass 'fold'"):
        graphc.transform(model, ["fold"])
    with pytest.raises(PassError, match=r"fold_constants.max: Extra inputs"):
        graphc.transform(model, [{"fold_constants": {"max": 3}}])
    with pytest.raises(PassError, match="needs a stream"):
        graphc.transform(model, ["lift_state"])


def test_local_functions_overridable_inputs_and_odd_attributes_survive() -> None:
    function = helper.make_function(
        "mine", "twice", ["a"], ["b"], [helper.make_node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    nodes = [
        helper.make_node("twice", ["x"], ["t"], domain="mine"),
        helper.make_node("Add", ["t", "d"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [3]) for n in ("x", "d", "y")]
    graph = helper.make_graph(nodes, "g", ports[:2], ports[2:], [numpy_helper.from_array(np.ones(3, np.float32), "d")])
    model = helper.make_model(
        graph,
        functions=[function],
        ir_version=8,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)],
    )
    made = graphc.transform(model, ["fold_constants", "fuse"])
    assert len(made.functions) == 1
    x = np.arange(3, dtype=np.float32)
    assert np.array_equal(Session(made).run({"x": x})["y"], 2 * x + 1)
    assert np.array_equal(Session(made).run({"x": x, "d": x})["y"], 3 * x)


@pytest.mark.parametrize("passes", ["fuse", [5], None, [{"fuse": 3}]])
def test_transform_takes_a_list_of_passes_alone(passes: object) -> None:
    with pytest.raises(PassError):
        graphc.transform(model_of("y = Relu (x)"), passes)  # type: ignore[arg-type]
    with pytest.raises(graphc.ModelError, match="expected a ModelProto"):
        graphc.transform("model.onnx", ["fuse"])  # type: ignore[arg-type]
