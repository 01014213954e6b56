"""What a recipe says: how a network of a package is built, fed, exported, and what graphc is told about it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TORCH = ("dynamo", "torchscript")


@dataclass(frozen=True)
class Network:
    """A network with example inputs.

    Args:
        module: a torch module.
        inputs: example tensors by the name of their port, in the order in which ``call`` takes them.
        call: ``call(module, *inputs)``; None for ``module(*inputs)``.
    """

    module: Any
    inputs: dict[str, Any]
    call: Callable[..., Any] | None = None


@dataclass(frozen=True)
class Recipe:
    """One architecture.

    Args:
        key: file and function, which name its files.
        package: as pip knows it.
        environment: the file of ``zoo/environments`` that installs it.
        task: what it is for.
        what: the architecture, in the words of its package.
        time: the time axis of each stream input.
        exporters: dynamo and torchscript of torch; any other name stands for the package's own, which writes the file.
        changed: what the recipe changes in the package before the export, and why.
        passes: options by pass, which are put into init's spec.
        told: what init is told, as its options; where it reads the model right by itself, nothing.
        instead: of one that cannot be lifted exactly, what to change so that it can.
        build: makes the network; with an exporter of the package's own, writes the model to the path that it is given.
    """

    key: str
    package: str
    environment: str
    task: str
    what: str
    time: dict[str, int]
    exporters: tuple[str, ...]
    changed: str
    passes: Mapping[str, Any]
    told: tuple[str, ...]
    instead: str
    build: Callable[..., Any]


@dataclass(frozen=True)
class Package:
    """A package, to whose networks the recipes of a file belong."""

    name: str
    environment: str = "torch"
    recipes: list[Recipe] = field(default_factory=list)

    def network(
        self,
        task: str,
        what: str,
        time: dict[str, int],
        exporters: tuple[str, ...] = TORCH,
        changed: str = "",
        passes: Mapping[str, Any] | None = None,
        told: tuple[str, ...] = (),
        instead: str = "",
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Adds the decorated function as a recipe."""

        def add(build: Callable[..., Any]) -> Callable[..., Any]:
            key = f"{build.__module__.rsplit('.', 1)[-1]}.{build.__name__}"
            whose = (self.name, self.environment, task, what)
            self.recipes.append(Recipe(key, *whose, time, exporters, changed, passes or {}, told, instead, build))
            return build

        return add


def all_recipes() -> list[Recipe]:
    """The recipes of every file in ``zoo/recipes``, by file and in the order of each."""
    folder = Path(__file__).parent / "recipes"
    names = sorted(m.name for m in pkgutil.iter_modules([str(folder)]))
    packages = [importlib.import_module(f"zoo.recipes.{name}").package for name in names]
    return [recipe for package in packages for recipe in package.recipes]
