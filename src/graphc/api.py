"""What pass authors import: the public names of graphc, listed in ``api.pyi``. Each is loaded when it is asked for."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

HOMES = {
    alias.name: str(node.module)
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = list(HOMES)


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"graphc.api has no name '{name}'")
    found = getattr(import_module(HOMES[name]), name)
    globals()[name] = found
    return found
