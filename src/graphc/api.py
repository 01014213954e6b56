"""The public names of graphc for authors of passes, listed in ``api.pyi``. Each name is loaded at its first use."""

from __future__ import annotations

import ast
from pathlib import Path

from graphc_runtime.lazy_names import loaded_when_asked

HOMES = {
    alias.name: str(node.module)
    for node in ast.parse(Path(__file__).with_suffix(".pyi").read_text()).body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
}
__all__ = list(HOMES)

__getattr__ = loaded_when_asked(__name__, HOMES)
