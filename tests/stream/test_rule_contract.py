"""One contract for every streaming rule: at any chunk, and in calls of any size, the stream equals the offline model."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from lifting import model_of, random, weights
from promise import lifted_at, streams_equal
from rows_of_features import ARRAYS, LOOKED_UP, ML_CASES

from graphc.offline.prepare import offline_of
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.lowering.rule import RULES, load_rules
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import session_of

load_rules()
OWN = {op for op, (_, owner) in RULES.items() if owner.startswith("graphc.")}
HALF = "s = Sigmoid (x)"
FLOATS = [
    "Abs",
    "Acos",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "Ceil",
    "Celu",
    "Cos",
    "Cosh",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "LeakyRelu",
    "Log",
    "Mish",
    "Neg",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "Sin",
    "Sinh",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
]
PAIRS = ["Add", "Div", "Max", "Mean", "Min", "Mul", "PRelu", "Pow", "Sub", "Sum"]
COMPARED = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"]
REDUCED = [
    f"Reduce{how}" for how in ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]
]
TURNED = "t = Transpose <perm=[0,2,1]> (x)"
W = {"w": random(4, 2), "b": random(4)}
KERNEL = {"k": random(3, 2, 3)}
QUANTIZED = "q = QuantizeLinear (x, scale, zero)"
SCALE = {"scale": np.float32(0.05), "zero": np.uint8(128)}
BOOLS = "p = Greater (x, low) q = Less (x, high)"
WHOLE = "i = Cast <to=6> (x)"
LIMITS = {"low": np.float32(-0.3), "high": np.float32(0.3)}
SCAN = (
    "a = Transpose <perm=[2,0,1]> (x) last, ys = Scan <num_scan_inputs=1, body = step (float[1,2] h, float[1,2] f) => (float[1,2] n, float[1,2] o) "
    "{ m = Mul (h, half) n = Add (m, f) o = Identity (n) }> (start, a) y = Transpose <perm=[1,2,0]> (ys)"
)
LOOP = (
    "a = Transpose <perm=[2,0,1]> (x) s = Shape <start=2, end=3> (x) n = Squeeze (s) last, ys = Loop <body = turn (int64 i, bool go, float[1,2] h) => "
    "(bool on, float[1,2] n2, float[1,2] o) { on = Identity (go) f = Gather <axis=0> (a, i) m = Mul (h, half) n2 = Add (m, f) o = Identity (n2) }> "
    "(n, yes, start) y = Transpose <perm=[1,2,0]> (ys)"
)
CARRIED = {"half": np.float32(0.5), "start": np.zeros((1, 2), np.float32), "yes": np.array(True)}


def recurrent(op: str, gates: int) -> tuple[str, dict[str, np.ndarray]]:
    text = f"a = Transpose <perm=[2,0,1]> (x) ys, h = {op} <hidden_size=3> (a, w, r) z = Squeeze (ys, one) y = Transpose <perm=[1,2,0]> (z)"
    return text, {"w": random(1, 3 * gates, 2), "r": random(1, 3 * gates, 3), "one": np.array([1])}


CASES: dict[str, tuple[str, dict[str, np.ndarray]]] = {
    **ML_CASES,
    **{op: (f"{HALF} y = {op} (s)", {}) for op in FLOATS},
    "Acosh": (f"{HALF} e = Exp (s) y = Acosh (e)", {}),
    **{op: (f"{HALF} y = {op} (s, c)", {"c": random(1, 2, 1) + 2}) for op in PAIRS},
    **{op: (f"e = {op} (x, c) y = Cast <to=1> (e)", {"c": random(1, 2, 1)}) for op in COMPARED},
    **{op: (f"{HALF} y = {op} <keepdims=1> (s, at)", {"at": np.array([1])}) for op in ("ReduceSum",)},
    **{op: (f"{HALF} y = {op} <axes=[1], keepdims=1> (s)", {}) for op in REDUCED if op != "ReduceSum"},
    **{op: (f"{BOOLS} e = {op} (p, q) y = Cast <to=1> (e)", LIMITS) for op in ("And", "Or", "Xor")},
    "Not": (f"{BOOLS} e = Not (p) y = Cast <to=1> (e)", LIMITS),
    "Where": (f"{BOOLS} y = Where (p, x, low)", LIMITS),
    "Cast": (f"{WHOLE} y = Cast <to=1> (i)", {}),
    "CastLike": (f"{WHOLE} y = CastLike (i, x)", {}),
    "Clip": ("y = Clip (x, low, high)", LIMITS),
    "Mod": ("y = Mod <fmod=1> (x, high)", LIMITS),
    "IsInf": ("e = IsInf (x) y = Cast <to=1> (e)", {}),
    "IsNaN": ("e = IsNaN (x) y = Cast <to=1> (e)", {}),
    "BitwiseNot": (f"{WHOLE} e = BitwiseNot (i) y = Cast <to=1> (e)", {}),
    **{
        op: (f"{WHOLE} e = {op} (i, c) y = Cast <to=1> (e)", {"c": np.int32([[[3], [5]]])})
        for op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor")
    },
    "BitShift": (
        'u = Abs (x) i = Cast <to=12> (u) e = BitShift <direction="LEFT"> (i, c) y = Cast <to=1> (e)',
        {"c": np.uint32([[[1], [2]]])},
    ),
    "com.microsoft::Gelu": ("y = com.microsoft.Gelu (x)", {}),
    "com.microsoft::FastGelu": ("y = com.microsoft.FastGelu (x)", {}),
    "com.microsoft::QuickGelu": ("y = com.microsoft.QuickGelu (x)", {}),
    "com.microsoft::BiasGelu": (f"{TURNED} y = com.microsoft.BiasGelu (t, b)", {"b": random(2)}),
    "Concat": ("n = Neg (x) y = Concat <axis=1> (x, n)", {}),
    "Conv": ("y = Conv <pads=[2,0]> (x, k)", KERNEL),
    "com.microsoft::FusedConv": ('y = com.microsoft.FusedConv <pads=[1,1], activation="Relu"> (x, k)', KERNEL),
    "ConvInteger": (
        f"{QUANTIZED} c = ConvInteger <pads=[2,0]> (q, k, zero) y = Cast <to=1> (c)",
        {**SCALE, "k": np.int8([[[1, -2, 3], [2, 0, 1]]])},
    ),
    "QLinearConv": (
        f"{QUANTIZED} c = QLinearConv <pads=[2,0]> (q, scale, zero, k, scale, none, scale, zero) y = DequantizeLinear (c, scale, zero)",
        {**SCALE, "k": np.int8([[[1, -2, 3], [2, 0, 1]]]), "none": np.int8(0)},
    ),
    "ConvTranspose": ("y = ConvTranspose <strides=[2]> (x, k)", {"k": random(2, 3, 4)}),
    "CumSum": ("y = CumSum (x, at)", {"at": np.array(2)}),
    "Dropout": ("y = Dropout (x)", {}),
    "Expand": ("y = Expand (x, sizes)", {"sizes": np.array([3, 1, 1])}),
    "Tile": ("y = Tile (x, times)", {"times": np.array([1, 3, 1])}),
    "Gather": ("y = Gather <axis=1> (x, at)", {"at": np.array([1, 0, 1])}),
    "GatherElements": (
        f"{TURNED} n = Shape (t) i = Expand (at, n) y = GatherElements <axis=2> (t, i)",
        {"at": np.array([[[1, 0]]])},
    ),
    "ScatterElements": (
        f"{TURNED} n = Shape (t) i = Expand (at, n) j = Slice (i, zero, one, two) u = Neg (t) v = Slice (u, zero, one, two) y = ScatterElements <axis=2> (t, j, v)",
        {"at": np.array([[[1, 0]]]), "zero": np.array([0]), "one": np.array([1]), "two": np.array([2])},
    ),
    "Einsum": ('y = Einsum <equation="bct,oc->bot"> (x, w)', W),
    "Gemm": (
        f"{TURNED} f = Squeeze (t, front) g = Gemm <transB=1> (f, w, b) y = Unsqueeze (g, front)",
        {**W, "front": np.array([0])},
    ),
    "MatMul": (f"{TURNED} y = MatMul (t, w)", {"w": random(2, 4)}),
    "MatMulInteger": (
        f"{TURNED} q = QuantizeLinear (t, scale, zero) m = MatMulInteger (q, w, zero) y = Cast <to=1> (m)",
        {**SCALE, "w": np.int8([[1, 2], [-3, 4]])},
    ),
    "com.microsoft::QLinearAdd": (
        f"{TURNED} q = QuantizeLinear (t, scale, zero) m = com.microsoft.QLinearAdd (q, scale, zero, q, scale, zero, scale, zero) y = DequantizeLinear (m, scale, zero)",
        SCALE,
    ),
    "com.microsoft::QLinearMul": (
        f"{TURNED} q = QuantizeLinear (t, scale, zero) m = com.microsoft.QLinearMul (q, scale, zero, q, scale, zero, scale, zero) y = DequantizeLinear (m, scale, zero)",
        SCALE,
    ),
    "com.microsoft::QLinearSigmoid": (
        f"{TURNED} q = QuantizeLinear (t, scale, zero) m = com.microsoft.QLinearSigmoid (q, scale, zero, scale, zero) y = DequantizeLinear (m, scale, zero)",
        SCALE,
    ),
    "com.microsoft::QLinearLeakyRelu": (
        f"{TURNED} q = QuantizeLinear (t, scale, zero) m = com.microsoft.QLinearLeakyRelu (q, scale, zero, scale, zero) y = DequantizeLinear (m, scale, zero)",
        SCALE,
    ),
    "com.microsoft::MatMulNBits": (
        f"{TURNED} y = com.microsoft.MatMulNBits <K=2, N=3, bits=4, block_size=16> (t, b, s)",
        {"b": np.arange(24, dtype=np.uint8).reshape(3, 1, 8), "s": random(3)},
    ),
    "QLinearMatMul": (
        f"{TURNED} q = QuantizeLinear (t, scale, zero) m = QLinearMatMul (q, scale, zero, w, scale, none, scale, zero) y = DequantizeLinear (m, scale, zero)",
        {**SCALE, "w": np.int8([[1, 2], [-3, 4]]), "none": np.int8(0)},
    ),
    "QuantizeLinear": (f"{QUANTIZED} y = DequantizeLinear (q, scale, zero)", SCALE),
    "DequantizeLinear": (f"{QUANTIZED} y = DequantizeLinear (q, scale, zero)", SCALE),
    "Loop": (LOOP, CARRIED),
    "Scan": (SCAN, CARRIED),
    "LSTM": recurrent("LSTM", 4),
    "GRU": recurrent("GRU", 3),
    "RNN": recurrent("RNN", 1),
    "BatchNormalization": ("y = BatchNormalization (x, c, c, c, d)", {"c": random(2), "d": np.float32([1, 2])}),
    "InstanceNormalization": ("r = Transpose <perm=[2,1,0]> (x) y = InstanceNormalization (r, c, c)", {"c": random(2)}),
    "GroupNormalization": (
        "r = Transpose <perm=[2,1,0]> (x) y = GroupNormalization <num_groups=1> (r, c, c)",
        {"c": random(1)},
    ),
    "LayerNormalization": (f"{TURNED} y = LayerNormalization (t, c)", {"c": random(2)}),
    "RMSNormalization": (f"{TURNED} y = RMSNormalization (t, c)", {"c": random(2)}),
    "SimplifiedLayerNormalization": (
        f"{TURNED} y = SimplifiedLayerNormalization <axis=-1> (t, c)",
        {"c": random(2)},
    ),
    "com.microsoft::SkipLayerNormalization": (
        f"{TURNED} n = Neg (t) y = com.microsoft.SkipLayerNormalization (t, n, c)",
        {"c": random(2)},
    ),
    "com.microsoft::SkipSimplifiedLayerNormalization": (
        f"{TURNED} n = Cos (t) y = com.microsoft.SkipSimplifiedLayerNormalization (t, n, c)",
        {"c": random(2)},
    ),
    "LRN": ("u = Unsqueeze (x, at) l = LRN <size=3> (u) y = Squeeze (l, at)", {"at": np.array([3])}),
    "LpNormalization": ("y = LpNormalization <axis=1> (x)", {}),
    "MeanVarianceNormalization": ("y = MeanVarianceNormalization <axes=[1]> (x)", {}),
    "OneHot": (
        "m = ArgMax <axis=1, keepdims=0> (x) o = OneHot (m, depth, c) y = Transpose <perm=[0,2,1]> (o)",
        {"depth": np.array(2), "c": np.float32([0, 1])},
    ),
    "Pad": ("y = Pad (x, amounts)", {"amounts": np.array([0, 1, 2, 0, 0, 0])}),
    "AveragePool": ("y = AveragePool <kernel_shape=[3], pads=[2,0]> (x)", {}),
    "MaxPool": ("y = MaxPool <kernel_shape=[3], pads=[1,1]> (x)", {}),
    "LpPool": ("y = LpPool <kernel_shape=[2], strides=[2]> (x)", {}),
    "ArgMax": ("m = ArgMax <axis=1> (x) y = Cast <to=1> (m)", {}),
    "ArgMin": ("m = ArgMin <axis=1> (x) y = Cast <to=1> (m)", {}),
    **{
        op: (f"r = Transpose <perm=[2,0,1]> (x) y = {op} (r)", {})
        for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
    },
    **{op: (f"y = {op} <axis=1> (x)", {}) for op in ("Softmax", "LogSoftmax", "Hardmax")},
    "TopK": ("y, at = TopK <axis=1> (x, k)", {"k": np.array([1])}),
    "Reshape": (f"{TURNED} y = Reshape (t, sizes)", {"sizes": np.array([0, 0, 2, 1])}),
    "Flatten": (
        f"{TURNED} f = Squeeze (t, front) g = Unsqueeze (f, last) h = Flatten (g) y = Unsqueeze (h, front)",
        {"front": np.array([0]), "last": np.array([2])},
    ),
    "DepthToSpace": (
        "u = Concat <axis=1> (x, x) v = Unsqueeze (u, at) d = DepthToSpace <blocksize=2> (v) y = Identity (d)",
        {"at": np.array([3])},
    ),
    "SpaceToDepth": (
        "u = Unsqueeze (x, at) v = Concat <axis=3> (u, u) y = SpaceToDepth <blocksize=2> (v)",
        {"at": np.array([3])},
    ),
    "Resize": (
        'y = Resize <mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"> (x, , by)',
        {"by": np.float32([1, 1, 2])},
    ),
    "ReverseSequence": (
        "r = Transpose <perm=[1,0,2]> (x) y = ReverseSequence <batch_axis=1, time_axis=0> (r, count)",
        {"count": np.array([2])},
    ),
    "ScatterND": ("n = Neg (x) y = ScatterND (x, at, c)", {"at": np.array([[[0, 0]]]), "c": random(1, 1, 1)}),
    "Slice": (
        "y = Slice (x, start, end, at, step)",
        {"start": np.array([1]), "end": np.array([2**62]), "at": np.array([2]), "step": np.array([2])},
    ),
    "DFT": ("u = Unsqueeze (x, last) r = Transpose <perm=[0,2,1,3]> (u) y = DFT <axis=2> (r)", {"last": np.array([3])}),
    "STFT": (
        "f = Slice (x, start, end, at) s = Reshape (f, flat) y = STFT (s, hop, window)",
        {
            "start": np.array([0]),
            "end": np.array([1]),
            "at": np.array([1]),
            "flat": np.array([1, -1]),
            "hop": np.array(2),
            "window": random(4),
        },
    ),
    "Split": ("a, c = Split <axis=1, num_outputs=2> (x) y = Mul (a, c)", {}),
    "Squeeze": (
        "u = Slice (x, start, end, at) s = Squeeze (u, at) y = Unsqueeze (s, at)",
        {"start": np.array([0]), "end": np.array([1]), "at": np.array([1])},
    ),
    "Transpose": (f"{TURNED} y = Relu (t)", {}),
    "Trilu": (
        "t = Transpose <perm=[2,1,0]> (x) p = Concat <axis=2> (t, t) m = Trilu (p) s = ReduceSum <keepdims=0> (m, at) "
        "q = Transpose <perm=[1,0]> (s) y = Unsqueeze (q, zero)",
        {"at": np.array([1]), "zero": np.array([0])},
    ),
    "Unsqueeze": ("u = Unsqueeze (x, at) y = Relu (u)", {"at": np.array([1])}),
}
NOT_HERE = {
    "SplitToSequence": "a sequence is no tensor: refused",
    "Upsample": "deprecated: opset 9 at most, below what graphc lifts",
    "DynamicQuantizeLinear": "its scale is of the whole tensor, so that it is refused over time (tests/stream/test_rules.py)",
    "com.microsoft::DynamicQuantizeMatMul": "likewise",
}
OPSETS = {
    "Gelu": 20,
    "Swish": 24,
    "RMSNormalization": 23,
    "BitwiseNot": 18,
    "BitwiseAnd": 18,
    "BitwiseOr": 18,
    "BitwiseXor": 18,
    "Mish": 18,
    "Split": 18,
    "GroupNormalization": 18,
    "LpPool": 18,
}


def test_every_rule_has_a_case() -> None:
    assert set(CASES) | set(NOT_HERE) == OWN


@pytest.mark.parametrize("op", sorted(CASES))
def test_a_rule_keeps_the_contract(op: str) -> None:
    body, arrays = CASES[op]
    model = weights(model_of(body, opset=OPSETS.get(op, 17)), **arrays)
    assert op.rpartition("::")[2] in {n.op_type for n in model.graph.node}
    offline = offline_of(onnx.shape_inference.infer_shapes(model), StreamSpec(chunk=1, inputs={"x": InputSpec(axis=2)}))
    smallest = analyse(offline)
    for times in (1, 3, 0):
        session = session_of(lifted_at(smallest, times))
        verdict = streams_equal(offline, session, range(session.manifest.min_frames, 22, 3))
        assert verdict.kind == "equal", f"{times}: {verdict.detail}"


def test_a_table_of_classes_looked_up_for_each_frame() -> None:
    model = weights(model_of(LOOKED_UP), table=np.float32([3, 7]), **ARRAYS)
    analysis = analyse(offline_of(model, StreamSpec(chunk=1)))
    assert streams_equal(analysis.offline, session_of(lifted_at(analysis, 2)), range(1, 20)).kind == "equal"
