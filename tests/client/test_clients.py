"""Clients in C++ and for the web: the table of recorded streams, and projects that are written, built and run."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import wave
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from commands import graphc as command
from conftest import ROOT, at_night
from onnx import helper

import graphc
from graphc.discover.init_spec import starter_spec
from graphc_runtime.command import main as stream_command

CLIENTS = ROOT / "clients"
MODELS = ROOT / "examples" / "models"
CAPI = Path(onnxruntime.__file__).parent / "capi"
BY_DAY = ("conformer_lookahead.torchscript", "cross_attention.dynamo", "wake_word.torchscript")
OFF_IN_A_BROWSER = 2e-6
NODE = shutil.which("node")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
WEB = CLIENTS / "web" / "node_modules"
needs_cmake = pytest.mark.skipif(
    shutil.which("cmake") is None or shutil.which("g++") is None, reason="cmake and g++ are not installed"
)
needs_node = pytest.mark.skipif(
    NODE is None or not (WEB / "onnxruntime-web").is_dir(), reason="node is not installed, or `make web` was not run"
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None or not (WEB / "playwright-core").is_dir(), reason="chromium or playwright-core is not installed"
)


def run(*words: str | Path, cwd: Path | None = None, **more: str) -> str:
    done = subprocess.run(
        [str(w) for w in words], cwd=cwd, env={**os.environ, **more}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


def compiled(folder: Path, name: str, chunk: int | str = 16, more: str = "") -> Path:
    """A copy of an example, which is compiled once beside the folders of the tests."""
    shutil.copytree(compiled_once(folder.parent, name, chunk, more), folder, dirs_exist_ok=True)
    return folder / "out.onnx"


@cache
def compiled_once(beside: Path, name: str, chunk: int | str, more: str) -> Path:
    folder = Path(tempfile.mkdtemp(dir=beside))
    spec, source = folder / "spec.yaml", MODELS / f"{name}.onnx"
    if "batch" in more:
        model = onnx.load(source)
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        source = folder / "source.onnx"
        onnx.save(model, source)
    spec.write_text(
        f"version: 1\nmodel: {source}\noutput: out.onnx\nstream: {{chunk: {chunk}{more}}}\n"
        "passes: [lift_state, fold_constants, simplify, fuse]\n"
    )
    graphc.compile(spec)
    return folder


def by_init(folder: Path, name: str) -> Path:
    """An example as ``graphc init`` compiles it."""
    (folder / "spec.yaml").write_text(starter_spec(MODELS / f"{name}.onnx", folder).text)
    report = graphc.compile(folder / "spec.yaml")
    return folder / next(name for name in report.data["outputs"] if name.endswith(".onnx"))


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test programs, with the address sanitizer and the one of undefined behaviour; workers share one build."""
    shared = tmp_path_factory.getbasetemp()
    shared = shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared
    folder = shared / "clients_in_cpp"
    with (shared / "clients_in_cpp.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "live").exists():
            settings = (f"-DONNXRUNTIME={CAPI}", "-DGRAPHC_SANITIZE=address,undefined", "-DCMAKE_BUILD_TYPE=Debug")
            run("cmake", "-S", CLIENTS / "cpp", "-B", folder, *settings)
            run("cmake", "--build", folder, "--target", "streams", "live", "-j", "2")
    return folder / "streams"


@pytest.fixture(scope="module")
def other_runtime(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The program that compares onnxruntime with the runtime of a target."""
    folder = tmp_path_factory.mktemp("other_runtime")

    @cache
    def built(target: str) -> Path:
        module = {"openvino": "openvino", "litert": "ai_edge_litert"}[target]
        package = Path(str(pytest.importorskip(module, reason=f"pip install 'graphc[{target}]'").__file__)).parent
        build = folder / target
        settings = (f"-DONNXRUNTIME={CAPI}", f"-D{target.upper()}={package}")
        run("cmake", "-S", CLIENTS / "cpp", "-B", build, *settings)
        run("cmake", "--build", build, "--target", target)
        return build / target

    return built


def table(folder: Path, model: Path) -> list[Path]:
    return [
        Path(line)
        for line in run(sys.executable, CLIENTS / "write_stream_tables.py", folder / "table", model).splitlines()
    ]


def play(program: Path | None, tables: list[Path]) -> None:
    """Plays tables in C++ or in Node."""
    if program is not None:
        assert f"{len(tables)} of {len(tables)} streams are right" in run(program, *tables)
    else:
        done = in_node(tables[0])
        assert f"# pass {len(tables)}" in done.stdout, f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def in_node(found: Path) -> subprocess.CompletedProcess[str]:
    """Plays all tables of a kind in a folder in Node."""
    player = "batches" if found.name.endswith(".batch.json") else "streams"
    environment = {**os.environ, "GRAPHC_STREAMS": str(found.parent)}
    command = ["node", "--test", f"tests/{player}.test.js"]
    return subprocess.run(command, cwd=CLIENTS / "web", env=environment, capture_output=True, text=True, check=False)


@pytest.mark.xdist_group("cpp")
@needs_cmake
@pytest.mark.parametrize("name", [at_night(BY_DAY[0]), *BY_DAY[1:]])
def test_an_example_streams_equal_in_cpp(program: Path, tmp_path: Path, name: str) -> None:
    play(program, table(tmp_path, by_init(tmp_path, name)))


@needs_node
@pytest.mark.parametrize("name", [pytest.param(BY_DAY[0], marks=pytest.mark.nightly), BY_DAY[1]])
def test_an_example_streams_equal_in_node(tmp_path: Path, name: str) -> None:
    play(None, table(tmp_path, by_init(tmp_path, name)))


@needs_node
def test_the_spectrum_of_the_page_shows_every_tone() -> None:
    assert "# fail 0" in run("node", "--test", "tests/spectrum.test.js", cwd=CLIENTS / "web")


@pytest.mark.xdist_group("cpp")
@needs_cmake
@needs_node
@pytest.mark.parametrize(
    ("name", "chunk", "more"),
    [
        ("tcn.torchscript", "dynamic", ""),
        pytest.param("conformer_lookahead.torchscript", 8, ", frame_ms: 10", marks=pytest.mark.nightly),
        ("lstm_tagger.torchscript", 4, ", batch: 2, clocks: own"),
        pytest.param("attention_half.torchscript", 16, "", marks=pytest.mark.nightly),
    ],
)
def test_calls_of_any_size_batches_and_halves_stream_equal(
    program: Path, tmp_path: Path, name: str, chunk: int | str, more: str
) -> None:
    tables = table(tmp_path, compiled(tmp_path, name, chunk, more))
    play(program, tables)
    play(None, tables)


@pytest.mark.xdist_group("cpp")
@needs_cmake
@needs_node
@pytest.mark.parametrize(
    "name",
    [
        "tcn.torchscript",
        *(pytest.param(n, marks=pytest.mark.nightly) for n in ("conformer_lookahead.torchscript", "crnn.torchscript")),
    ],
)
def test_streams_of_a_batch_begin_and_end_each_for_itself(program: Path, tmp_path: Path, name: str) -> None:
    model = compiled(tmp_path, name, 8, ", batch: 3, clocks: own")
    found = Path(run(sys.executable, CLIENTS / "write_batch_tables.py", tmp_path / "table", model).strip())
    steps = json.loads(found.read_text())["steps"]
    assert len([s for s in steps if s[0] == "begin"]) > 3, "places are taken again"
    play(program, [found])
    play(None, [found])
    wrong = json.loads(found.read_text()) | {"model": "alone.onnx"}
    alone = compiled(tmp_path, name, 8)
    shutil.copy(alone, found.parent / "alone.onnx")
    shutil.copy(alone.with_name("out.manifest.json"), found.parent / "alone.manifest.json")
    found.write_text(json.dumps(wrong))
    done = subprocess.run([program, found], capture_output=True, text=True, check=False)
    assert "its streams share a clock" in done.stdout
    assert "its streams share a clock" in in_node(found).stdout


@pytest.mark.xdist_group("cpp")
@pytest.mark.nightly
@needs_cmake
@needs_node
@pytest.mark.parametrize("name", sorted(p.stem for p in MODELS.glob("*.onnx")))
def test_every_example_streams_equal_in_both(program: Path, tmp_path: Path, name: str) -> None:
    """A quantizer's tie falls to the other side in WebAssembly now and then, so quantized ones are compared in C++."""
    tables = table(tmp_path, by_init(tmp_path, name))
    play(program, tables)
    if not name.startswith("qat_"):
        play(None, tables)


@pytest.mark.xdist_group("cpp")
@needs_cmake
def test_nothing_is_allocated_after_the_first_calls(program: Path, tmp_path: Path) -> None:
    for name in ("conformer_lookahead.torchscript", "quartznet.torchscript"):
        assert run(program, "--allocations", compiled(tmp_path, name)).strip() == "0"


@pytest.mark.xdist_group("cpp")
@needs_cmake
@pytest.mark.parametrize("name", ["lstm_tagger.torchscript", "tcn.torchscript"])
def test_a_worker_beside_an_audio_thread_gives_all_of_it_and_says_when_it_is_too_slow(
    program: Path, tmp_path: Path, name: str
) -> None:
    assert run(program.with_name("live"), compiled(tmp_path, name)).strip() == "right"


@pytest.mark.nightly
@needs_cmake
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("conformer_lookahead.torchscript", ""),
        ("encoder_decoder.torchscript", ""),
        ("codec.torchscript", ", inputs: {wave: {axis: 2}}"),
    ],
)
@pytest.mark.parametrize("target", ["openvino", "litert"])
def test_a_target_streams_equal_in_cpp(
    other_runtime: Callable[[str], Path], tmp_path: Path, name: str, inputs: str, target: str
) -> None:
    model = compiled(tmp_path, name, 16, f"{inputs}}}\ntargets: [{target}]\nvalidate: {{")
    assert "off by" in run(other_runtime(target), model.with_suffix(""))


@pytest.mark.nightly
@needs_cmake
def test_litert_moves_the_axes_of_a_port_as_the_manifest_says(
    other_runtime: Callable[[str], Path], tmp_path: Path
) -> None:
    """A square chunk through an elementwise model: moving the axes of both ports changes nothing, and of one all."""
    wave = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, "time", 5])
    given = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, "time", 5])
    graph = helper.make_graph([helper.make_node("Tanh", ["x"], ["y"])], "tanh", [wave], [given])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    (tmp_path / "s.yaml").write_text(
        "version: 1\nmodel: m.onnx\noutput: out.onnx\nstream: {chunk: 5}\npasses: [lift_state]\ntargets: [litert]\n"
    )
    graphc.compile(tmp_path / "s.yaml")
    program, manifest = other_runtime("litert"), tmp_path / "out.manifest.json"
    content = json.loads(manifest.read_text())
    ports = content["targets"]["litert"]["ports"]
    for moved, status in ((("x", "y"), 0), (("y",), 1)):
        for name, port in ports.items():
            port["permutation"] = [0, 2, 1] if name in moved else None
        manifest.write_text(json.dumps(content))
        assert subprocess.run([program, tmp_path / "out"], capture_output=True, check=False).returncode == status
    ports["y"]["permutation"] = [0, 2, 2]
    manifest.write_text(json.dumps(content))
    done = subprocess.run([program, tmp_path / "out"], capture_output=True, text=True, check=False)
    assert "y: the manifest's permutation is not valid" in done.stdout


@pytest.mark.xdist_group("cpp")
@needs_cmake
def test_a_client_says_what_is_wrong(program: Path, tmp_path: Path) -> None:
    (tables, *_) = table(tmp_path, compiled(tmp_path, "lstm_tagger.torchscript"))
    broken = json.loads(tables.read_text())
    for model, said in (("nothing.onnx", "nothing.onnx"), ("plain.onnx", "holds no manifest")):
        shutil.copy(MODELS / "lstm_tagger.torchscript.onnx", tables.parent / "plain.onnx")
        tables.write_text(json.dumps(broken | {"model": model}))
        done = subprocess.run([program, tables], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert said in done.stdout


def test_a_project_in_python_runs(tmp_path: Path) -> None:
    folder = tmp_path / "app"
    made = command("client", compiled(tmp_path, "cross_attention.torchscript"), "--language", "python", "-o", folder)
    assert made.returncode == 0
    shown = run(sys.executable, "stream.py", cwd=folder)
    assert "y (1, 16, 16)" in shown
    assert shown.splitlines()[-1] == "tail: y (1, 0, 16)"
    again = command("client", tmp_path / "out.onnx", "--language", "python", "-o", folder)
    assert again.returncode == 2
    assert "it exists already" in again.stderr


@pytest.mark.nightly
@needs_cmake
@pytest.mark.parametrize("target", ["openvino", "litert"])
def test_a_project_in_cpp_runs_on_a_target_without_onnxruntime(tmp_path: Path, target: str) -> None:
    model = compiled(
        tmp_path / "model", "conformer_lookahead.torchscript", 16, f"}}\ntargets: [{target}]\nvalidate: {{"
    )
    shown = {}
    for name, options in (("onnxruntime", ()), (target, ("--target", target))):
        made = command("client", model, "--language", "cpp", *options, "-o", tmp_path / name)
        assert made.returncode == 0, made.stderr
        shown[name] = run("make", "-C", tmp_path / name, "run").splitlines()
    assert [line for line in shown[target] if "tail" in line] == [
        line for line in shown["onnxruntime"] if "tail" in line
    ]
    assert "onnxruntime" not in run("ldd", tmp_path / target / "build" / "stream")


def test_a_project_on_a_target_is_of_its_files_or_refused(tmp_path: Path) -> None:
    made = compiled(tmp_path, "tcn.torchscript", 16, "}\ntargets: [litert]\nvalidate: {")
    assert command("client", made, "--language", "python", "--target", "litert", "-o", tmp_path / "app").returncode == 0
    assert "out.onnx" not in {p.name for p in (tmp_path / "app").iterdir()}
    assert "y (1, 8, 16)" in run(sys.executable, "stream.py", cwd=tmp_path / "app")
    refused = {
        ("web", "litert"): "graphc's web client does not run on litert; use --language python",
        ("cpp", "mnn"): "the model was not compiled for the target 'mnn'; its targets: litert; name it",
    }
    for (language, target), said in refused.items():
        done = command("client", made, "--language", language, "--target", target, "-o", tmp_path / language)
        assert done.returncode == 2
        assert said in done.stderr
        assert not (tmp_path / language).exists()
    (tmp_path / "out.litert.tflite").unlink()
    done = command("client", made, "--language", "cpp", "--target", "litert", "-o", tmp_path / "cpp")
    assert done.returncode == 2
    assert "the target's file out.litert.tflite is not beside it; compile again" in done.stderr


def test_a_file_streams_in_the_terminal_by_one_command(tmp_path: Path) -> None:
    model = compiled(tmp_path, "codec.torchscript", 320, ", frame_ms: 0.0625, inputs: {wave: {axis: 2}}")
    sound = sound_in(tmp_path)
    shown = run(sys.executable, "-m", "graphc_runtime.command", model, sound, "-o", tmp_path / "out.npz")
    assert "48000 frames of wave in 150 pushes" in shown
    assert "of real time" in shown
    with np.load(tmp_path / "out.npz") as found:
        assert found["decoded"].shape == (1, 1, 48000)


LIES: dict[str, Callable[[dict[str, Any]], object]] = {
    "the manifest's port 'features' has frames that contradict its shape": lambda m: m["inputs"][0].update(axis=2),
    "the axis of the manifest's port 'features' is out of range": lambda m: m["inputs"][0].update(axis=10**12),
    "the manifest's chunk is out of range": lambda m: m.update(chunk=-1),
    "has a dtype or a shape that is not valid": lambda m: m["states"][0].update(dtype="string"),
    "the rate of the manifest's port 'features' is out of range": lambda m: m["inputs"][0].update(rate=[1, 0]),
    "not a manifest of graphc": lambda m: m.update(format="another"),
}


@pytest.mark.xdist_group("cpp")
@needs_cmake
@pytest.mark.parametrize("said", LIES)
def test_a_manifest_that_lies_is_refused_in_cpp(program: Path, tmp_path: Path, said: str) -> None:
    model = onnx.load(compiled(tmp_path, "lstm_tagger.torchscript"))
    held = next(p for p in model.metadata_props if p.key == "graphc.manifest")
    manifest = json.loads(held.value)
    LIES[said](manifest)
    held.value = json.dumps(manifest)
    onnx.save(model, tmp_path / "lies.onnx")
    (tmp_path / "in.bin").write_bytes(b"")
    (tmp_path / "lies.stream.json").write_text('{"model": "lies.onnx", "input": "in.bin", "steps": [], "outputs": []}')
    done = subprocess.run([program, tmp_path / "lies.stream.json"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stdout
    assert done.stderr == ""


def readme_block(language: str, first: str) -> list[str]:
    """The commands of the README's block that begins so."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    block = next(text for text in blocks if text.removeprefix("$ ").startswith(first))
    return [line.removeprefix("$ ") for line in block.splitlines() if language == "sh" or line.startswith("$ ")]


@needs_cmake
def test_the_readme_streams_in_the_terminal_by_one_command_and_in_cpp_by_two(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    spec = next(t for t in re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL))
    (tmp_path / "out" / "tagger.yaml").write_text(spec.replace("../examples", str(ROOT / "examples")))
    graphc.compile(tmp_path / "out" / "tagger.yaml")
    terminal, *in_cpp = readme_block("console", "graphc-stream")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    assert "tail: log_probs: 0 frames" in run(*terminal.split(), cwd=tmp_path, PATH=path)
    assert len(in_cpp) == 2
    for words in in_cpp:
        said = run(*words.split(), cwd=tmp_path, PATH=path)
    assert "tail: log_probs: 0 frames" in said


@pytest.mark.nightly
@needs_node
@needs_browser
@pytest.mark.skipif(not (ROOT / ".venv").is_dir(), reason="`make` has not set up .venv")
def test_the_readme_streams_in_a_page_by_one_command(tmp_path: Path) -> None:
    (words,) = readme_block("sh", "make page")
    command_line = [*words.split(), "PORT=0"]
    with subprocess.Popen(
        command_line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    ) as server:
        try:
            assert server.stdout is not None
            url = next(line.strip() for line in server.stdout if line.startswith("http://"))
            sound, picture = sound_in(tmp_path), tmp_path / "page.png"
            drive = ("node", "tests/drive_page.js", url, sound, picture)
            seen = json.loads(run(*drive, cwd=CLIENTS / "web", CHROMIUM=str(CHROMIUM)))
        finally:
            os.killpg(server.pid, signal.SIGTERM)
    assert seen["said"] == []
    assert seen["complaint"] == ""
    assert seen["isolated"] is True
    assert seen["stats"]["lost"] == seen["stats"]["dropped"] == 0
    with wave.open(str(sound)) as file:
        samples = np.frombuffer(file.readframes(10**6), "<i2") / np.float32(32768)
    session = graphc.StreamSession(ROOT / "out" / "codec.onnx")
    want = session.run(samples[None, None].astype(np.float32))["decoded"].ravel()
    assert np.abs(np.array(seen["values"]) - want).max() < OFF_IN_A_BROWSER * max(1, np.abs(want).max())
    assert seen["darkest"] < 100, "the tone stands in the spectrum"
    assert picture.stat().st_size > 10_000


def sound_in(folder: Path) -> Path:
    """Three seconds of a tone that rises and swells, and a little noise."""
    path, t = folder / "sound.wav", np.arange(48_000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * (200 + 300 * t) * t) * np.abs(np.sin(3 * np.pi * t))
    samples = tone + 0.01 * np.random.default_rng(0).standard_normal(t.size)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def test_python_needs_numpy_and_onnxruntime_alone(tmp_path: Path) -> None:
    """In a process that finds no other package."""
    model = compiled(tmp_path, "lstm_tagger.torchscript")
    for package in ("numpy", "onnxruntime"):
        for found in CAPI.parent.parent.glob(f"{package}*"):
            (tmp_path / "packages").mkdir(exist_ok=True)
            (tmp_path / "packages" / found.name).symlink_to(found)
    program = (
        "import sys, numpy as np, graphc_runtime\n"
        f"session = graphc_runtime.StreamSession({str(model)!r})\n"
        "print(session.run(np.zeros((1, 33, 40), np.float32))['log_probs'].shape)\n"
    )
    paths = f"{tmp_path / 'packages'}{os.pathsep}{CLIENTS / 'python' / 'src'}"
    shown = run(sys.executable, "-S", "-c", program, cwd=tmp_path, PYTHONPATH=paths)
    assert shown.strip() == "(1, 33, 10)"


def test_the_two_distributions_have_one_version() -> None:
    own, device = (
        next(line for line in (folder / "pyproject.toml").read_text().splitlines() if line.startswith("version"))
        for folder in (ROOT, CLIENTS / "python")
    )
    assert own == device


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("flat.npy", "'features' has the shape [4000]"),
        ("wide.npy", "save it as float32 [1, any, 40]"),
        ("double.npy", "'features' is float64, but the model takes float32"),
        ("empty.npy", "not an .npy file of numbers, or truncated"),
        ("none.npy", "No such file"),
        ("sound.wav", "'features' takes features [1, 'any', 40], not samples"),
        ("text.json", "neither an .npy nor a .wav file"),
    ],
)
def test_a_file_that_does_not_fit_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, said: str
) -> None:
    model = compiled(tmp_path, "lstm_tagger.torchscript")
    np.save(tmp_path / "flat.npy", np.zeros(4000, np.float32))
    np.save(tmp_path / "wide.npy", np.zeros((1, 100, 39), np.float32))
    np.save(tmp_path / "double.npy", np.zeros((1, 100, 40)))
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.json").write_text("{}")
    sound_in(tmp_path)
    assert stream_command([str(model), str(tmp_path / file)]) == 2
    shown = capsys.readouterr().err
    assert said in shown
    assert file in shown
    assert shown.count("\n") == 1


def test_a_sound_of_another_rate_and_no_frames_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = compiled(tmp_path, "codec.torchscript", 320, ", frame_ms: 0.125, inputs: {wave: {axis: 2}}")
    assert stream_command([str(model), str(sound_in(tmp_path))]) == 2
    assert "it has 16000 samples a second, but the model takes 8000" in capsys.readouterr().err
    np.save(tmp_path / "none.npy", np.zeros((1, 1, 0), np.float32))
    assert stream_command([str(model), str(tmp_path / "none.npy")]) == 0
    assert "0 frames of wave in 0 pushes" in capsys.readouterr().out
    assert stream_command([str(model), "-o", str(tmp_path / "out.txt")]) == 2
    assert "is not a .npz" in capsys.readouterr().err


def test_a_push_that_is_refused_takes_nothing(tmp_path: Path) -> None:
    session = graphc.StreamSession(compiled(tmp_path, "cross_attention.torchscript"))
    features, context = np.zeros((1, 16, 20), np.float32), np.zeros((1, 7, 10), np.float32)
    with pytest.raises(graphc.InputError, match="'context' was not given"):
        session.push(features=features)
    with pytest.raises(graphc.InputError, match="has the shape"):
        session.push(features=features, context=context[:, :3])
    heard = session.push(features=features, context=context)["y"].shape[1]
    assert heard + session.flush()["y"].shape[1] == 16
