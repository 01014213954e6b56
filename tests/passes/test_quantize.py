"""``quantize`` and ``convert_float``: modes, calibration on streams, states, what stays in float, mixed precision."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import soundfile
from commands import graphc as command
from commands import graphc as graphc_command
from conftest import ROOT
from onnx import numpy_helper
from transforming import model_of, random

import graphc
import graphc.offline.recordings
from graphc import GraphcError, InputError, PassError, ValidationError
from graphc.ir.ort_session import Session
from graphc.measure.quant_ranges import Histogram, Range, chosen_range

MODELS = ROOT / "examples" / "models"
TAGGER = MODELS / "lstm_tagger.torchscript.onnx"
CONFORMER = MODELS / "conformer.dynamo.onnx"
QAT = MODELS / "qat_tagger.torchscript.onnx"
TORCHAO = MODELS / "qat_conv.torchao.onnx"
ATTENTION = MODELS / "attention_sdpa.dynamo.onnx"


def compiled(
    folder: Path, passes: str, model: Path = TAGGER, chunk: int = 5, target: str = "onnx", more: str = ""
) -> dict[str, Any]:
    """The report of a compilation into ``out.onnx``."""
    (folder / "spec.yaml").write_text(
        f"""
version: 1
model: {model}
output: out.onnx
target: {target}
stream: {{chunk: {chunk}, frame_ms: 10}}
passes: [lift_state, fold_constants, fuse, {passes}]
{more}
"""
    )
    return graphc.compile(folder / "spec.yaml").data


def snr(report: dict[str, Any]) -> float:
    return min(d["snr_db"] for d in report["passes"][-1]["against_offline"])


def ops(folder: Path) -> list[str]:
    return [n.op_type for n in onnx.load(folder / "out.onnx").graph.node]


@pytest.mark.nightly
def test_static_ranges_come_from_streams_with_their_states(tmp_path: Path) -> None:
    loose = "tolerance: {snr_db: 0}"
    carried = compiled(tmp_path, f"quantize: {{mode: static, {loose}}}", CONFORMER, 16, "onnxruntime")
    assert snr(carried) > 40
    notes = carried["passes"][-1]["notes"]
    assert notes[0] == (
        "CALIBRATED ON 32 RANDOM STREAMS, percentile: no substitute for recordings (quantize.calibration.paths)"
    )
    single = f"quantize: {{mode: static, calibration: {{states: first}}, {loose}}}"
    assert snr(compiled(tmp_path, single, CONFORMER, 16, "onnxruntime")) < snr(carried) - 10


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["entropy", "minmax", "mse"])
def test_methods_of_calibration_hold_and_do_not_depend_on_workers(tmp_path: Path, method: str) -> None:
    graphs = []
    for workers in (1, 3):
        options = f"calibration: {{method: {method}, sequences: 6, workers: {workers}}}, tolerance: {{snr_db: 5}}"
        compiled(tmp_path, f"quantize: {{mode: static, {options}}}", ATTENTION, 16)
        assert "QuantizeLinear" in ops(tmp_path)
        graphs.append(onnx.load(tmp_path / "out.onnx").graph)
    assert graphs[0] == graphs[1]


@pytest.mark.parametrize(
    ("options", "wanted", "target"),
    [
        ("activations: int8", "QuantizeLinear", "onnx"),
        ("activations: int16", "QuantizeLinear", "onnxruntime"),
        ("form: operator", "QGemm", "onnxruntime"),
        ("per_channel: false", "QuantizeLinear", "onnx"),
    ],
)
def test_static_forms(tmp_path: Path, options: str, wanted: str, target: str) -> None:
    quantize = f"quantize: {{mode: static, {options}, tolerance: {{snr_db: 15}}}}"
    report = compiled(tmp_path, quantize, ATTENTION, 16, target)
    assert wanted in ops(tmp_path)
    assert report["passes"][-1]["counts"] == {"weights in integers": 9, "weights in float": 0}


def test_int16_needs_a_late_opset_or_onnxruntime(tmp_path: Path) -> None:
    with pytest.raises(
        PassError, match=r"quantize: activations: int16 needs opset 21, but the model has opset \d+; set target"
    ):
        compiled(tmp_path, "quantize: {mode: static, activations: int16}", ATTENTION, 16)


def test_ranges_by_every_method() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.standard_normal(100_000), [-40.0, 60.0]])
    histogram = Histogram.empty(-40.0, 60.0)
    histogram.add(values)
    assert histogram.counts.sum() == values.size
    assert chosen_range(histogram, "minmax", 99.9) == Range(-40.0, 60.0)
    kept = chosen_range(histogram, "percentile", 99.0)
    assert -3 < kept.low < -2.3
    assert 2.3 < kept.high < 3
    for method in ("entropy", "mse"):
        found = chosen_range(histogram, method, 99.9)  # type: ignore[arg-type]
        assert found.high < 60, method
    assert chosen_range(Histogram.empty(0.0, 0.0), "mse", 99.9) == Range(0.0, 0.0)


@pytest.mark.nightly
def test_dynamic_scales_depend_on_the_chunk_and_it_is_said(tmp_path: Path) -> None:
    ratios = []
    for chunk in (16, 64):
        report = compiled(tmp_path, "quantize", CONFORMER, chunk)
        (said,) = (n for n in notes_of(report) if "are computed for each call" in n)
        assert said.startswith(f"activation scales are computed for each call of {chunk} frames")
        ratios.append(float(said.split("this stream is ")[1].split()[0]))
    assert all(20 < r < 80 for r in ratios)


def test_ports_that_are_quantized_keep_their_shapes_and_half_weights_stay(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    for name, stream in (
        ("rnnt_joiner.dynamo", "{chunk: 4, inputs: {encoder: {axis: 1}, predictor: {static: true}}}"),
        ("attention_half.dynamo", "{chunk: 8}"),
    ):
        spec.write_text(
            f"version: 1\nmodel: {MODELS / name}.onnx\noutput: out.onnx\nstream: {stream}\n"
            "passes: [lift_state, fuse, quantize: {mode: static, tolerance: {snr_db: 5}}]\n"
        )
        report = graphc.compile(spec).data
        assert all(d["holds"] for d in report["passes"][-1]["against_offline"])


def test_gemm_alone_leaves_other_products_in_float() -> None:
    body = "a = Gemm <transB=1> (x, w, b) c = MatMul (a, v) y = Gemm (c, u, b)"
    arrays = {"w": random(16, 8), "b": random(16), "v": random(16, 8), "u": random(8, 16)}
    model = model_of(body, "float[4,8] x", **arrays)
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    made = graphc.transform(model, [{"quantize": {"ops": ["Gemm"], "exclude_nodes": ["n2"]}}])
    found = [n.op_type for n in made.graph.node]
    assert found.count("MatMulInteger") == 1
    assert found.count("MatMul") == 2, "the user's own, and the excluded Gemm"


def test_blocks_leave_what_is_excluded_in_float() -> None:
    body = "a = Gemm (x, w, b) c = MatMul (a, v) y = Gemm (c, w, b)"
    model = model_of(body, "float[4,64] x", w=random(64, 64), b=random(64), v=random(64, 64))
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
    blocks = {"mode": "weight_only", "weights": "int4", "block": 32}
    for more, left in (({}, 0), ({"exclude_nodes": ["n2"]}, 1), ({"exclude_ops": ["MatMul"]}, 1)):
        made = graphc.transform(model, [{"quantize": {**blocks, **more}}], "onnxruntime")
        found = [n.op_type for n in made.graph.node]
        assert found.count("MatMulNBits") == 3 - left, more
        assert found.count("MatMul") == left, more


def test_weights_alone_of_any_op(tmp_path: Path) -> None:
    before = compiled(tmp_path, "simplify")["size"]
    report = compiled(tmp_path, "quantize: {mode: weight_only, tolerance: {snr_db: 30}}")
    assert report["size"] < 0.35 * before
    assert ops(tmp_path).count("DequantizeLinear") == 5, "both weights of both LSTMs, and the head's"
    assert not [n for n in report["passes"][-1]["notes"] if "LSTM" in n]
    report = compiled(
        tmp_path, "quantize: {mode: weight_only, ops: [Conv], tolerance: {snr_db: 30}}", MODELS / "tcn.dynamo.onnx", 4
    )
    assert "DequantizeLinear" in ops(tmp_path)


def levels_of_products(folder: Path) -> set[int]:
    """The ``accuracy_level`` of every MatMulNBits of the compiled model."""
    nodes = [n for n in onnx.load(folder / "out.onnx").graph.node if n.op_type == "MatMulNBits"]
    return {onnx.helper.get_node_attr_value(n, "accuracy_level") for n in nodes}


def test_products_in_float_where_they_are_asked_for() -> None:
    model = model_of("y = MatMul (x, w)", "float[4,64] x", w=random(64, 64))
    options = {"mode": "weight_only", "weights": "int4", "block": 32, "products": "float"}
    (node,) = graphc.transform(model, [{"quantize": options}], "onnxruntime").graph.node
    assert "accuracy_level" not in {a.name for a in node.attribute}


def test_weights_in_blocks(tmp_path: Path) -> None:
    report = compiled(
        tmp_path,
        "quantize: {mode: weight_only, weights: int4, block: 32, tolerance: {snr_db: 10}}",
        CONFORMER,
        16,
        "onnxruntime",
    )
    assert ops(tmp_path).count("MatMulNBits") >= 14
    assert levels_of_products(tmp_path) == {4}, "products are of integers, the fast ones"
    assert report["passes"][-1]["counts"]["weights in integers"] >= 14
    with pytest.raises(
        PassError, match=r"block needs opset 21, but the model has opset \d+; set target: onnxruntime, or leave block"
    ):
        compiled(tmp_path, "quantize: {mode: weight_only, weights: int4, block: 32}", ATTENTION, 16)
    with pytest.raises(PassError, match="ONNX has no int8 weights in blocks; set target: onnxruntime"):
        compiled(tmp_path, "quantize: {mode: weight_only, block: 32}", ATTENTION, 16)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("weights: int4", "int4 goes with mode: weight_only and a block"),
        ("block: 32", "block goes with mode: weight_only"),
        ("mode: weight_only, products: float", "products needs a block"),
        ("mode: weight_only, block: 48", "block must be a power of two"),
        ("mode: static, ops: [LSTM]", "static has no form of LSTM; known: MatMul, Gemm, Conv, ConvTranspose"),
        ("calibration: {frames: [9, 3]}", "the smaller first"),
        ("mode: statik", "'statik' is not known; known: dynamic, static, weight_only; did you mean 'static'"),
        ("mode: weight_only, block: 32, ops: [LSTM]", "blocks are for MatMul and Gemm"),
        ("mode: static, form: operator, activations: int16", "onnxruntime has no operators for activations"),
        ("budget: {snr: 30}", "unknown option; did you mean 'snr_db'"),
        ("budget: 30", "expected a mapping of options"),
        ("calibration: {path: x.npy}", "unknown option; did you mean 'paths'"),
        ("per_channel: no", "expected true or false: YAML reads no as text"),
        ("states: int9", "a state cannot be 'int9'; known: int8, int16, float16, for all caches or for each kind"),
        ("states: {attention_key: 8}", "a state cannot be '8'; known: int8"),
        ("states: {attention_keys: int8}", "unknown kind of state 'attention_keys'; known: rnn_hidden"),
    ],
)
def test_options_that_contradict_each_other(tmp_path: Path, options: str, message: str) -> None:
    with pytest.raises(GraphcError, match=message) as err:
        compiled(tmp_path, f"quantize: {{{options}}}")
    assert "spec.yaml:7" in str(err.value)


def sound_model(folder: Path) -> Path:
    """Samples [1, T] to 8 channels, one frame for 4 samples."""
    body = "u = Unsqueeze (x, at) c = Conv <strides=[4]> (u, k) t = Transpose <perm=[0,2,1]> (c) y = MatMul (t, w)"
    model = model_of(body, "float[1,T] x", at=np.array([1]), k=random(16, 1, 4), w=random(16, 8))
    path = folder / "sound.onnx"
    onnx.save(model, path)
    return path


def test_recordings_calibrate_a_model_of_samples(tmp_path: Path) -> None:
    model = sound_model(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "speech").mkdir()
    for name in ("a.wav", "b.flac"):
        soundfile.write(tmp_path / "speech" / name, (rng.standard_normal(800) * 0.1).astype(np.float32), 16000)
    spec = f"""
version: 1
model: {model}
output: out.onnx
stream: {{chunk: 16, frame_ms: 0.0625, inputs: {{x: {{axis: 1}}}}}}
passes: [lift_state, quantize: {{mode: static, calibration: {{paths: [speech]}}, tolerance: {{snr_db: -20}}}}]
"""
    path = tmp_path / "spec.yaml"
    path.write_text(spec)
    report = graphc.compile(path).data
    assert report["passes"][-1]["notes"][0] == "calibrated on 2 recordings, percentile"
    assert graphc.compile(path).up_to_date
    assert command("compile", "--depfile", str(tmp_path / "out.d"), str(path)).returncode == 0
    assert "speech/b.flac" in (tmp_path / "out.d").read_text()
    soundfile.write(tmp_path / "speech" / "a.wav", (rng.standard_normal(800) * 0.2).astype(np.float32), 16000)
    assert not graphc.compile(path).up_to_date, "the recordings are among what the outputs depend on"
    soundfile.write(tmp_path / "speech" / "a.wav", np.zeros(800, np.float32), 8000)
    with pytest.raises(InputError, match=r"a\.wav: it has 8000 samples a second, the stream 16000 .*resample"):
        graphc.compile(path)
    (tmp_path / "speech" / "a.wav").write_bytes(b"RIFF....")
    with pytest.raises(InputError, match=r"a\.wav: the recording cannot be read"):
        graphc.compile(path)


def test_saved_features_calibrate_and_bad_ones_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphc.offline.recordings, "LARGEST_FILE", 2**24)
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.standard_normal((60, 40)).astype(np.float32))
    np.savez(tmp_path / "b.npz", features=rng.standard_normal((1, 50, 40)))
    quantize = "quantize: {{mode: static, calibration: {{paths: [{}]}}, tolerance: {{snr_db: 10}}}}"
    report = compiled(tmp_path, quantize.format("a.npy, b.npz"))
    assert report["passes"][-1]["notes"][0] == "calibrated on 2 recordings, percentile"
    np.save(tmp_path / "shape.npy", np.zeros((60, 41), np.float32))
    np.savez(tmp_path / "name.npz", feature=np.zeros((1, 50, 40), np.float32))
    np.save(tmp_path / "pickled.npy", np.array([{}, None], object), allow_pickle=True)
    (tmp_path / "text.txt").write_text("no sound")
    soundfile.write(tmp_path / "x.wav", np.zeros(100, np.float32), 100)
    bomb = zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED)
    with bomb, bomb.open("features.npy", "w") as member:
        member.write(bytes(2**25))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:100])
    for name, message in {
        "shape.npy": r"'features' has the shape \[1, 60, 41\], the model takes \[1, 'frames', 40\]",
        "name.npz": r"'feature' is not an input of the model; the inputs are features",
        "pickled.npy": r"the arrays cannot be read: Object arrays cannot be loaded",
        "bomb.npz": r"it holds more than 16777216 bytes; split it into several",
        "cut.npz": r"the arrays cannot be read",
        "text.txt": r"unsupported kind of file; supported: \.wav, \.flac, \.npy, \.npz",
        "absent.npy": r"there is no such file",
        "x.wav": r"takes frames of \[1, 40\], not samples of sound; save the features",
    }.items():
        with pytest.raises(InputError, match=message) as err:
            compiled(tmp_path, quantize.format(name))
        assert name in str(err.value)


def test_caches_in_integers_have_their_scales_in_the_manifest(tmp_path: Path) -> None:
    before = compiled(tmp_path, "simplify", CONFORMER, 16)
    report = compiled(tmp_path, "quantize: {states: int8, tolerance: {snr_db: 20}}", CONFORMER, 16)
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    kept = {s["input"]: s for s in manifest["states"]}
    caches = [s for s in kept.values() if s["kind"] in ("conv_context", "attention_key", "attention_value")]
    assert caches
    for state in caches:
        assert state["dtype"] == "int8"
        axis, scale = state["scale"]["axis"], state["scale"]["scale"]
        assert len(scale) == len(state["scale"]["zero_point"]) == (1 if axis is None else state["shape"][axis])
        first = np.zeros(1) if state["init"] == "zeros" else np.asarray(state["init"].get("fill", 0))
        if "file" not in state["init"] and len(set(state["scale"]["zero_point"])) == 1:
            assert int(first.ravel()[0]) == state["scale"]["zero_point"][0], "it begins at what stands for 0"
    heads = [s["scale"] for s in caches if s["kind"] == "attention_key" and len(s["shape"]) == 4]
    assert heads
    assert all(len(s["scale"]) == 2 for s in heads)
    floats = sum(s["bytes"] for s in before["states"] if s["dtype"] == "float32")
    assert sum(s["bytes"] for s in report["states"] if s["dtype"] != "int64") < 0.3 * floats
    proven = {s["name"]: s["proven"] for s in before["states"]}
    assert all(s["proven"] or not proven[s["name"]] for s in report["states"])


def test_a_carry_stays_float_unless_its_kind_is_named(tmp_path: Path) -> None:
    report = compiled(tmp_path, "quantize: {states: int8}")
    assert {s["dtype"] for s in report["states"]} == {"float32"}
    assert any(
        "whose errors add up; quantize.states: {rnn_hidden: int8} narrows it anyway" in n for n in notes_of(report)
    )
    report = compiled(tmp_path, "quantize: {states: {rnn_hidden: float16}, tolerance: {snr_db: 20}}")
    assert {s["kind"]: s["dtype"] for s in report["states"]} == {"rnn_hidden": "float16", "rnn_cell": "float32"}
    report = compiled(tmp_path, "quantize: {states: {rnn_cell: int16}, tolerance: {snr_db: 20}}", target="onnxruntime")
    assert {s["kind"]: s["dtype"] for s in report["states"]} == {"rnn_hidden": "float32", "rnn_cell": "int16"}
    report = compiled(tmp_path, "quantize: {states: {clock: int8}}", CONFORMER, 16)
    assert any("clock_frames_in keeps its type: it is int64" in n for n in notes_of(report))
    with pytest.raises(PassError, match=r"no state of kind 'conv_context'; its kinds: rnn_cell, rnn_hidden"):
        compiled(tmp_path, "quantize: {states: {conv_context: int8}}")
    with pytest.raises(PassError, match=r"states: int16 needs opset 21"):
        compiled(tmp_path, "quantize: {states: {rnn_cell: int16}}")


def notes_of(report: dict[str, Any]) -> list[str]:
    return list(report["passes"][-1]["notes"])


def test_packed_caches_in_integers_keep_their_scales(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(
        f"""
version: 1
model: {CONFORMER}
output: out.onnx
stream: {{chunk: 16}}
passes: [lift_state: {{pack: true}}, fuse, quantize: {{states: int8, tolerance: {{snr_db: 20}}}}]
"""
    )
    graphc.compile(tmp_path / "spec.yaml")
    manifest = json.loads((tmp_path / "out.manifest.json").read_text())
    packed = [s for s in manifest["states"] if "pack" in s and s["dtype"] == "int8"]
    assert packed
    assert all(part["scale"]["scale"] for s in packed for part in s["pack"]["parts"])


def test_learned_scales_are_kept_to_the_bit(tmp_path: Path) -> None:
    learned = scales_of(onnx.load(QAT))
    assert len(learned) == 6
    for target in ("onnx", "onnxruntime"):
        report = compiled(tmp_path, "simplify", QAT, 4, target)
        made = onnx.load(tmp_path / "out.onnx")
        assert scales_of(made) == learned, target
        assert all(p["max_abs"] < 1e-5 for p in report["passes"]), target
        assert sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2 for t in made.graph.initializer) == 2
        cache = next(s for s in report["states"] if s["kind"] == "conv_context")
        assert cache["dtype"] == "uint8", "it stands between QuantizeLinear and DequantizeLinear"
        state = next(
            s for s in json.loads((tmp_path / "out.manifest.json").read_text())["states"] if s["kind"] == "conv_context"
        )
        assert state["init"] == {"fill": state["scale"]["zero_point"][0]}


def test_learned_scales_of_torchao_are_kept_to_the_bit(tmp_path: Path) -> None:
    learned = scales_of(onnx.load(TORCHAO))
    assert len(learned) == 4
    for target in ("onnx", "onnxruntime"):
        report = compiled(tmp_path, "simplify", TORCHAO, 4, target)
        made = onnx.load(tmp_path / "out.onnx")
        assert scales_of(made) == learned, target
        assert all(p["max_abs"] < 1e-5 for p in report["passes"]), target
        assert sum(t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 2 for t in made.graph.initializer) == 2


def scales_of(model: onnx.ModelProto) -> set[tuple[bytes, bytes]]:
    """Scale and zero point of every DequantizeLinear."""
    held = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "Constant":
            held[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
        elif node.op_type == "Identity" and node.input[0] in held:
            held[node.output[0]] = held[node.input[0]]
    return {
        (held[n.input[1]].tobytes(), held[n.input[2]].tobytes())
        for n in model.graph.node
        if n.op_type == "DequantizeLinear"
    }


@pytest.mark.nightly
def test_the_budget_leaves_the_most_sensitive_node_in_float(tmp_path: Path) -> None:
    passes = "quantize: {mode: static, budget: {snr_db: %s, table: measured.json}, tolerance: {snr_db: 10}}"
    report = compiled(tmp_path, passes % 53, CONFORMER, 16)
    summary = next(n for n in notes_of(report) if "of the weights in integers" in n)
    share, together = float(summary.split("%")[0]), float(summary.split("together ")[1].split()[0])
    assert 50 < share < 100
    assert together >= 53
    alone = [n for n in notes_of(report) if "dB alone" in n]
    assert any(n.endswith(": float") for n in alone)
    ratios = [float(n.split(": ")[1].split()[0]) for n in alone]
    assert ratios == sorted(ratios), "the most sensitive stands first"
    measured = json.loads((tmp_path / "measured.json").read_text())["measured"]
    stamp = (tmp_path / "measured.json").stat().st_mtime_ns
    again = compiled(tmp_path, passes % "53.0", CONFORMER, 16)
    assert (tmp_path / "measured.json").stat().st_mtime_ns == stamp, "nothing was measured twice"
    assert notes_of(again) == notes_of(report)
    assert len(measured) >= len(alone)


def test_floats_of_16_bits(tmp_path: Path) -> None:
    whole = compiled(tmp_path, "simplify")["size"]
    for kind, least in (("float16", 55), ("bfloat16", 35)):
        report = compiled(tmp_path, f"convert_float: {{to: {kind}}}")
        assert report["size"] < 0.6 * whole
        assert snr(report) > least, kind
    report = compiled(tmp_path, "convert_float: {compute: true}")
    assert snr(report) > 40
    with pytest.raises(GraphcError, match="onnxruntime has few ops in bfloat16"):
        compiled(tmp_path, "convert_float: {to: bfloat16, compute: true}")
    large = model_of("y = MatMul (x, w)", w=random(8, 8) * 1e6)
    made = graphc.transform(large, ["convert_float"])
    assert [n.op_type for n in made.graph.node] == ["MatMul"], "float16 does not hold it"
    summing = model_of("s = MatMul (x, w) r = Relu (s) y = CumSum (r, two)", w=random(8, 8), two=np.array(2))
    made = graphc.transform(summing, [{"convert_float": {"compute": True, "exclude_ops": ["Relu"]}}])
    into_float = {
        n.output[0] for n in made.graph.node if n.op_type == "Cast" and n.attribute[0].i == onnx.TensorProto.FLOAT
    }
    for name in ("Relu", "CumSum"):
        assert next(n for n in made.graph.node if n.op_type == name).input[0] in into_float, f"{name} stays in float32"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "weight_only"}, r"\(DequantizeLinear\): compute: true .* set exclude_ops: \[DequantizeLinear\]"),
        ({"mode": "dynamic"}, r"\(DynamicQuantizeLinear\): .* set exclude_ops: \[DynamicQuantizeLinear\]"),
        ({"mode": "static"}, r"exclude_ops: \[DequantizeLinear, QuantizeLinear\], or leave compute out"),
    ],
)
def test_arithmetic_of_16_bits_behind_integers_names_the_ops_to_exclude(options: dict[str, str], said: str) -> None:
    model = model_of("a = MatMul (x, w) b = Relu (a) y = MatMul (b, v)", w=random(8, 16), v=random(16, 8))
    with pytest.raises(PassError, match=said) as caught:
        graphc.transform(model, [{"quantize": options}, {"convert_float": {"compute": True}}])
    ops = str(caught.value).partition("exclude_ops: [")[2].partition("]")[0].split(", ")
    half = {"convert_float": {"compute": True, "exclude_ops": ops}}
    made = graphc.transform(model, [{"quantize": options}, half])
    assert Session(made).run({"x": random(1, 2, 8)})["y"].shape == (1, 2, 8)


def test_static_on_a_model_that_does_not_stream() -> None:
    model = model_of("a = MatMul (x, w) b = Relu (a) y = MatMul (b, v)", w=random(8, 16), v=random(16, 8))
    made = graphc.transform(model, [{"quantize": {"mode": "static"}}])
    assert any(n.op_type == "QuantizeLinear" for n in made.graph.node)
    x = np.random.default_rng(0).standard_normal((1, 2, 8)).astype(np.float32)
    want, got = Session(model).run({"x": x})["y"], Session(made).run({"x": x})["y"]
    assert np.abs(want - got).max() < 0.1 * np.abs(want).max()
    with pytest.raises(PassError, match=r"paths: the model does not stream"):
        graphc.transform(model, [{"quantize": {"mode": "static", "calibration": {"paths": ["a.npy"]}}}])


@pytest.mark.parametrize("form", ["qdq", "operator"])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 2.0), (1.0, 0.5), (0.5, 1.0), (0.25, -3.0)])
def test_factors_of_gemm_are_kept_in_static_mode(tmp_path: Path, form: str, alpha: float, beta: float) -> None:
    body = f"a = Reshape (x, two) g = Gemm <alpha={alpha},beta={beta}> (a, w, b) y = Reshape (g, three)"
    model = model_of(
        body, "float[1,T,64] x", two=np.array([-1, 64]), three=np.array([1, -1, 32]), w=random(64, 32), b=random(32)
    )
    onnx.save(model, tmp_path / "gemm.onnx")
    passes = f"quantize: {{mode: static, form: {form}, tolerance: {{snr_db: 25}}}}"
    report = compiled(tmp_path, passes, tmp_path / "gemm.onnx")
    assert any(op in ("QuantizeLinear", "QLinearMatMul") for op in ops(tmp_path))
    assert snr(report) > 25


def test_calibration_before_the_lift_sees_whole_utterances(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    ratios = []
    for passes in (
        "quantize: {mode: static, tolerance: {snr_db: 0}}, lift_state",
        "lift_state, quantize: {mode: static}",
    ):
        spec.write_text(
            f"version: 1\nmodel: {TAGGER}\noutput: out.onnx\nstream: {{chunk: 5, frame_ms: 10}}\npasses: [{passes}]\n"
        )
        ratios.append(snr(graphc.compile(spec).data))
    assert abs(ratios[0] - ratios[1]) < 6


def test_ranges_of_states_are_those_of_every_frame_where_calls_differ(tmp_path: Path) -> None:
    body = "p = Pad (x, front) c = Conv (p, k) t = Transpose <perm=[0,2,1]> (c) y = MatMul (t, w)"
    front = np.array([0, 0, 4, 0, 0, 0])
    model = model_of(body, "float[1,8,T] x", front=front, k=random(16, 8, 5), w=random(16, 8))
    onnx.save(model, tmp_path / "conv.onnx")
    spec = tmp_path / "spec.yaml"
    found = []
    for chunk in ("dynamic", "1"):
        spec.write_text(
            f"version: 1\nmodel: {tmp_path}/conv.onnx\noutput: out.onnx\nstream: {{chunk: {chunk}, frame_ms: 10}}\n"
            "passes: [lift_state, quantize: {mode: weight_only, states: int8}]\n"
        )
        graphc.compile(spec)
        manifest = json.loads((tmp_path / "out.manifest.json").read_text())
        found.append(next(np.array(s["scale"]["scale"]) for s in manifest["states"] if s["kind"] == "conv_context"))
    assert np.all(found[0] > 0.7 * found[1])


def test_what_fuse_made_of_products_is_quantized(tmp_path: Path) -> None:
    body = "c = Conv <pads=[2,0]> (x, k) t = Transpose <perm=[0,2,1]> (c) y = MatMul (t, w)"
    model = model_of(body, "float[1,8,T] x", k=random(32, 8, 3), w=random(32, 32))
    onnx.save(model, tmp_path / "front.onnx")
    for mode in ("dynamic", "static", "weight_only", "weight_only, block: 32, weights: int4"):
        passes = f"quantize: {{mode: {mode}, tolerance: {{snr_db: 10}}}}"
        report = compiled(tmp_path, passes, tmp_path / "front.onnx", 4, "onnxruntime")
        assert report["passes"][-1]["counts"]["weights in integers"] >= 1, mode


@pytest.mark.parametrize("name", ["victim.onnx", "spec.yaml", "notes.txt"])
def test_a_table_overwrites_nothing_else(tmp_path: Path, name: str) -> None:
    (tmp_path / "victim.onnx").write_bytes(TAGGER.read_bytes())
    (tmp_path / "notes.txt").write_text("precious")
    with pytest.raises(PassError, match="exists, but holds no measurements of an earlier search"):
        compiled(
            tmp_path,
            f"quantize: {{mode: weight_only, budget: {{snr_db: 90, table: {name}}}}}",
            tmp_path / "victim.onnx",
        )
    assert (tmp_path / "victim.onnx").read_bytes() == TAGGER.read_bytes()
    assert (tmp_path / "notes.txt").read_text() == "precious"


@pytest.mark.nightly
def test_a_budget_that_states_alone_exceed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PassError, match=r"with every weight in float the SNR is \d+\.\d dB, below 90 dB"):
        compiled(tmp_path, "quantize: {states: int8, budget: {snr_db: 90, sequences: 2}}", CONFORMER, 16)


def test_validate_keeps_the_promise_of_a_pass(tmp_path: Path) -> None:
    compiled(tmp_path, "quantize")
    done = graphc_command("validate", tmp_path / "spec.yaml")
    assert done.returncode == 0, done.stdout


def test_quantized_models_are_judged_on_recordings(tmp_path: Path) -> None:
    model = sound_model(tmp_path)
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.wav", (rng.standard_normal(4000) * 0.02).astype(np.float32), 16000)
    text = f"""
version: 1
model: {model}
output: out.onnx
stream: {{chunk: 64, frame_ms: 0.0625}}
passes: [lift_state, fold_constants, quantize: {{mode: static, calibration: {{paths: [a.wav]}}}}]
"""
    spec = tmp_path / "spec.yaml"
    spec.write_text(text)
    with pytest.raises(ValidationError, match=r"dB, below 20 dB"):
        graphc.compile(spec)
    spec.write_text(text + "validate: {paths: [a.wav]}\n")
    report = graphc.compile(spec).data
    assert snr(report) > 25
    assert report["trials"] == [4000]
    assert report["recordings"] == ["a.wav"]
    assert "on 1 recording of 4000 frames" in (tmp_path / "out.report.html").read_text()
    assert "a.wav" in report["fingerprint"]["reads"]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((1, 0, 40)), "is empty"),
        (np.full((1, 9, 40), np.nan), "not finite"),
        (np.full((1, 9, 40), 1e300), "not finite in float32"),
    ],
)
def test_recordings_of_nothing_are_refused(tmp_path: Path, values: np.ndarray, says: str) -> None:
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(GraphcError, match=says) as err:
        compiled(tmp_path, "quantize: {mode: static, calibration: {paths: [a.npy]}}")
    assert "a.npy" in str(err.value)


def test_quantize_in_front_of_the_lift_says_where_it_belongs(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"version: 1\nmodel: {TAGGER}\noutput: out.onnx\nstream: {{chunk: 5}}\npasses: [quantize, lift_state]\n"
    )
    with pytest.raises(GraphcError, match="compile the float model with the quantize"):
        graphc.compile(spec)
