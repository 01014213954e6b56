"""Exports one network: ``python -m zoo.export_network RECIPE EXPORTER MODEL.onnx``, in its package's environment.

What torch's exporters wrote is run in onnxruntime at the length of the example and at twice it, beside torch.
"""

from __future__ import annotations

import importlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zoo.recipe import Network, Recipe

CLOSE = 1e-3


def recipe_named(key: str) -> Recipe:
    module = importlib.import_module(f"zoo.recipes.{key.split('.')[0]}")
    recipes: list[Recipe] = module.package.recipes
    return next(recipe for recipe in recipes if recipe.key == key)


def called(network: Network) -> Any:
    """The network as a module that takes its inputs alone, with weights that the exporter takes for constants."""
    import torch

    class Called(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = network.module

        def forward(self, *inputs: Any) -> Any:
            return network.call(self.module, *inputs) if network.call else self.module(*inputs)

    called = Called().eval()
    called.requires_grad_(False)
    return called


def export(recipe: Recipe, exporter: str, network: Network, path: Path) -> None:
    import torch

    names, values = list(network.inputs), tuple(network.inputs.values())
    axes = [recipe.time.get(name) for name in names]
    module = called(network)
    if exporter == "dynamo":
        shapes = tuple(None if axis is None else {axis: torch.export.Dim.DYNAMIC} for axis in axes)
        torch.onnx.export(
            module,
            values,
            path,
            dynamo=True,
            dynamic_shapes=(shapes,),
            input_names=names,
            external_data=False,
            verbose=False,
        )
    else:
        torch.onnx.export(
            module,
            values,
            str(path),
            dynamo=False,
            opset_version=17,
            input_names=names,
            output_names=[f"out{index}" for index in range(len(list(tensors(module(*values)))))],
            dynamic_axes={name: {axis: "T"} for name, axis in recipe.time.items()},
        )


def tensors(outputs: Any) -> Iterator[Any]:
    """The tensors of a network's outputs, however they are nested, in order."""
    import torch

    if isinstance(outputs, torch.Tensor):
        yield outputs
    elif isinstance(outputs, dict):
        for value in outputs.values():
            yield from tensors(value)
    elif isinstance(outputs, list | tuple):
        for value in outputs:
            yield from tensors(value)


def check(recipe: Recipe, network: Network, path: Path, times: int) -> None:
    """Compares the exported model with torch at so many times the example's length.

    onnxruntime does not optimize it: its optimizer believes the shapes that an exporter wrote down for one length.

    Raises:
        ValueError: they differ.
    """
    import numpy as np
    import onnxruntime
    import torch

    inputs = {
        name: torch.cat([value] * times, dim=recipe.time[name]) if name in recipe.time else value
        for name, value in network.inputs.items()
    }
    want = [value.numpy() for value in tensors(called(network)(*inputs.values()))]
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    taken = {port.name for port in session.get_inputs()}
    got = session.run(None, {name: value.numpy() for name, value in inputs.items() if name in taken})
    for index, (a, b) in enumerate(zip(want, got, strict=False)):
        if a.shape != b.shape:
            raise ValueError(f"output {index} at {times} times the length: {b.shape}, and {a.shape} in torch")
        worst = float(np.abs(a.astype(np.float64) - b).max(initial=0)) / max(1.0, float(np.abs(a).max(initial=0)))
        if not worst <= CLOSE:
            raise ValueError(f"output {index} at {times} times the length: {worst:.2g} from torch")


def main(key: str, exporter: str, model: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    recipe, path = recipe_named(key), Path(model)
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    if exporter not in ("dynamo", "torchscript"):
        recipe.build(path)
        return
    with torch.no_grad():
        network = recipe.build()
        export(recipe, exporter, network, path)
        for times in (1, 2):
            check(recipe, network, path, times)


if __name__ == "__main__":
    main(*sys.argv[1:])
