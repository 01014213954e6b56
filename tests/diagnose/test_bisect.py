"""``graphc validate --bisect``: the first guilty pass and node, and a folder that shows them with one command."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from commands import graphc
from conftest import SPEC, small_model
from one_error import one_line
from onnx import helper
from transforming import model_of, random

Project = Callable[..., Path]
PASS = """
from graphc.api import Pass, PassConfig, PassResult, register_pass

@register_pass
class Spoil(Pass[PassConfig]):
    name = "spoil"
    def run(self, model, config, context):
        for node in model.graph.nodes:
            {body}
        return PassResult(model)
"""


def with_pass(folder: Path, body: str) -> str:
    (folder / "mine").mkdir()
    (folder / "mine" / "spoil.py").write_text(PASS.replace("{body}", body))
    return str(folder / "mine")


def long_chain() -> onnx.ModelProto:
    """Conv, LSTM, and behind them a Gelu between products."""
    model = small_model()
    graph = model.graph
    graph.node[-1].output[0] = "summed"
    names = ["summed"]
    for index, op in enumerate(("Relu", "Tanh", "Neg", "Sigmoid", "Abs", "Softplus")):
        graph.node.append(helper.make_node(op, [names[-1]], [f"after_{index}"], name=f"node_{index}"))
        names.append(f"after_{index}")
    graph.node.append(helper.make_node("Identity", [names[-1]], ["out"], name="last"))
    return model


def test_the_first_guilty_node_of_a_pass_is_found(project: Project) -> None:
    spec = project(long_chain(), SPEC.replace("fuse]", "spoil, fuse]") + "pass_paths: [mine]\n")
    allowed = with_pass(spec.parent, "node.op = 'Tanh' if node.op == 'Sigmoid' and node.name == 'node_3' else node.op")
    folder = spec.parent / "found"
    done = graphc("validate", "--bisect", folder, "--allow-pass-path", allowed, "--json", spec)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["failure"]["pass"] == "spoil"
    assert found["guilty"] == {"node": "node_3 (Sigmoid)", "output": "after_3"}
    assert found["nodes"] == {"left": 1, "before": 13}
    model = onnx.load(folder / "model.onnx")
    assert [n.op_type for n in model.graph.node] == ["Sigmoid"]
    again = graphc("compile", folder / "spec.yaml", "--allow-pass-path", allowed)
    assert again.returncode == 1
    assert "after the pass 'spoil' the output 'after_3'" in one_line(again)
    with np.load(folder / "stream.npz") as stream:
        (name,) = (n for n in stream if not n.startswith("offline."))
        np.testing.assert_allclose(1 / (1 + np.exp(-stream[name])), stream["offline.after_3"], rtol=1e-5)
    assert "graphc compile spec.yaml" in (folder / "README.txt").read_text()


def test_a_refusal_is_reduced_to_the_node_that_is_refused(project: Project) -> None:
    body = """
        a = Relu (x) b = Transpose <perm=[1,0,2]> (a) c, h, z = LSTM <hidden_size=4, direction="bidirectional"> (b, w, r)
        d = Transpose <perm=[2,0,1,3]> (c) e = Reshape (d, s) f = Tanh (e) y = MatMul (f, m)
    """
    arrays = {"w": random(2, 16, 4), "r": random(2, 16, 4), "s": np.array([1, -1, 8]), "m": random(8, 3)}
    spec = project(model_of(body, "float[1,T,4] x", **arrays), SPEC.replace("axis: 2", "axis: 1"))
    folder = spec.parent / "found"
    done = graphc("validate", "--bisect", folder, spec)
    assert done.returncode == 1, done.stderr
    model = onnx.load(folder / "model.onnx")
    assert [n.op_type for n in model.graph.node] == ["LSTM"]
    again = graphc("compile", folder / "spec.yaml")
    assert again.returncode == 3
    assert "runs in both directions over time" in one_line(again)


def test_a_pass_that_fails_is_reduced_too(project: Project) -> None:
    spec = project(long_chain(), SPEC.replace("fuse]", "spoil]") + "pass_paths: [mine]\n")
    allowed = with_pass(spec.parent, "1 / (node.op != 'Abs')")
    folder = spec.parent / "found"
    done = graphc("validate", "--bisect", folder, "--allow-pass-path", allowed, spec)
    assert done.returncode == 1, done.stderr
    assert "ZeroDivisionError" in done.stdout
    assert [n.op_type for n in onnx.load(folder / "model.onnx").graph.node] == ["Abs"]


def test_where_everything_holds_nothing_is_written(project: Project) -> None:
    spec = project()
    done = graphc("validate", "--bisect", spec.parent / "found", spec)
    assert done.returncode == 0
    assert "every pass holds" in done.stdout
    assert not (spec.parent / "found").exists()


def test_a_folder_that_holds_something_is_left_alone(project: Project) -> None:
    spec = project()
    done = graphc("validate", "--bisect", spec.parent, spec)
    assert done.returncode == 2
    assert "the folder is not empty; name a new folder" in one_line(done)


def test_a_pass_in_front_of_the_lift_and_a_model_without_a_stream(project: Project) -> None:
    body = "node.op = 'Tanh' if node.op == 'Sigmoid' and node.name == 'node_3' else node.op"
    for index, spec_text in enumerate(
        (
            SPEC.replace("[lift_state,", "[spoil, lift_state,"),
            "version: 1\nmodel: model.onnx\noutput: out.onnx\npasses: [fold_constants, spoil]\n",
        )
    ):
        spec = project(long_chain(), spec_text + "pass_paths: [mine]\n")
        allowed = with_pass(spec.parent, body) if index == 0 else str(spec.parent / "mine")
        folder = spec.parent / f"found {index}"
        done = graphc("validate", "--bisect", folder, "--allow-pass-path", allowed, spec)
        assert done.returncode == 1, done.stderr
        assert "first node at fault: node_3 (Sigmoid), whose output after_3 fails" in done.stdout
        command = shlex.split(done.stdout.splitlines()[-1].partition(": graphc ")[2])
        again = graphc(*command)
        assert again.returncode == 1
        assert "'after_3'" in one_line(again)


def test_where_no_node_is_guilty_it_is_said(project: Project) -> None:
    spec = project(long_chain(), SPEC.replace("fuse]", "spoil]") + "pass_paths: [mine]\n")
    allowed = with_pass(spec.parent, "raise KeyError(1)")
    done = graphc("validate", "--bisect", spec.parent / "found", "--allow-pass-path", allowed, spec)
    assert done.returncode == 1, done.stderr
    assert "no single node is at fault, but the pass or the spec" in done.stdout
