"""Passes and rules of other people: an installed package, and a folder that the command line allows."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, SPEC

Project = Callable[..., Path]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a machine on which the plugin package is installed."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "plugin"
    subprocess.run(["cp", "-r", str(ROOT / "tests" / "plugin"), str(source)], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--target",
            str(target),
            str(source),
        ],
        check=True,
        capture_output=True,
    )
    return {**os.environ, "PYTHONPATH": str(target)}


def graphc(environment: dict[str, str] | None, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "graphc", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_an_installed_package_adds_a_pass_and_a_rule(installed: dict[str, str], project: Project) -> None:
    listed = graphc(installed, "passes")
    assert "name_nodes" in listed.stdout
    assert "graphc-example-plugin 1.0" in listed.stdout
    spec = project(spec=SPEC.replace("fuse]", "{name_nodes: {prefix: op}}]"))
    assert graphc(installed, "compile", spec).returncode == 0
    probe = "from graphc.passes.registry import load_registry; load_registry(); from graphc.stream.lowering.rule import rule_for;"
    probe += "assert rule_for('com.example::Loudness')"
    subprocess.run([sys.executable, "-c", probe], env=installed, check=True)


def test_an_installed_package_adds_a_target(installed: dict[str, str], project: Project) -> None:
    listed = graphc(installed, "targets")
    rows = dict(line.split(maxsplit=1) for line in listed.stdout.splitlines())
    assert rows["reference"].startswith("onnx's reference evaluator, in Python")
    spec = project(spec=SPEC + "targets: [reference]\n")
    done = graphc(installed, "compile", spec)
    assert done.returncode == 0, done.stderr
    assert list(spec.parent.rglob("*.reference.pb"))


def test_the_target_in_the_docs_is_the_one_that_runs() -> None:
    shown = (ROOT / "tests/plugin/src/graphc_example_plugin/reference_target.py").read_text()
    assert f"```python\n{shown}```" in (ROOT / "docs" / "targets" / "add-a-target.md").read_text()


def test_a_clash_of_names_names_both_owners(installed: dict[str, str], project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (ROOT / "tests/plugin/src/graphc_example_plugin/name_nodes.py").read_text()
    (folder / "name_nodes.py").write_text(text)
    spec = project(spec=SPEC + "pass_paths: [mine]\n")
    done = graphc(installed, "compile", "--allow-pass-path", folder, spec)
    assert done.returncode == 2
    assert "two passes are named 'name_nodes': one of graphc-example-plugin 1.0" in done.stderr
    assert "name_nodes.py" in done.stderr


def test_a_pass_in_a_folder_runs_where_the_command_line_allows_it(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    text = (ROOT / "tests/plugin/src/graphc_example_plugin/name_nodes.py").read_text()
    (folder / "count_nodes.py").write_text(text.replace("name_nodes", "count_nodes"))
    spec = project(spec=SPEC.replace("fuse]", "count_nodes]") + "pass_paths: [mine]\n")
    refused = graphc(None, "compile", spec)
    assert refused.returncode == 2
    assert "--allow-pass-path" in refused.stderr
    assert graphc(None, "compile", "--allow-pass-path", folder, spec).returncode == 0


def test_a_pass_that_breaks_the_numbers_is_named(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "break_it.py").write_text(BREAKING)
    spec = project(spec=SPEC.replace("fuse]", "break_it, fuse]") + "pass_paths: [mine]\n")
    done = graphc(None, "compile", "--allow-pass-path", folder, spec)
    assert done.returncode == 1
    assert "after the pass 'break_it' the output 'out' at frame " in done.stderr
    assert "Relu" in done.stderr, "the first inner tensor that differs is named"


def test_a_lifter_that_is_wrong_is_said_to_be_a_defect(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    lifter = BREAKING.replace('name = "break_it"', 'name = "break_it"\n    requires, gives = "offline", "streaming"')
    lifter = lifter.replace("import Node,", "import Node, analyse, lift,").replace(
        "        for node in",
        "        model = lift(analyse(context.offline, context.stream.chunk))\n        for node in",
    )
    (folder / "break_it.py").write_text(lifter)
    spec = project(spec=SPEC.replace("lift_state", "break_it") + "pass_paths: [mine]\n")
    done = graphc(None, "compile", "--allow-pass-path", folder, spec)
    assert done.returncode == 1
    assert "a lift that is not exact is a defect of graphc: report this model" in done.stderr


def test_a_pass_that_raises_is_named_without_a_traceback(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "break_it.py").write_text(BREAKING.replace("        for node in", "        1 / 0\n        for node in"))
    spec = project(spec=SPEC.replace("fuse]", "break_it]") + "pass_paths: [mine]\n")
    done = graphc(None, "compile", "--allow-pass-path", folder, spec)
    assert done.returncode == 2
    assert "the pass 'break_it' failed: ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr


BREAKING = '''
from graphc.api import Node, Pass, PassConfig, PassContext, PassResult, Variable, register_pass


@register_pass
class BreakIt(Pass[PassConfig]):
    """Puts a Relu where none belongs."""

    name = "break_it"

    def run(self, model, config, context):
        for node in [n for n in model.graph.nodes if n.op == "Conv"]:
            output = node.outputs[0]
            inner = Variable("broken")
            node.outputs = [inner]
            model.graph.nodes.insert(model.graph.nodes.index(node) + 1, Node("Relu", "Relu", inputs=[inner], outputs=[output]))
        return PassResult(model)
'''
