"""Every example, from both exporters, through its spec: equal to offline within 1e-4, and within its SNR quantized."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, by_turns
from example_models import ATTENTION, INPUTS, MODELS, SPECS
from promise import lifted_at, streams_equal

import graphc
from graphc.discover.inspection import inspect_model
from graphc.discover.reading import Told
from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.spec.spec_file import load_spec
from graphc.spec.stream_schema import InputSpec, StreamSpec
from graphc.stream.propagation.analysis import analyse
from graphc.validate.run_streams import run_stream, session_of
from graphc.validate.validation_streams import streamed
from graphc_runtime.session import StreamSession

QUANTIZED = {".".join(reversed(p.stem.split("."))): p for p in (ROOT / "specs" / "quantized").glob("*.yaml")}


@pytest.mark.parametrize("name", by_turns(QUANTIZED, 1))
def test_every_mode_of_quantization_runs_on_every_example(name: str, tmp_path: Path) -> None:
    path = QUANTIZED[name]
    text = path.read_text().replace("../../examples/models", str(ROOT / "examples" / "models"))
    spec = tmp_path / path.name
    spec.write_text(text.replace("../../out", "out"))
    report = graphc.compile(spec).data
    whole, last = report["passes"][-2]["size_after"], report["passes"][-1]
    assert all(d["holds"] for d in last["against_offline"])
    if path.stem.endswith((".weight_only", ".float16")):
        assert last["size_after"] < whole
    if report["drift"] is not None:
        assert report["drift"]["verdict"] == "bounded"
    if ".states." in path.name:
        assert any(s["dtype"] in ("int8", "float16") for s in report["states"])
    session = StreamSession(tmp_path / "out" / f"{path.stem}.onnx")
    offline = offline_of(read_model(load_spec(spec).model_path), load_spec(spec).spec.stream, None)
    feeds = offline.draw(120, np.random.default_rng(3))
    want, got = offline.run(feeds), run_stream(session, streamed(offline, feeds))
    for name in session.outputs:
        noise = float(np.sum((want[name] - got[name]) ** 2))
        assert 10 * np.log10(float(np.sum(want[name] ** 2)) / noise) > 10


@pytest.mark.parametrize("name", by_turns(SPECS, 1, share=2))
def test_example_compiles_and_streams_equal(name: str, tmp_path: Path) -> None:
    path = SPECS[name]
    text = path.read_text().replace("../examples/models", str(ROOT / "examples" / "models")).replace("../out", "out")
    float_text = "\n".join(line for line in text.splitlines() if "quantize" not in line)
    spec = tmp_path / path.name
    spec.write_text(text)
    report = graphc.compile(spec).data
    for record in report["passes"]:
        if record["name"] == "quantize":
            assert all(d["snr_db"] is None or d["snr_db"] >= 20 for d in record["against_offline"])
        else:
            assert record["max_abs"] <= 1e-4
    assert report["states"] or "joiner" in path.name

    shutil.rmtree(tmp_path / "out")
    spec.write_text(float_text)
    graphc.compile(spec)
    file = load_spec(spec)
    if file.spec.stream is None or file.spec.stream.window is not None or file.spec.stream.states:
        return
    session = StreamSession(file.output_path, exact=True)
    offline = offline_of(read_model(file.model_path), file.spec.stream, file)
    rng = np.random.default_rng(7)
    lengths = [
        n for n in (int(rng.integers(session.manifest.min_frames, 400)) for _ in range(12)) if offline.accepts(n)
    ]
    assert lengths
    for frames in lengths[:6]:
        feeds = offline.draw(frames, rng)
        want, got = offline.run(feeds), run_stream(session, streamed(offline, feeds))
        for name in session.outputs:
            assert want[name].shape == got[name].shape
            assert np.abs(want[name] - got[name]).max(initial=0) <= 1e-4


BY_DAY, AT_NIGHT = (0, 1), (5, None)


@pytest.mark.parametrize("multiples", [BY_DAY, pytest.param(AT_NIGHT, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("name", by_turns(ATTENTION, 0, share=9))
def test_attention_streams_equal_from_both_exporters(name: str, multiples: tuple[int | None, ...]) -> None:
    """At lengths from the shortest to beyond the longest context and at random ones from random starts.

    In calls of any size (0) and at the smallest chunk; at night at five times it, and at a random multiple.
    """
    path = ATTENTION[name]
    inputs = INPUTS.get(name.partition(".")[0], {"features": InputSpec(axis=1)})
    found = inspect_model(path, Told(inputs))
    assert found["obstacle"] is None
    assert found["attention"] and found["state_bytes"] > 0
    offline = offline_of(read_model(path), StreamSpec(chunk=1, inputs=inputs))
    smallest = analyse(offline)
    rng = np.random.default_rng(sum(name.encode()))
    for multiple in multiples:
        lifted = lifted_at(smallest, int(rng.integers(2, 9)) if multiple is None else multiple)
        assert lifted.signature is not None
        step = max(1, smallest.chunk_multiple // 4)
        lengths = range(lifted.signature.min_frames, 26 * step + 40, 3 * step + 1)
        drawn = rng.integers(lifted.signature.min_frames, 30 * step + 60, 6).tolist()
        for tried, starts in ((lengths, 0), (drawn, 40)):
            verdict = streams_equal(offline, session_of(lifted), tried, starts)
            assert verdict.kind == "equal", verdict.detail


def test_every_example_model_has_a_spec() -> None:
    models = {p.stem for p in MODELS.glob("*.onnx") if p.stem not in ATTENTION}
    assert models <= set(SPECS)
    assert sum(p.stat().st_size for p in (ROOT / "examples").rglob("*.onnx")) < 8_000_000
