"""The table of bench: the cheapest target is the fastest of those that keep the budget."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from commands import graphc as command
from conftest import ROOT

from graphc.build.bench_outputs import cheapest
from graphc.spec.schema import BudgetSpec

ROW = {"p50_ms": 1.0, "p99_ms": 2.0, "rtf": 0.1, "bytes": 1_000_000, "snr_db": 60.0}


@pytest.mark.parametrize(
    ("budget", "best"),
    [
        ({}, "fast"),
        ({"size_mb": 2.0}, "small"),
        ({"snr_db": 50.0}, "small"),
        ({"snr_db": 90.0}, "onnxruntime"),
        ({"latency_ms": {"p99": 0.1}}, None),
        ({"rtf": 0.05}, "fast"),
    ],
)
def test_the_cheapest_keeps_the_budget(budget: dict[str, Any], best: str | None) -> None:
    rows = {
        "onnxruntime": {**ROW, "p50_ms": 3.0, "snr_db": None, "bytes": 5_000_000},
        "fast": {**ROW, "p50_ms": 0.5, "rtf": 0.01, "bytes": 3_000_000, "snr_db": 40.0},
        "small": ROW,
    }
    assert cheapest(rows, BudgetSpec(**budget)) == best


def test_bench_times_targets_and_tells_memory(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"version: 1\nmodel: {ROOT / 'examples' / 'models' / 'tcn.torchscript'}.onnx\noutput: out.onnx\n"
        "stream: {chunk: 8}\npasses: [lift_state, fold_constants]\ntargets: [ort, qnn]\n"
    )
    assert command("compile", spec).returncode == 0
    done = command("bench", spec, "--targets", "all", "--calls", "20")
    assert done.returncode == 0
    head, *rows, energy, best = done.stdout.splitlines()
    assert head.split()[1:3] == ["target", "ms"]
    assert sorted(row.split()[0] for row in rows) == ["onnxruntime", "ort"]
    assert all(float(row.split()[5]) > 0 for row in rows)
    assert energy.startswith("energy:") or "mJ" in head
    assert best.split(": ")[1] in ("onnxruntime", "ort")
