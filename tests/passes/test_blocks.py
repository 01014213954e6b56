"""Weights in blocks of 4 and 8 bits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT
from graphc_passes._quantize.blocks.block_grid import best_grid, candidate
from graphc_passes._quantize.blocks.rounding import Blocks, factor_of, rounded, rounded_for
from graphc_passes._quantize.mixed.mixed_bits import chosen
from graphc_passes._quantize.mixed.weight_groups import WeightGroup
from lifting import model_of, random, weights

import graphc
from graphc.errors import PassError
from graphc.ir.ort_session import Session

CONFORMER = ROOT / "examples" / "models" / "conformer.torchscript.onnx"


def error_of(blocks: Blocks, weight: np.ndarray, x: np.ndarray | None = None) -> float:
    difference = blocks.values[: len(weight)] - weight
    return float(np.sum((difference if x is None else x @ difference) ** 2))


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("rows", [64, 70, 7])
def test_every_weight_is_within_half_a_step_or_cut_off(bits: int, symmetric: bool, rows: int) -> None:
    weight = random(rows, 5)
    blocks = rounded(weight, 32, bits, symmetric)
    assert blocks.q.shape == (-(-rows // 32), 32, 5)
    assert blocks.q.max() < 2**bits
    if symmetric:
        assert (blocks.zero == 2 ** (bits - 1)).all()
    steps = np.repeat(np.abs(blocks.scale), 32, axis=0)[:rows]
    off = np.abs(blocks.values[:rows] - weight)
    inside = (blocks.q.reshape(-1, 5)[:rows] > 0) & (blocks.q.reshape(-1, 5)[:rows] < 2**bits - 1)
    assert (off[inside] <= 0.55 * steps[inside]).all()


@pytest.mark.parametrize("value", [0.0, 0.3, -2.0])
def test_blocks_of_one_value_are_exact(value: float) -> None:
    weight = np.full((64, 3), value, np.float32)
    np.testing.assert_allclose(rounded(weight, 32, 4, False).values, weight, rtol=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
def test_the_search_beats_the_whole_range(symmetric: bool) -> None:
    weight = np.random.default_rng(0).standard_normal((40, 32, 8)).astype(np.float32)
    plain, best = candidate(weight, 4, symmetric, 1.0), best_grid(weight, 4, symmetric)
    before, after = (np.sum((weight - g.value(g.nearest(weight))) ** 2) for g in (plain, best))
    assert after < 0.93 * before


@pytest.mark.parametrize("block", [16, 32, 128, 256])
def test_errors_cancel_where_inputs_go_together(block: int) -> None:
    rng = np.random.default_rng(0)
    x = (rng.standard_normal((600, 20)) @ rng.standard_normal((20, 300)) + rng.standard_normal(300)).astype(np.float32)
    weight = random(300, 24)
    plain = rounded(weight, block, 4, False)
    seen = rounded_for(weight, block, 4, False, factor_of(x.T @ x))
    assert error_of(seen, weight, x) < 0.2 * error_of(plain, weight, x)
    fresh = rounded_for(weight, block, 4, False, np.eye(300, dtype=np.float32))
    assert error_of(fresh, weight) <= 1.02 * error_of(plain, weight), "inputs that tell nothing change nothing"


def test_moments_without_an_inverse_are_damped() -> None:
    x = np.ones((3, 64), np.float32)
    factor = factor_of(x.T @ x)
    assert np.isfinite(factor).all()
    np.testing.assert_array_equal(factor_of(np.zeros((8, 8), np.float32)), np.eye(8, dtype=np.float32))


@pytest.mark.parametrize(("weights_", "rows"), [("int4", 64), ("int4", 48), ("int4", 33), ("int8", 64), ("int8", 40)])
@pytest.mark.parametrize("target", ["onnxruntime", "onnx"])
def test_the_runtime_reads_what_was_rounded(weights_: str, rows: int, target: str) -> None:
    if target == "onnx" and weights_ == "int8":
        pytest.skip("ONNX has no such blocks")
    weight = random(rows, 7)
    model = weights(model_of("y = MatMul (x, w)", f"float[4,{rows}] x"), w=weight)
    model.opset_import[0].version = 21
    options = {"mode": "weight_only", "weights": weights_, "block": 32}
    made = graphc.transform(
        model, [{"quantize": options | ({"products": "float"} if target != "onnx" else {})}], target
    )
    x = random(4, rows)
    blocks = rounded(weight, 32, int(weights_[3:]), target == "onnx")
    got = Session(made, optimize=False).run({"x": x})["y"]
    np.testing.assert_allclose(got, x @ blocks.values[:rows], rtol=1e-4, atol=1e-5)


def compiled(tmp_path: Path, options: str) -> dict[str, object]:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"version: 1\nmodel: {CONFORMER}\noutput: out.onnx\ntarget: onnxruntime\n"
        "stream: {chunk: 16, inputs: {features: {axis: 1}}}\n"
        f"passes: [lift_state, fuse, quantize: {{mode: weight_only, block: 32, {options}}}]\n"
    )
    return dict(graphc.compile(spec).data)


def snr_of(report: dict[str, object]) -> float:
    passes = report["passes"]
    assert isinstance(passes, list)
    return min(float(d["snr_db"]) for d in passes[-1]["against_offline"])


@pytest.mark.nightly
def test_calibrated_rounding_keeps_more(tmp_path: Path) -> None:
    calibration = "calibration: {sequences: 8, frames: [50, 200]}"
    loose = f"weights: int4, {calibration}, tolerance: {{snr_db: 5}}"
    plain, seen = (snr_of(compiled(tmp_path, f"{loose}, rounding: {how}")) for how in ("nearest", "calibrated"))
    assert seen > plain + 1


@pytest.mark.nightly
def test_single_weights_get_8_bits_for_the_budget(tmp_path: Path) -> None:
    calibration = "calibration: {sequences: 4, frames: [50, 100]}"
    four = compiled(tmp_path, "weights: int4, tolerance: {snr_db: 5}")
    wanted = snr_of(four) + 6
    mixed = compiled(tmp_path, f"weights: int4, budget: {{snr_db: {wanted}}}, {calibration}, tolerance: {{snr_db: 5}}")
    bits = [
        onnx.helper.get_node_attr_value(n, "bits")
        for n in onnx.load(tmp_path / "out.onnx").graph.node
        if n.op_type == "MatMulNBits"
    ]
    assert {4, 8} == set(bits)
    passes = mixed["passes"]
    assert isinstance(passes, list)
    assert any("of the weights in 8 bits, the others in 4" in note for note in passes[-1]["notes"])
    with pytest.raises(PassError, match="even with every weight in 8 bits the SNR is"):
        compiled(tmp_path, f"weights: int4, budget: {{snr_db: 150}}, {calibration}")


def test_the_weights_that_gain_most_are_raised_first() -> None:
    groups = [WeightGroup((name,), size) for name, size in (("a", 1000), ("b", 10), ("c", 10), ("d", 10))]
    noise = {"a": 4.0, "b": 3.0, "c": 0.1, "d": 1.0}

    def measured(raised: object) -> float:
        left = sum(noise[g.nodes[0]] for g in groups if g not in raised)  # type: ignore[operator]
        return float(-10 * np.log10(left + 0.01))

    found, alone = chosen(groups, measured, -10 * np.log10(4.2), lambda done, total: None)
    assert [g.nodes[0] for g in found] == ["b", "d"]
    assert len(alone) == 4
    assert chosen(groups, measured, -20, lambda done, total: None) == ([], {})


def test_one_weight_of_several_products_is_stored_once() -> None:
    model = weights(model_of("a = MatMul (x, w) y = MatMul (a, w)", "float[4,64] x"), w=random(64, 64))
    options = {"mode": "weight_only", "weights": "int4", "block": 32}
    made = graphc.transform(model, [{"quantize": options}], "onnxruntime")
    assert [n.op_type for n in made.graph.node] == ["MatMulNBits"] * 2
    assert len({n.input[1] for n in made.graph.node}) == 1
