"""What slow passes made is kept: the same bytes come out, and nothing damaged is used."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from commands import graphc as graphc_command
from conftest import ROOT
from lifting import model_of, random, weights

import graphc.ir.weights.external_weights
import graphc.ir.weights.made_weights
import graphc.offline.reference
import graphc.passes.run_passes
from graphc.build.compiler import Options, compile_spec
from graphc.contract.length import Length
from graphc.contract.signature import Signature, StatePack, StatePart, StatePort, StateScale, StreamInput, StreamOutput
from graphc.pass_cache.pass_cache import ENTRY, clear, entries_of
from graphc.pass_cache.signature_codec import decoded, encoded
from graphc.passes.run_passes import Pipeline
from graphc.spec.spec_file import load_spec

MODELS = ROOT / "examples" / "models"
SPEC = """version: 1
model: {model}
output: out/m.onnx
target: onnxruntime
stream: {stream}
passes: [lift_state, fold_constants, fuse, {{quantize: {{mode: dynamic, tolerance: {{snr_db: 5}}}}}}]
"""


class Ran:
    """The passes that ran, in order, and one before which a compilation is interrupted."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.stops_at: str | None = None


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Ran:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(graphc.passes.run_passes, "SLOW_S", -1.0)
    found, made = Ran(), Pipeline.made

    def noted(self: Pipeline, planned: Any, *rest: Any) -> Any:
        if planned.name == found.stops_at:
            raise KeyboardInterrupt
        found.names.append(planned.name)
        return made(self, planned, *rest)

    monkeypatch.setattr(Pipeline, "made", noted)
    return found


def spec_of(tmp_path: Path, model: Path = MODELS / "lstm_tagger.torchscript.onnx", stream: str = "{chunk: 16}") -> Path:
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.format(model=model, stream=stream))
    return path


def outputs(spec: Path, force: bool = False) -> Mapping[str, bytes]:
    """The bytes of the model, its data and its manifest; the outputs are removed."""
    compile_spec(load_spec(spec), Options(cache=True, force=force))
    out = spec.parent / "out"
    found = {p.name: p.read_bytes() for p in out.iterdir() if ".report." not in p.name}
    for path in out.iterdir():
        path.unlink()
    return found


PASSES = ["lift_state", "fold_constants", "fuse", "quantize"]


@pytest.mark.parametrize(
    "model",
    [
        "crnn.torchscript.onnx",
        *(
            pytest.param(f"{n}.onnx", marks=pytest.mark.nightly)
            for n in ("conformer.dynamo", "rnnt_encoder.torchscript")
        ),
    ],
)
def test_the_same_bytes_come_out_of_the_cache(model: str, ran: Ran, tmp_path: Path) -> None:
    spec = spec_of(tmp_path, MODELS / model)
    first = outputs(spec)
    assert ran.names == PASSES
    assert outputs(spec) == first
    assert ran.names == PASSES, "no pass ran again"
    assert outputs(spec, force=True) == first
    assert ran.names == PASSES * 2, "--force takes nothing out of the cache"


def test_an_interrupted_compilation_goes_on(ran: Ran, tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    ran.stops_at = "fuse"
    with pytest.raises(KeyboardInterrupt):
        outputs(spec)
    ran.stops_at = None
    outputs(spec)
    assert ran.names == PASSES


def test_what_changed_is_made_again(ran: Ran, tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    outputs(spec)
    for old, new, again in (
        ("mode: dynamic", "mode: weight_only", PASSES[3:]),
        ("fold_constants, ", "", PASSES[2:]),
        ("chunk: 16", "chunk: 32", ["lift_state", "fuse", "quantize"]),
        ("target: onnxruntime\n", "", ["lift_state", "fuse", "quantize"]),
    ):
        ran.names.clear()
        spec.write_text(spec.read_text().replace(old, new))
        outputs(spec)
        assert ran.names == again, new


@pytest.mark.nightly
def test_weights_of_large_models_are_kept_once(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphc.ir.weights.external_weights, "LARGE_MODEL", 1000)
    for module in (graphc.ir.weights.external_weights, graphc.ir.weights.made_weights):
        monkeypatch.setattr(module, "SMALLEST_KEPT", 200)
    monkeypatch.setattr(graphc.offline.reference, "LARGE_MODEL", 1000)
    body = "c = Conv <pads=[2,1]> (x, w) r = Relu (c) t = Transpose <perm=[0,2,1]> (r) m = MatMul (t, v) y = Add (m, b)"
    model = weights(model_of(body), w=random(64, 2, 4), v=random(64, 256), b=random(256))
    path = tmp_path / "m.onnx"
    onnx.save_model(model, path, save_as_external_data=True, location="m.data", size_threshold=100)
    spec = spec_of(tmp_path, path, "{chunk: 2, inputs: {x: {axis: 2}}}")
    first = outputs(spec)
    assert outputs(spec) == first
    assert ran.names == PASSES
    (tmp_path / "m.data").rename(tmp_path / "other.data")
    graph = onnx.load(path, load_external_data=False)
    for entry in (e for t in graph.graph.initializer for e in t.external_data if e.key == "location"):
        entry.value = "other.data"
    path.write_bytes(graph.SerializeToString())
    assert outputs(spec).keys() == first.keys()
    assert ran.names == PASSES * 2, "another export"


def damaged(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("name", ["entry.json", "graph.onnx", "arrays.npz"])
@pytest.mark.parametrize("how", [damaged, Path.unlink])
def test_a_damaged_entry_is_not_used(name: str, how: Callable[[Path], None], ran: Ran, tmp_path: Path) -> None:
    spec = spec_of(tmp_path)
    first = outputs(spec)
    for entry in entries_of(tmp_path / "cache"):
        how(entry.path / name)
    assert outputs(spec) == first
    assert ran.names == PASSES * 2


def test_the_oldest_go_when_there_is_no_room(ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = spec_of(tmp_path)
    outputs(spec)
    folder = tmp_path / "cache"
    sizes = {e.path.name: e.size for e in entries_of(folder)}
    assert len(sizes) == 4
    most = sum(sizes.values()) + max(sizes.values()) // 2
    monkeypatch.setenv("GRAPHC_CACHE_GB", str(most / 1e9))
    first = min(entries_of(folder), key=lambda e: e.used)
    with (first.path / ENTRY).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        spec.write_text(spec.read_text().replace("chunk: 16", "chunk: 32"))
        outputs(spec)
        assert first.path.exists(), "somebody uses it"
    assert sum(e.size for e in entries_of(folder)) <= most
    monkeypatch.setenv("GRAPHC_CACHE_GB", "0")
    before = {e.path for e in entries_of(folder)}
    spec.write_text(spec.read_text().replace("chunk: 32", "chunk: 48"))
    outputs(spec)
    assert {e.path for e in entries_of(folder)} == before, "no cache at all"
    assert clear(folder)[0] == len(before)
    assert not list(folder.iterdir())


def test_the_command_shows_and_empties_it(ran: Ran, tmp_path: Path) -> None:
    outputs(spec_of(tmp_path))
    done = graphc_command("cache")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{tmp_path / 'cache'}: 4 results, ")
    held = json.loads(graphc_command("cache", "--json").stdout)
    assert held["entries"] == 4
    assert held["bytes"] > 0
    assert json.loads(graphc_command("cache", "--clear", "--json").stdout)["removed"] == 4
    assert graphc_command("cache").stdout.endswith(": 0 results, 0 B of 20.00 GB\n")


def test_quick_passes_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAPHC_CACHE_DIR", str(tmp_path / "cache"))
    outputs(spec_of(tmp_path))
    assert not (tmp_path / "cache").exists()


def test_a_signature_comes_back() -> None:
    pack = StatePack(1, (StatePart("a", "b", "n", 3, StateScale(0, (0.5, 1.0), (0, 1))),))
    state = StatePort("i", "o", np.arange(6, dtype=np.float32).reshape(2, 3), "conv_context", "n", pack)
    out = StreamOutput("y", 1, Fraction(1, 4), 3, Length(((1, 3, 4),)))
    whole = Signature(
        4, 2, (StreamInput("x", 1, Fraction(2)),), (out,), (state,), "valid", shapes={"x": (1, 4)}, batch_axes={"x": 0}
    )
    arrays: list[np.ndarray] = []
    text = json.dumps(encoded(whole, arrays))
    again = decoded(json.loads(text), arrays)
    np.testing.assert_array_equal(again.states[0].init, state.init)
    assert again.ports == whole.ports
    assert again.states[0].pack == pack
    assert (again.inputs, again.shapes, again.batch_axes) == (whole.inputs, whole.shapes, whole.batch_axes)
    with pytest.raises(TypeError, match="a signature holds no object"):
        encoded(object(), [])
    with pytest.raises(KeyError):
        decoded({"Popen": {"args": "x"}}, [])
