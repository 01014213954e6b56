"""Targets: models that run on other runtimes as onnxruntime runs them, and wrong conversions that do not pass."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnxruntime as ort
import pytest
from commands import graphc as command
from conftest import ROOT

import graphc
from graphc.errors import SpecError, ValidationError
from graphc.targets import registry
from graphc.targets.registry import all_targets
from graphc.targets.target import Converted, StreamingModel, Target
from graphc_runtime.errors import InstallError, ModelError, TargetError
from graphc_runtime.native.ports import NativePort, Runner

MODELS = ROOT / "examples" / "models"
BY_DAY = ("lstm_tagger.dynamo", "conformer_lookahead.torchscript")
EXAMPLES = ("lstm_tagger.dynamo", "conformer_lookahead.torchscript", "quartznet.torchscript")


def spec_of(folder: Path, name: str, targets: str, more: str = "") -> Path:
    spec = folder / "spec.yaml"
    spec.write_text(
        f"version: 1\nmodel: {MODELS / name}.onnx\noutput: out.onnx\nstream: {{chunk: 16}}\n"
        f"passes: [lift_state, fold_constants, simplify, fuse]\ntargets: {targets}\n{more}"
    )
    return spec


def is_here(name: str) -> bool:
    try:
        all_targets()[name].check_installed()
    except InstallError:
        return False
    return True


def here(name: str) -> Target:
    device = all_targets()[name]
    try:
        device.check_installed()
    except InstallError as err:
        pytest.skip(str(err))
    return device


RUN_HERE = ("openvino", "tract", "mnn", "ort", "litert")


@pytest.fixture(scope="module")
def compiled_for_all(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The manifest of an example, compiled once for every target that is installed."""

    @cache
    def compiled(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        targets = ", ".join(target for target in RUN_HERE if is_here(target))
        graphc.compile(spec_of(folder, name, f"[{targets}]"))
        return folder / "out.manifest.json"

    return compiled


@pytest.mark.parametrize("target", RUN_HERE)
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.xdist_group(n), *([] if n in BY_DAY else [pytest.mark.nightly])])
        for n in EXAMPLES
    ],
)
def test_an_example_streams_equal_on_a_target(compiled_for_all: Callable[[str], Path], target: str, name: str) -> None:
    here(target)
    equal_on_a_target(compiled_for_all(name), target)


def equal_on_a_target(manifest: Path, target: str) -> None:
    device, folder = all_targets()[target], manifest.parent
    entry = json.loads(manifest.read_text())["targets"][target]
    assert entry["runtime"] == f"{device.package} {device.version()}"
    assert entry["ran"] is True
    assert (folder / entry["file"]).is_file()
    streamed, alone = graphc.StreamSession(manifest, target=target), graphc.StreamSession(manifest)
    (port,) = alone.manifest.inputs
    shape = [205 if axis == port.axis else size for axis, size in enumerate(port.shape)]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    for output, want in alone.run(x).items():
        assert np.allclose(streamed.run(x)[output], want, rtol=1e-4, atol=1e-5)


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_streams_equal_on_executorch(tmp_path: Path, name: str) -> None:
    here("executorch")
    graphc.compile(spec_of(tmp_path, name, "[executorch]"))
    equal_on_a_target(tmp_path / "out.manifest.json", "executorch")


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_is_built_for_core_ml_and_said_not_to_have_run(tmp_path: Path, name: str) -> None:
    here("coreml")
    graphc.compile(spec_of(tmp_path, name, "[coreml]"))
    manifest = tmp_path / "out.manifest.json"
    entry = json.loads(manifest.read_text())["targets"]["coreml"]
    assert entry["ran"] is False
    assert entry["max_abs"] < 1e-4
    assert (tmp_path / "out.coreml.mlpackage" / "Manifest.json").is_file()
    assert "built, not run" in (tmp_path / "out.report.html").read_text()
    assert command("verify", tmp_path / "out.onnx").returncode == 0
    with pytest.raises(TargetError, match="Apple's systems"):
        graphc.StreamSession(manifest, target="coreml")


@pytest.mark.parametrize(("precision", "least"), [("dynamic_int8", 30.0), ("weight_only_int8", 40.0)])
def test_litert_quantizes_and_is_judged_by_the_signal(tmp_path: Path, precision: str, least: float) -> None:
    here("litert")
    pytest.importorskip("ai_edge_quantizer", reason="pip install 'graphc[litert]'")
    graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", f"[{{litert: {{quantize: {precision}}}}}]"))
    entry = json.loads((tmp_path / "out.manifest.json").read_text())["targets"]["litert"]
    assert least < entry["snr_db"] < 110
    assert (tmp_path / "out.litert.tflite").stat().st_size < 0.7 * (tmp_path / "out.onnx").stat().st_size


@pytest.mark.parametrize("precision", ["weight_only_int8", pytest.param("static_int8", marks=pytest.mark.nightly)])
def test_openvino_quantizes_and_is_judged_by_the_signal(tmp_path: Path, precision: str) -> None:
    here("openvino")
    pytest.importorskip("nncf", reason="pip install 'graphc[openvino]'")
    targets = f"[{{openvino: {{quantize: {precision}, stateful: true, tolerance: {{snr_db: 20}}}}}}]"
    graphc.compile(spec_of(tmp_path, "quartznet.torchscript", targets))
    entry = json.loads((tmp_path / "out.manifest.json").read_text())["targets"]["openvino"]
    assert 20 < entry["snr_db"] < 110
    assert (tmp_path / "out.openvino.bin").stat().st_size < 0.7 * (tmp_path / "out.onnx").stat().st_size


@pytest.mark.parametrize("name", ["tcn.torchscript", "rnnt_encoder.torchscript"])
def test_litert_calibrates_on_the_streams_of_the_validation(tmp_path: Path, name: str) -> None:
    """The second has a clock of 64-bit integers and masked attention."""
    here("litert")
    pytest.importorskip("ai_edge_quantizer", reason="pip install 'graphc[litert]'")
    targets = "[{litert: {quantize: static_int8, tolerance: {snr_db: 15}}}]"
    graphc.compile(spec_of(tmp_path, name, targets))
    entry = json.loads((tmp_path / "out.manifest.json").read_text())["targets"]["litert"]
    assert 15 < entry["snr_db"] < 110
    assert {port["dtype"] for port in entry["ports"].values()} <= {"float32", "int64"}


def test_a_target_that_is_too_coarse_is_not_written(tmp_path: Path) -> None:
    here("litert")
    pytest.importorskip("ai_edge_quantizer", reason="pip install 'graphc[litert]'")
    targets = "[{litert: {quantize: dynamic_int4, tolerance: {snr_db: 90}}}]"
    with pytest.raises(ValidationError, match="below 90 dB"):
        graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", targets))
    assert [p.name for p in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize("name", [EXAMPLES[0], *(pytest.param(n, marks=pytest.mark.nightly) for n in EXAMPLES[1:])])
def test_openvino_keeps_the_states(tmp_path: Path, name: str) -> None:
    here("openvino")
    graphc.compile(spec_of(tmp_path, name, "[{openvino: {stateful: true}}]"))
    manifest = tmp_path / "out.manifest.json"
    entry = json.loads(manifest.read_text())["targets"]["openvino"]
    assert entry["stateful"] is True
    session, alone = graphc.StreamSession(manifest, target="openvino"), graphc.StreamSession(manifest)
    (port,) = alone.manifest.inputs
    shape = [90 if axis == port.axis else size for axis, size in enumerate(port.shape)]
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    early, late = np.split(x, [37], axis=port.axis)
    first = session.push(early)
    moment = session.snapshot()
    session.run(x[::-1].copy())
    session.resume(moment)
    rest = [session.push(late), session.flush()]
    for output in alone.manifest.outputs:
        whole = np.concatenate([part[output.name] for part in (first, *rest)], axis=output.axis)
        assert np.allclose(whole, alone.run(x)[output.name], rtol=1e-4, atol=1e-5)


def test_a_signal_after_two_openvino_sessions_crashes_nothing(tmp_path: Path) -> None:
    here("openvino")
    graphc.compile(spec_of(tmp_path, "quartznet.torchscript", "[openvino]"))
    program = (
        "import faulthandler, gc, signal, sys, graphc\n"
        "faulthandler.enable()\n"
        "one = graphc.StreamSession(sys.argv[1], target='openvino')\n"
        "other = graphc.StreamSession(sys.argv[1], target='openvino')\n"
        "del one; gc.collect()\n"
        "del other; gc.collect()\n"
        "signal.signal(signal.SIGALRM, lambda number, frame: print('heard'))\n"
        "signal.raise_signal(signal.SIGALRM)\n"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "out.manifest.json")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n")


class Fake(Target):
    """onnxruntime behind the calls of a target; ``off`` is added to what it gives."""

    name: ClassVar[str] = "fake"
    summary: ClassVar[str] = "a runtime of the tests"
    package: ClassVar[str] = "onnxruntime"
    module: ClassVar[str] = "onnxruntime"
    extra: ClassVar[str] = "fake"
    license: ClassVar[str] = "MIT"
    suffixes: ClassVar[tuple[str, ...]] = (".fake",)

    def __init__(self, off: float = 0.0):
        self.off = np.float32(off)

    def convert(self, model: StreamingModel, options: Any) -> Converted:
        return Converted(
            {".fake": model.proto.SerializeToString(deterministic=True)},
            model.native(),
        )

    def open(
        self, path: Path, inputs: Mapping[str, NativePort], outputs: Mapping[str, NativePort], threads: int
    ) -> Runner:
        return FakeRunner(self, path, list(outputs))


class FakeRunner(Runner):
    def __init__(self, device: Fake, path: Path, outputs: list[str]):
        self.session = ort.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
        self.device, self.outputs = device, outputs

    def run(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        results = dict(zip(self.outputs, self.session.run(self.outputs, dict(feeds)), strict=True))
        return {**results, "log_probs": results["log_probs"] + self.device.off}


def installed(monkeypatch: pytest.MonkeyPatch, device: Target) -> None:
    found = {**all_targets(), device.name: device}
    monkeypatch.setattr(registry, "all_targets", lambda: found)
    monkeypatch.setattr("graphc.build.target_files.all_targets", lambda: found)


def test_a_wrong_conversion_is_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Fake(off=1e-3))
    with pytest.raises(ValidationError, match="fake"):
        graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", "[fake]"))
    assert [p.name for p in tmp_path.iterdir()] == ["spec.yaml"]


def test_a_right_conversion_is_written_with_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Fake())
    report = graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", "[fake]"))
    assert (tmp_path / "out.fake.fake").is_file()
    assert "out.fake.fake" in report.data["outputs"]
    assert report.data["targets"]["fake"]["max_abs"] < 1e-5
    assert "<code>out.fake.fake</code>" in (tmp_path / "out.report.html").read_text()
    assert command("verify", tmp_path / "out.onnx").returncode == 0
    (tmp_path / "out.fake.fake").write_bytes(b"another")
    assert command("verify", tmp_path / "out.onnx").returncode == 1


def test_a_tolerance_of_a_target_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, Fake(off=1e-3))
    report = graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", "[{fake: {tolerance: {snr_db: 40}}}]"))
    assert 40 < report.data["targets"]["fake"]["snr_db"] < 90


@pytest.mark.parametrize(
    ("targets", "more", "said"),
    [
        ("[opnvino]", "", "there is no target 'opnvino'"),
        ("[tract, tract]", "", "'tract' appears twice"),
        ("[{tract: {speed: 3}}]", "", "speed: unknown option"),
        ("[tract]", "target: onnxruntime\n", "writes ops that other runtimes lack"),
    ],
)
def test_a_target_that_does_not_fit_is_told_at_its_place(tmp_path: Path, targets: str, more: str, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", targets, more))
    assert "spec.yaml:" in (caught.value.where or "")


def test_calls_of_any_size_are_no_target_s(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "lstm_tagger.torchscript", "[tract]")
    spec.write_text(spec.read_text().replace("chunk: 16", "chunk: dynamic"))
    with pytest.raises(SpecError, match="calls of one size"):
        graphc.compile(spec)


def test_a_runtime_that_is_not_installed_says_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Fake()
    monkeypatch.setattr(type(absent), "module", "no_such_runtime")
    installed(monkeypatch, absent)
    with pytest.raises(InstallError, match="not installed") as caught:
        graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", "[fake]"))
    assert caught.value.hint == "pip install 'graphc[fake]'"


def test_a_runtime_that_does_not_take_the_model_is_a_refusal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Picky(Fake):
        def convert(self, model: StreamingModel, options: Any) -> Converted:
            raise TargetError("it knows no LSTM", node="node_LSTM_65 (LSTM)")

    installed(monkeypatch, Picky())
    with pytest.raises(TargetError, match="node_LSTM_65") as caught:
        graphc.compile(spec_of(tmp_path, "lstm_tagger.torchscript", "[fake]"))
    assert caught.value.exit_code == 3
    assert [p.name for p in tmp_path.iterdir()] == ["spec.yaml"]


@pytest.fixture(scope="module")
def compiled_for_ort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ort")
    graphc.compile(spec_of(folder, "lstm_tagger.torchscript", "[ort]"))
    return folder


@pytest.mark.parametrize(
    "lie",
    [
        {"file": "../out.ort.ort"},
        {"file": "absent.ort"},
        {"ports": {}},
        {"ports": {"features": {"name": "features", "index": None, "dtype": "float32", "shape": [3]}}},
    ],
)
def test_a_manifest_that_lies_about_a_target_is_refused(
    compiled_for_ort: Path, tmp_path: Path, lie: dict[str, Any]
) -> None:
    shutil.copytree(compiled_for_ort, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "out.manifest.json"
    data = json.loads(path.read_text())
    data["targets"]["ort"] |= lie
    path.write_text(json.dumps(data))
    with pytest.raises(ModelError):
        graphc.StreamSession(path, target="ort")


def test_a_target_that_was_not_compiled_for_is_named(compiled_for_ort: Path) -> None:
    with pytest.raises(ModelError, match="not compiled for the target 'tract'") as caught:
        graphc.StreamSession(compiled_for_ort / "out.onnx", target="tract")
    assert "ort" in (caught.value.hint or "")


def test_native_values_are_transposed_reshaped_and_cast() -> None:
    port = NativePort("x", None, "int32", (6, 4), (2, 0, 1))
    value = np.arange(24, dtype=np.int64).reshape(2, 3, 4)
    native = port.to_native(value)
    assert native.shape == (6, 4)
    assert native.dtype == np.int32
    back = port.from_native(native, (2, 3, 4), np.dtype(np.int64))
    assert back.dtype == np.int64
    assert np.array_equal(back, value)


def test_the_same_bytes_are_written_twice(tmp_path: Path) -> None:
    targets = ", ".join(name for name in ("openvino", "tract", "litert") if is_here(name))
    spec = spec_of(tmp_path, "lstm_tagger.torchscript", f"[{targets}]")
    written = []
    for _ in range(2):
        report = graphc.compile(spec)
        assert not report.data.get("up_to_date")
        written.append({p.name: p.read_bytes() for p in tmp_path.glob("out.*") if ".report." not in p.name})
        for path in tmp_path.glob("out.*"):
            path.unlink()
    assert written[0] == written[1]


def test_the_command_lists_what_runs_here() -> None:
    said = command("targets")
    assert said.returncode == 0
    assert "ort " in said.stdout
    assert f"onnxruntime {ort.__version__}" in said.stdout
    rows = json.loads(command("targets", "--json").stdout)
    assert {"name", "summary", "version", "license", "files"} <= set(rows[0])


def test_the_command_line_adds_a_target(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "lstm_tagger.torchscript", "[]")
    assert command("compile", "--target", "ort", spec).returncode == 0
    assert (tmp_path / "out.ort.ort").is_file()
    wrong = command("compile", "--target", "otr", spec)
    assert wrong.returncode == 2
    assert "there is no target 'otr'" in wrong.stderr
    assert "ort" in wrong.stderr


@pytest.mark.nightly
def test_targets_are_timed_in_turns(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "lstm_tagger.torchscript", "[ort]")
    assert command("compile", spec).returncode == 0
    rows = json.loads(command("bench", "--targets", "all", "--calls", "40", "--json", spec).stdout)["targets"]
    assert set(rows) == {"onnxruntime", "ort"}
    assert all(row["calls"] == 40 and row["bytes"] > 0 for row in rows.values())
    shown = command("bench", "--targets", "all", "--calls", "20", spec).stdout
    assert "of onnxruntime" in shown
    none = spec_of(tmp_path, "lstm_tagger.torchscript", "[]")
    assert command("compile", none).returncode == 0
    assert "not compiled for any target" in command("bench", "--targets", "all", none).stderr


def test_a_port_type_that_a_runtime_lacks_is_a_refusal(tmp_path: Path) -> None:
    here("mnn")
    spec = spec_of(tmp_path, "attention_half.torchscript", "[mnn]")
    with pytest.raises(TargetError, match="is float16, and MNN has no ports of that type"):
        graphc.compile(spec)
