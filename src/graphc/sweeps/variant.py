"""Changes values of a spec, and writes the result as a spec for another folder."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError as PydanticError
from ruamel.yaml import YAML

from graphc.passes.plan import make_plan
from graphc.passes.registry import Registry
from graphc.spec.messages import first_error
from graphc.spec.schema import Spec, as_pass
from graphc.spec.spec_file import SpecFile, complaint

LISTS = ("passes", "targets")


def changed(base: SpecFile, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The data of a spec, with some values changed.

    Args:
        changes: values by their place, such as ``stream.chunk`` or ``passes.quantize.mode``. None leaves out a pass, a
            target or a key.

    Errors:
        ValueError: a place does not exist, or a value does not fit it.
    """
    data: dict[str, Any] = copy.deepcopy(base.source.data)
    for place, value in sorted(changes.items(), key=lambda change: change[0].count(".")):
        put(data, place.split("."), value)
    try:
        Spec.model_validate(data)
    except PydanticError as err:
        first = first_error(err.errors(include_url=False))
        where = ".".join(str(key) for key in first["loc"])
        said, hint = complaint(first, Spec)
        raise ValueError(f"the spec does not accept it: {where}: {said}{f'; {hint}' if hint else ''}") from None
    return data


def put(data: dict[str, Any], keys: list[str], value: Any) -> None:
    """Sets one value. Missing keys on the path are created, missing passes are not.

    Errors:
        ValueError: the place does not exist.
    """
    first, *rest = keys
    if first in LISTS and rest:
        put_in_list(data.setdefault(first, []), first, rest, value)
    elif rest:
        inner = data.setdefault(first, {})
        if not isinstance(inner, dict):
            raise ValueError(f"'{first}' has no keys: it is {inner!r}")
        put(inner, rest, value)
    elif value is None:
        data.pop(first, None)
    else:
        data[first] = value


def put_in_list(entries: list[Any], kind: str, keys: list[str], value: Any) -> None:
    """Sets all options of a pass or a target, or one option. None leaves it out.

    Errors:
        ValueError: the spec does not have the pass or the target of an option.
    """
    name, *rest = keys
    index = next((i for i, entry in enumerate(entries) if as_pass(entry)["name"] == name), None)  # type: ignore[index]
    if not rest and value is None:
        if index is not None:
            del entries[index]
        return
    if index is None and rest:
        if value is None:
            return
        raise ValueError(f"the spec has no '{name}' among its {kind}; vary {kind}.{name} with whole options instead")
    if not rest:
        entry = {name: value} if value else name
        entries[slice(len(entries), None) if index is None else slice(index, index + 1)] = [entry]
        return
    assert index is not None
    held = entries[index]
    options = dict(held[name] or {}) if isinstance(held, dict) else {}
    put(options, rest, value)
    entries[index] = {name: options}


def variant_text(base: SpecFile, data: Mapping[str, Any], folder: Path, output: str, registry: Registry) -> str:
    """The YAML of a variant for another folder, with paths relative to that folder.

    Args:
        data: the data of the spec, as ``changed`` returns it.
        output: the name of the model file.

    Errors:
        SpecError: passes or options do not fit.
    """
    moved = copy.deepcopy(dict(data))
    spec = SpecFile(Spec.model_validate(data), base.source)
    plan = make_plan(spec, registry)

    def away(text: str) -> str:
        return os.path.relpath((base.folder / text).resolve(), folder.resolve())

    moved["model"], moved["output"] = away(moved["model"]), output
    validation = moved.get("validate") or {}
    for holder in (validation, validation.get("drift") or {}):
        if "paths" in holder:
            holder["paths"] = [away(text) for text in holder["paths"]]
    if moved.get("pass_paths"):
        moved["pass_paths"] = [away(text) for text in moved["pass_paths"]]
    for entry, planned in zip(moved["passes"], plan.passes, strict=True):
        read = set(planned.instance.reads(planned.config))
        if isinstance(entry, dict) and read:
            name = next(iter(entry))
            entry[name] = with_paths(entry[name], read, away)
    told = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = None
    yaml.width = 100
    yaml.dump(moved, told)
    return told.getvalue()


def with_paths(value: Any, paths: set[str], away: Any) -> Any:
    """The same options, with paths rewritten relative to another folder."""
    if isinstance(value, dict):
        return {key: with_paths(inner, paths, away) for key, inner in value.items()}
    if isinstance(value, list):
        return [with_paths(inner, paths, away) for inner in value]
    return away(value) if isinstance(value, str) and value in paths else value
