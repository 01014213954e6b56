"""Finds targets: every module of this folder that defines ``TARGET``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import graphc.targets as folder
from graphc.errors import SpecError
from graphc.targets.target import Target


@cache
def all_targets() -> dict[str, Target]:
    """All targets by name, sorted."""
    modules = [importlib.import_module(f"{folder.__name__}.{m.name}") for m in pkgutil.iter_modules(folder.__path__)]
    found: list[Target] = [m.TARGET for m in modules if hasattr(m, "TARGET")]
    return {t.name: t for t in sorted(found, key=lambda t: t.name)}


def target_named(name: str) -> Target:
    """The target with a name.

    Errors:
        SpecError: there is none.
    """
    targets = all_targets()
    if name not in targets:
        raise SpecError(f"there is no target '{name}'", hint=f"one of {', '.join(targets)}")
    return targets[name]


def target_with(*ops: str) -> Target | None:
    """The first target that runs some ops besides ONNX's own. None if there is none."""
    return next((t for t in all_targets().values() if t.has(*ops)), None)


def richer_than(target: Target) -> Target | None:
    """The first target with all the ops of another target, and more. None if there is none."""
    return next((t for t in all_targets().values() if t.ops > target.ops), None)
