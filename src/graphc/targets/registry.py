"""Finds the runtimes: modules of ``runtimes`` and entry points of ``graphc.targets`` that name a ``TARGET``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

import graphc.targets.runtimes as folder
from graphc.errors import SpecError
from graphc.spec.nearest import nearest
from graphc.targets.target import Target
from graphc_runtime.errors import TargetError

GROUP = "graphc.targets"


@cache
def all_targets() -> dict[str, Target]:
    """All runtimes by name, sorted.

    Errors:
        TargetError: an entry point cannot be imported, or two runtimes have the same name.
    """
    modules = [importlib.import_module(f"{folder.__name__}.{m.name}") for m in pkgutil.iter_modules(folder.__path__)]
    found: dict[str, Target] = {m.TARGET.name: m.TARGET for m in modules if hasattr(m, "TARGET")}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            target: Target = entry.load().TARGET
        except Exception as err:
            raise TargetError(
                f"the target plugin '{entry.name}' ({entry.value}) cannot be loaded: {type(err).__name__}: {err}",
                hint="uninstall that package, or fix it",
            ) from err
        if target.name in found:
            raise TargetError(f"two targets are named '{target.name}'; one is of {entry.value}", hint="uninstall one")
        found[target.name] = target
    return dict(sorted(found.items()))


def target_named(name: str) -> Target:
    """The runtime with a name.

    Errors:
        SpecError: there is no runtime with this name.
    """
    targets = all_targets()
    if name not in targets:
        raise SpecError(f"there is no target '{name}'", hint=nearest(name, list(targets)))
    return targets[name]
