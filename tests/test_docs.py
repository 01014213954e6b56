"""The examples of README and docs/ run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from commands import graphc as graphc_command
from conftest import ROOT, SPEC
from onnx import TensorProto, helper

import graphc
from graphc.stream.facts.stream import Stream
from graphc.stream.lowering.rule import rule_for

Project = Callable[..., Path]


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


FOLDERS = ("tutorials", "how-to", "clients", "front-ends")
PAGES = sorted(p.relative_to(ROOT) for kind in FOLDERS for p in (ROOT / "docs" / kind).glob("*.md"))
PAGES += [Path("docs/sweeps.md"), Path("docs/mlops.md")]
LONG = (
    "docs/clients/another-language.md",
    "docs/clients/cpp.md",
    "docs/front-ends/nemo.md",
    "docs/how-to/find-a-fault.md",
    "docs/how-to/limit-attention.md",
    "docs/how-to/read-a-model.md",
    "docs/how-to/validate-on-recordings.md",
    "docs/how-to/write-a-client.md",
    "docs/mlops.md",
    "docs/sweeps.md",
    "docs/tutorials/conformer.md",
    "docs/tutorials/quantize-and-drift.md",
    "docs/tutorials/transcript.md",
)
NEEDS = {Path("docs/mlops.md"): ("mlflow", "wandb")}


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.nightly] if str(p) in LONG else []) for p in PAGES], ids=str
)
def test_a_page_runs_as_it_is_printed(page: Path, tmp_path: Path) -> None:
    """Blocks with a title are files; commands run one after the other, and print every line that the page shows."""
    for package in NEEDS.get(page, ()):
        pytest.importorskip(package, reason=f"{package} is large: pip install 'graphc[{package}]'")
    for name in ("examples", "clients"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "COLUMNS": "300"}
    fences = re.findall(r'```(\w+)(?: title="([^"]+)")?\n(.*?)```', (ROOT / page).read_text(), re.DOTALL)
    for language, title, text in fences:
        if title:
            (tmp_path / title).parent.mkdir(exist_ok=True)
            (tmp_path / title).write_text(text)
        for shown in text.split("$ ")[1:] if language == "console" else []:
            command, *lines = shown.splitlines()
            if command.startswith("python -m pip install"):
                continue
            if re.fullmatch(r"graphc [^|;&$<>]*", command):
                done = graphc_command(*shlex.split(command)[1:], cwd=tmp_path, environment=environment)
            else:
                words = ["bash", "-c", command]
                done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
            printed = " ".join((done.stdout + done.stderr).split())
            assert done.returncode == 0, f"{command}: {printed}"
            for line in lines:
                assert " ".join(line.split()) in printed, command


def test_files_that_the_docs_name_exist() -> None:
    folders = (ROOT, ROOT / "src" / "graphc", ROOT / "passes")
    for page in (ROOT / "docs").rglob("*.md"):
        for name in re.findall(r"`([a-z_/]+/[a-z_]+\.py)`", page.read_text()):
            assert any((folder / name).exists() for folder in folders), f"{page.name} names {name}"


def test_the_readmes_example_compiles_and_streams(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "out" / "tagger.yaml"
    spec.parent.mkdir()
    text = blocks("README.md", "yaml")[0].replace("../examples", str(ROOT / "examples"))
    spec.write_text(text)
    graphc.compile(spec)
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("README.md", "python")
    names: dict[str, object] = {}
    exec(code, names)
    assert isinstance(names["rest"], np.ndarray)


def test_the_readmes_inspection_is_what_is_printed() -> None:
    model = ROOT / "examples" / "models" / "lstm_tagger.torchscript.onnx"
    done = graphc_command("inspect", model)
    printed = " ".join(done.stdout.split())
    shown = blocks("README.md", "console")[1].splitlines()[1:]
    assert shown
    for line in [line for line in shown if line != "…"]:
        assert line in printed


def test_the_pass_of_the_docs_runs(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "drop_nodes.py").write_text(blocks("docs/writing-a-pass.md", "python")[0])
    spec = project(spec=SPEC.replace("fuse]", "{drop_nodes: {ops: [Identity]}}]") + "pass_paths: [mine]\n")
    done = graphc_command("compile", "--json", "--allow-pass-path", folder, spec)
    assert done.returncode == 0, done.stderr
    assert '"drop_nodes"' in done.stdout


def test_the_rewrite_of_the_docs_fires(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "double_negation.py").write_text(blocks("docs/fusion.md", "python")[0])
    graph = helper.make_graph(
        [helper.make_node(op, [a], [b]) for op, a, b in (("Neg", "x", "n"), ("Neg", "n", "m"), ("Relu", "m", "out"))],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "T"])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    spec = project(model, spec=SPEC.replace("fuse]", "{fuse: {only: [double_negation]}}]") + "pass_paths: [mine]\n")
    done = graphc_command("compile", "-v", "--allow-pass-path", folder, spec)
    assert done.returncode == 0, done.stderr
    assert "fuse: double_negation: fired once" in done.stdout


def test_the_rules_of_the_docs_lift() -> None:
    """Through a local function, so that onnxruntime knows the op; the lift inlines functions, so the rule is tried alone."""
    for code in blocks("docs/writing-a-rule.md", "python"):
        exec(code, {})
    assert rule_for("com.example::Loudness")
    rule = rule_for("com.example::AddPrevious")
    assert rule
    from fractions import Fraction

    from graphc.contract.length import Length
    from graphc.ir.graph import Constant, Node, Variable
    from graphc.stream.lowering.builder import Builder
    from graphc.stream.lowering.node_facts import Facts

    x = Stream(1, Fraction(1), 0, Length(), (1, -1), np.dtype(np.float32))
    node = Node("AddPrevious", "n", inputs=[Variable("x")], outputs=[Variable("y")], domain="com.example")
    facts = Facts(node, (x,), 3, 17, (5,), (((1, 5),),), (((1, 5),),), (np.dtype(np.float32),), {}, (), 8)
    builder = Builder(3, set())
    builder.node = "n"
    (result,) = rule(node, facts).emit(builder, [Constant("x", np.ones((1, 3), np.float32))])
    assert result is not None
    assert [n.op for n in builder.nodes] == ["Concat", "Slice", "Slice", "Add"]
    assert [s.kind for s in builder.states] == ["delay_line"]


def test_the_spec_of_the_docs_is_one(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(blocks("docs/spec.md", "yaml")[0])
    from graphc.spec.spec_file import load_spec

    assert load_spec(path).spec.validation.tolerance.rtol == 1e-4


def test_the_refusal_that_the_readme_shows(project: Project) -> None:
    lstm = helper.make_node("LSTM", ["t", "w", "r"], ["y"], name="/lstm/LSTM", hidden_size=2, direction="bidirectional")
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["t"], perm=[2, 0, 1]), lstm],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, "T"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(np.ones((2, 8, 3), np.float32), "w"),
            onnx.numpy_helper.from_array(np.ones((2, 8, 2), np.float32), "r"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(graphc.StreamError) as caught:
        graphc.compile(project(model))
    assert f"graphc: error: {caught.value}" in (ROOT / "README.md").read_text()
