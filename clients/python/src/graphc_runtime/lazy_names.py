"""Loads the names of a module when they are first used (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loaded_when_asked(module: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A ``__getattr__`` for a module that imports each name when it is first used.

    Args:
        module: the name of the module.
        homes: for each name, the module that defines it.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module '{module}' has no attribute '{name}'")
        found = getattr(import_module(homes[name]), name)
        setattr(sys.modules[module], name, found)
        return found

    return load
