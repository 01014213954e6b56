"""The zoo's recipes and page, and its comparison of a stream with the exported model; building it needs its packages."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from conftest import ROOT
from ruamel.yaml import YAML

import graphc

sys.path.insert(0, str(ROOT))
from zoo.compare import difference
from zoo.environment import FOLDER as ENVIRONMENTS
from zoo.environment import plain, versions_of
from zoo.page import page
from zoo.recipe import Recipe, all_recipes
from zoo.trial import CHUNK, Result, put_together

MODELS = ROOT / "examples" / "models"
RECIPES = all_recipes()


def compiled(folder: Path, name: str, inputs: str) -> Path:
    spec = folder / "spec.yaml"
    spec.write_text(
        f"version: 1\nmodel: {MODELS / name}\noutput: out.onnx\nstream: {{chunk: 16, inputs: {inputs}}}\n"
        "passes: [lift_state, fold_constants]\n"
    )
    graphc.compile(spec)
    return folder / "out.onnx"


def test_recipes_are_read_without_their_packages() -> None:
    program = "import sys, zoo.recipe, zoo.recipes; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert len({r.key for r in RECIPES}) == len(RECIPES) >= 40
    assert len({r.package for r in RECIPES}) >= 15


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda r: r.key)
def test_a_recipe_has_its_package_and_what_a_reader_needs(recipe: Recipe) -> None:
    assert (ENVIRONMENTS / f"{recipe.environment}.txt").is_file()
    assert plain(recipe.package) in versions_of(recipe.environment)
    assert recipe.time
    assert recipe.exporters
    assert recipe.what in (ROOT / "docs" / "zoo.md").read_text()


def test_a_stream_is_compared_with_the_exported_model(tmp_path: Path) -> None:
    name = "lstm_tagger.torchscript.onnx"
    assert 0 <= difference(MODELS / name, compiled(tmp_path, name, "{features: {axis: 1}}")) < 1e-5


def test_a_model_of_other_weights_is_told_apart(tmp_path: Path) -> None:
    name = "lstm_tagger.torchscript.onnx"
    stream = compiled(tmp_path, name, "{features: {axis: 1}}")
    other = onnx.load(MODELS / name)
    weight = next(i for i in other.graph.initializer if len(i.dims) == 3)
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * np.float32(1.01), weight.name))
    onnx.save(other, tmp_path / "other.onnx")
    assert difference(tmp_path / "other.onnx", stream) > 1e-4


def test_a_limit_takes_the_place_of_the_window_that_init_wrote(tmp_path: Path) -> None:
    recipe = next(r for r in RECIPES if r.key == "conformer.conformer")
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "stream:\n  chunk: 6\n  window: 64\n  inputs:\n    x: {axis: 1}\npasses:\n  - lift_state\n  - fuse\n"
    )
    assert put_together(spec, recipe) == ""
    told = YAML(typ="safe").load(spec.read_text())
    assert told["stream"] == {"chunk": CHUNK, "inputs": {"x": {"axis": 1}}}
    assert told["passes"] == [{"lift_state": {"attention": {"left": 64, "right": 0}}}, "fuse"]
    spec.write_text(spec.read_text().replace("axis: 1", "axis: 2"))
    assert put_together(spec, recipe) == "init reads {'x': 2}, not {'x': 1}"


def test_the_page_says_what_came_of_each_export() -> None:
    lifted, limited, windowed = (
        next(r for r in RECIPES if r.key == key)
        for key in ("moshi.encoder", "conformer.conformer", "speechbrain.ecapa")
    )
    equal = Result(
        lifted.key,
        "dynamo",
        "equal",
        parameters=1_200_000,
        chunk=960,
        delays={"y": 3},
        state_bytes=5272,
        proved=True,
    )
    shown = page(
        RECIPES,
        [
            equal,
            replace(equal, exporter="torchscript"),
            Result(limited.key, "dynamo", "equal", chunk=16, delays={"y": 0}, state_bytes=8),
            Result(windowed.key, "dynamo", "windowed", "node n (ReduceMean): reduces over all time"),
        ],
    )
    assert (
        "3 architectures of 3 packages, 4 exports: 1 equal as they are, 1 equal with a limit on attention, 1 over a window, 0 refused"
        in shown
    )
    assert "| moshi 0.2.13 | dynamo, torchscript | 1.20 M | equal, proved | 960 | 3 | 5.3 kB |" in shown
    assert "limited, tried: `attention: {left: 64, right: 0}`" in shown
    assert "window: node n (ReduceMean): reduces over all time; instead: a window as long as" in shown
