"""Files that nobody should be able to do harm with: a clear error, in bounded time and memory, and nothing written."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import reduce
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc as graphc_command
from conftest import ROOT, SPEC, small_model
from hostile_models import MODELS, external

sys.path.insert(0, str(ROOT / "tests" / "fuzz"))
from targets import TARGETS

import graphc
import graphc.offline.recordings
from graphc.cli.terminal import console, show_report
from graphc.offline.prepare import offline_of
from graphc.offline.recordings import array_file
from graphc.spec.stream_schema import StreamSpec
from graphc.system.escape import one_line
from graphc_runtime.errors import InputError, ModelError
from graphc_runtime.session import StreamSession

ENDLESS = {"endless_loop"}
FINE = {"deep_branches", "node_of_many_inputs"}
CORPUS = sorted((ROOT / "tests" / "corpus" / "fuzz").rglob("*"))
LEVELS = "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefg", "bcdefgh", strict=True))


def refused(folder: Path, minutes: float = 1.0) -> str:
    """The one line that ends ``graphc compile`` in a folder, which is left as it was."""
    before = sorted(folder.rglob("*"))
    limits = ["--max-memory-gb", "6", "--max-minutes", str(minutes)]
    done = graphc_command("compile", *limits, folder / "spec.yaml")
    assert done.returncode == 2, done.stderr
    assert sorted(folder.rglob("*")) == before
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert "defect of graphc" not in lines[0]
    return lines[0].removeprefix("graphc: error: ")


@pytest.mark.parametrize("name", sorted(set(MODELS) - FINE))
def test_models(name: str, tmp_path: Path) -> None:
    made = MODELS[name]()
    (tmp_path / "model.onnx").write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    axis = 2 if name == "kernel_of_enormous_reach" else 0
    (tmp_path / "spec.yaml").write_text(SPEC.replace("axis: 2", f"axis: {axis}"))
    said = refused(tmp_path, 0.04 if name in ENDLESS else 1.0)
    if name in ENDLESS:
        assert "--max-minutes" in said


@pytest.mark.parametrize(
    ("location", "entries"),
    [
        ("../secret", {}),
        ("inner/../../secret", {}),
        ("/etc/hostname", {}),
        ("link", {}),
        ("linked/weights", {}),
        ("pipe", {}),
        (".", {}),
        ("", {}),
        ("weights", {"offset": "-8"}),
        ("weights", {"offset": "1000000"}),
        ("weights", {"length": "99999999999999"}),
        ("weights", {"offset": "many"}),
        ("graphc-kept:0", {}),
    ],
)
def test_external_data(location: str, entries: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(bytes(16))
    (folder / "weights").write_bytes(bytes(16))
    (folder / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "weights").write_bytes(bytes(16))
    (folder / "linked").symlink_to(tmp_path / "other")
    os.mkfifo(folder / "pipe")
    (folder / "model.onnx").write_bytes(external(location, **entries).SerializeToString())
    (folder / "spec.yaml").write_text(SPEC.replace("axis: 2", "axis: 0"))
    assert "external data" in refused(folder) or "not a valid ONNX model" in refused(folder)


SPECS: dict[str, tuple[bytes, str]] = {
    "aliases that expand": (b"a: &a [x]\n" + LEVELS.encode() + b"\nversion: *h\n", "aliases count as expanded"),
    "an alias of itself": (b"version: &a [*a]\n", "too deeply nested or too large"),
    "deep nesting": (b"version: " + b"[" * 5000 + b"]" * 5000, "maximum recursion depth"),
    "a hundred megabytes": (b"# x\n" * 25_000_000, "a spec of more than 1000000 bytes"),
    "a key twice": (SPEC.encode() + b"output: y.onnx\n", "spec.yaml:6:1: the key 'output' appears twice"),
    "tabs": (b"version: 1\n\tmodel: m.onnx\n", "spec.yaml:2:1: not YAML"),
    "UTF-16": (SPEC.encode("utf-16"), "not UTF-8 at byte 0"),
    "Latin-1": (SPEC.replace("model.onnx", "mod\xe9l.onnx", 1).encode("latin-1"), "not UTF-8 at byte 21"),
    "a zero byte": (SPEC.replace("version", "ver\0sion").encode(), "unacceptable character #x0000"),
    "half a surrogate": (SPEC.replace("model.onnx", '"\\uD800.onnx"', 1).encode(), "an unpaired surrogate"),
    "a number of 5,000 digits": (SPEC.replace("chunk: 4", "chunk: " + "9" * 5000).encode(), "is not a number"),
    "an infinite chunk": (SPEC.replace("chunk: 4", "chunk: .inf").encode(), "stream.chunk: "),
    "an enormous chunk": (SPEC.replace("chunk: 4", "chunk: 1000000000000").encode(), "less than or equal to 1000000"),
    "an enormous batch": (SPEC.replace("chunk: 4", "chunk: 4, batch: 1000000").encode(), "less than or equal to 4096"),
    "enormous streams": (SPEC.encode() + b"validate: {frames: [1, 1000000000000]}\n", "less than or equal to 10000000"),
    "a Python object": (b"version: !!python/object/apply:os.system ['true']\n", "spec.yaml:1:1"),
    "a device as model": (SPEC.replace("model.onnx", "/dev/zero", 1).encode(), "the model is not a regular file"),
    "a device as recording": (
        SPEC.replace("fuse]", "fuse, quantize: {mode: static, calibration: {paths: [/dev/zero]}}]").encode(),
        "/dev/zero: there is no such file",
    ),
    "more memory than any machine has": (
        SPEC.replace("fuse]", "fuse, simplify: {memory_gb: 1e300}]").encode(),
        "passes[3].simplify.memory_gb: input should be less than or equal to 1000000",
    ),
}


@pytest.mark.parametrize("name", sorted(SPECS))
def test_specs(name: str, tmp_path: Path) -> None:
    onnx.save(small_model(), tmp_path / "model.onnx")
    content, says = SPECS[name]
    (tmp_path / "spec.yaml").write_bytes(content)
    assert says in refused(tmp_path)


@pytest.mark.parametrize("path", [p for p in CORPUS if p.is_file()], ids=lambda p: p.name)
def test_what_the_fuzzer_kept(path: Path, tmp_path: Path) -> None:
    TARGETS[path.parent.name](path.read_bytes(), tmp_path)


@pytest.mark.parametrize("command", ["compile", "inspect"])
def test_a_model_that_protobuf_cannot_hold(command: str, tmp_path: Path) -> None:
    with (tmp_path / "model.onnx").open("wb") as file:
        file.truncate(50 * 2**30)
    (tmp_path / "spec.yaml").write_text(SPEC)
    said = run([command, "spec.yaml" if command == "compile" else "model.onnx"], tmp_path)
    assert said.returncode == 2
    assert said.stderr.endswith("protobuf's limit of two gigabytes; save its weights as external data\n")


@pytest.mark.parametrize("name", ["stream.npz", "stream.npy"])
def test_recordings_that_lie(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / name
    path.write_bytes(bomb("x"))
    monkeypatch.setattr(graphc.offline.recordings, "LARGEST_FILE", 2**26)
    with pytest.raises(InputError, match="it holds more than 67108864 bytes"):
        array_file(path)
    whole = packed(x=np.zeros((1, 2, 3), np.float32))
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5A]) + whole[place + 1 :])
        with suppress(InputError):
            array_file(path)


@pytest.fixture
def compiled(project: Callable[..., Path]) -> Path:
    """A compiled model with a first value in a file."""
    model = small_model()
    start = onnx.numpy_helper.from_array(np.arange(4, dtype=np.float32).reshape(1, 1, 4), "start")
    model.graph.initializer.append(start)
    model.graph.node[2].input.extend(["", "start", "start"])
    spec = project(model)
    done = graphc_command("compile", spec)
    assert done.returncode == 0, done.stderr
    return spec.parent / "out" / "model.stream.onnx"


def bomb(key: str) -> bytes:
    """An archive of a few kilobytes that unpacks to a hundred megabytes."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive, archive.open(f"{key}.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": (1, 1, 4)})
        for _ in range(100):
            member.write(bytes(1_000_000))
    return held.getvalue()


def packed(**arrays: np.ndarray) -> bytes:
    held = io.BytesIO()
    np.savez(held, **arrays)
    return held.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda keys: bomb(keys[0]), "it unpacks to 100000"),
        (lambda keys: packed(**{k: np.zeros((1, 1, 4), object) for k in keys}), "it unpacks to|pickle"),
        (lambda keys: packed(**{k: np.zeros((1, 1, 3), np.float32) for k in keys}), r"is float32\[1, 1, 3\]"),
        (lambda keys: packed(**{k: np.zeros((1, 1, 4), np.float64) for k in keys}), r"is float64\[1, 1, 4\]"),
        (lambda keys: packed(other=np.zeros(1)), "There is no item named"),
        (lambda keys: packed(**{k: np.zeros((1, 1, 4), np.float32) for k in keys})[:100], "not a zip file"),
        (lambda keys: b"", "not a zip file"),
    ],
)
def test_first_values_that_lie(compiled: Path, content: Callable[[list[str]], bytes], says: str) -> None:
    manifest = json.loads(compiled.with_suffix(".manifest.json").read_text())
    keys = [s["init"]["key"] for s in manifest["states"] if isinstance(s["init"], dict) and "key" in s["init"]]
    assert keys
    compiled.with_suffix(".init.npz").write_bytes(content(keys))
    with pytest.raises(ModelError, match=says):
        StreamSession(compiled)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("valid_frames", "x_of_nobody", "names ports that the model does not have: x_of_nobody"),
        ("chunk", 2**63, "chunk"),
        ("states", 2**31, "has the shape"),
    ],
)
def test_manifests_that_lie(compiled: Path, field: str, value: object, says: str) -> None:
    path = compiled.with_suffix(".manifest.json")
    manifest = json.loads(path.read_text())
    if field == "states":
        manifest["states"][0]["shape"][0] = value
    else:
        manifest[field] = value
    path.write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match=says):
        StreamSession(path)


NAMES = [
    "a\nb",
    "\x1b[31mred",
    "[bold]b[/] [/nothing]",
    ":smile:",
    "\u202edrawkcab",
    "true",
    "0",
    "a: b",
    "#c",
    '"q\\',
    "*p",
    "long " * 300,
]


@pytest.mark.nightly
def test_names_do_nothing_but_stand_there(tmp_path: Path) -> None:
    onnx.save(named(NAMES), tmp_path / "model.onnx")
    starter = run(["init", "model.onnx", "-o", "spec.yaml"], tmp_path)
    assert (starter.returncode, starter.stderr) == (0, "")
    shown = [run(["inspect", "model.onnx"], tmp_path), run(["compile", "-v", "spec.yaml"], tmp_path)]
    shown += [run([what, "spec.yaml"], tmp_path) for what in ("validate", "bench")]
    with console.capture() as table:
        show_report(graphc.compile(tmp_path / "spec.yaml", graphc.Options(force=True)), "spec.yaml")
    assert all(done.returncode == 0 for done in shown), shown
    text = table.get() + "".join(done.stdout for done in shown)
    assert [name for name in NAMES if one_line(name) not in text] == []
    assert all(line.isprintable() for line in text.split("\n"))
    assert set(graphc.StreamSession(tmp_path / "model.stream.onnx").outputs) == set(NAMES)


def named(names: list[str]) -> onnx.ModelProto:
    """One small model beside the other, each with a name of a stranger's in those of its ports and nodes."""
    model = small_model()
    graphs = [renamed(model.graph, name, f"{number} ") for number, name in enumerate(names)]
    model.graph.CopyFrom(reduce(lambda one, other: onnx.compose.merge_graphs(one, other, []), graphs))
    return model


def renamed(graph: onnx.GraphProto, name: str, inside: str) -> onnx.GraphProto:
    """The graph with one name for its ports and nodes, and another in front of what stays inside."""
    made = onnx.compose.add_prefix_graph(graph, inside)
    source, target = made.input[0].name, made.output[0].name
    names = {source: f"{name} in", target: name}
    for node in made.node:
        node.name = f"{node.name} {name}"
        for wires in (node.input, node.output):
            wires[:] = [names.get(wire, wire) for wire in wires]
    made.input[0].name, made.output[0].name = names[source], names[target]
    return made


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return graphc_command(*arguments, cwd=folder)


def test_a_terminal_without_unicode_shows_escapes(tmp_path: Path) -> None:
    onnx.save(named(["größe"]), tmp_path / "model.onnx")
    done = subprocess.run(
        [sys.executable, "-m", "graphc", "inspect", "model.onnx"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "input gr\\xf6\\xdfe in [1, 3, T]: a stream" in done.stdout


def test_names_of_folders_that_make_or_utf8_cannot_hold(project: Callable[..., Path], tmp_path: Path) -> None:
    source = project().parent
    odd, broken = tmp_path / os.fsdecode(b"fold\xff"), tmp_path / "two\nlines"
    for folder, told in (
        (odd, "the spec's name is not UTF-8"),
        (broken, "a rule of make cannot name a file with a line break"),
    ):
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("fold*", "two*"))
        said = run(["compile", "--depfile", "model.d", str(folder / "spec.yaml")], tmp_path)
        assert said.returncode == 2
        assert told in said.stderr
        assert len(said.stderr.splitlines()) == 1
        assert not (tmp_path / "model.d").exists()
        inside = run(["compile", "--depfile", "model.d", "spec.yaml"], folder)
        assert (inside.returncode, inside.stderr) == (0, "")
        assert "spec.yaml" in (folder / "model.d").read_text()


@pytest.mark.nightly
def test_a_model_that_runs_at_no_length_ends_in_bounded_memory() -> None:
    """Scores of all frames by all frames, in front of a Reshape that fits none: 17 gigabytes at 65,536 frames.

    Twice in a process of its own, as what one model took must not make room for the next.
    """
    text = """<ir_version: 8, opset_import: ["" : 17]> g (float[1,2,T] x) => (float[A] y)
        { t = Transpose <perm=[0,2,1]> (x) s = MatMul (t, x) y = Reshape (s, seven) }"""
    model = onnx.parser.parse_model(text)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array([7]), "seven"))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        for _ in range(3):
            assert pool.submit(most_memory_at_no_length, model.SerializeToString()).result() < 4 * 10**9


def most_memory_at_no_length(model: bytes) -> int:
    with pytest.raises(ModelError, match="runs at none of the lengths tried"):
        offline_of(onnx.load_from_string(model), StreamSpec(chunk=1)).some_lengths()
    return most_memory()


def most_memory() -> int:
    """The peak of this program in bytes; ru_maxrss would count that of the process it was started from."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
