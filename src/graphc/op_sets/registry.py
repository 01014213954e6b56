"""Finds op sets: every module of this folder that defines ``OP_SET``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import graphc.op_sets as folder
from graphc.errors import SpecError
from graphc.op_sets.op_set import OpSet


@cache
def all_op_sets() -> dict[str, OpSet]:
    """All op sets by name, sorted."""
    modules = [importlib.import_module(f"{folder.__name__}.{m.name}") for m in pkgutil.iter_modules(folder.__path__)]
    found: list[OpSet] = [m.OP_SET for m in modules if hasattr(m, "OP_SET")]
    return {t.name: t for t in sorted(found, key=lambda t: t.name)}


def op_set_named(name: str) -> OpSet:
    """The op set of a spec's ``target``.

    Errors:
        SpecError: there is no op set with this name.
    """
    op_sets = all_op_sets()
    if name not in op_sets:
        raise SpecError(f"there is no target '{name}'", hint=f"known: {', '.join(op_sets)}")
    return op_sets[name]


def op_set_with(*ops: str) -> OpSet | None:
    """The first op set that has all of these ops, given as ``domain::Op``. None if there is none."""
    return next((t for t in all_op_sets().values() if t.has(*ops)), None)


def richer_than(op_set: OpSet) -> OpSet | None:
    """The first op set that has all ops of ``op_set`` and more. None if there is none."""
    return next((t for t in all_op_sets().values() if t.ops > op_set.ops), None)
