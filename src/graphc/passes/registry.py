"""Finds passes: in entry points of the group ``graphc.passes``, and in folders that the command line allows."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from graphc.errors import PassError, SpecError
from graphc.passes.pass_api import REGISTERED, Pass
from graphc.spec.nearest import nearest
from graphc.spec.spec_file import SpecFile

GROUP = "graphc.passes"


@dataclass(frozen=True)
class Registered:
    """A pass and its owner."""

    cls: type[Pass[Any]]
    owner: str


class Registry(Mapping[str, type[Pass[Any]]]):
    """The known passes, by name."""

    def __init__(self) -> None:
        self.passes: dict[str, Registered] = {}
        self.files: dict[str, Path] = {}

    def __getitem__(self, name: str) -> type[Pass[Any]]:
        return self.passes[name].cls

    def __iter__(self) -> Any:
        return iter(sorted(self.passes))

    def __len__(self) -> int:
        return len(self.passes)

    def owner(self, name: str) -> str:
        return self.passes[name].owner

    def hint(self, name: str) -> str | None:
        return nearest(name, list(self))

    def add(self, module: ModuleType, owner: str) -> None:
        """Adds the passes that a module defines.

        Errors:
            PassError: two passes have the same name; names both owners.
        """
        if module.__file__ is not None:
            self.files[module.__name__] = Path(module.__file__)
        for cls in REGISTERED:
            if cls.__module__ != module.__name__:
                continue
            other = self.passes.get(cls.name)
            if other is not None and other.cls is not cls:
                raise PassError(
                    f"two passes are named '{cls.name}': one of {other.owner}, one of {owner}",
                    hint="uninstall one, or rename it",
                )
            self.passes[cls.name] = Registered(cls, owner)


def load_registry(pass_paths: Iterable[Path] = ()) -> Registry:
    """All installed passes, and those in the given folders.

    Errors:
        PassError: a module of passes cannot be imported, or two passes share a name.
    """
    registry = Registry()
    for owner, entry in sorted(((owner_of(e), e) for e in entry_points(group=GROUP)), key=lambda o: (o[0], o[1].name)):
        for module in modules_of(entry):
            registry.add(module, owner)
    for folder in pass_paths:
        for path in sorted(folder.glob("*.py")):
            if not path.name.startswith("_"):
                registry.add(import_file(path), str(path))
    return registry


def registry_of(spec_file: SpecFile, allowed: Iterable[Path]) -> Registry:
    """All installed passes, and those in the spec's folders. Each folder has to be allowed.

    Errors:
        SpecError: a folder is not allowed, or is not a folder.
        PassError: a module of passes cannot be imported, or two passes share a name.
    """
    return load_registry(allowed_folders([spec_file.folder / p for p in spec_file.spec.pass_paths], allowed))


def owner_of(entry: EntryPoint) -> str:
    dist = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown distribution"
    return f"{dist} ({entry.value})"


def modules_of(entry: EntryPoint) -> list[ModuleType]:
    """The module of an entry point. If it is a package, also its modules without a leading underscore."""
    try:
        package = entry.load()
        names = [
            f"{package.__name__}.{m.name}"
            for m in pkgutil.iter_modules(getattr(package, "__path__", []))
            if not m.name.startswith("_")
        ]
        return [package, *(importlib.import_module(name) for name in sorted(names))]
    except Exception as err:
        raise PassError(
            f"the passes of {owner_of(entry)} cannot be imported: {type(err).__name__}: {err}",
            hint="uninstall that package, or fix it",
        ) from err


def import_file(path: Path) -> ModuleType:
    """Imports a module of a pass folder, under a unique name.

    Errors:
        PassError: the module cannot be imported.
    """
    name = f"graphc_pass_path.{path.resolve().parent.name}.{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PassError("not a Python module", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as err:
        raise PassError(f"the pass cannot be imported: {type(err).__name__}: {err}", where=str(path)) from err
    return module


def allowed_folders(wanted: Iterable[Path], allowed: Iterable[Path]) -> list[Path]:
    """The folders of a spec's ``pass_paths``. The command line has to allow each.

    Errors:
        SpecError: a folder is not allowed, or is not a folder.
    """
    permitted = {p.resolve() for p in allowed}
    folders = []
    for folder in wanted:
        if folder.resolve() not in permitted:
            raise SpecError(
                f"pass_paths: '{folder}' holds code, which a spec alone may not run",
                hint=f"allow it with --allow-pass-path {folder}",
            )
        if not folder.is_dir():
            raise SpecError(f"pass_paths: '{folder}' is not a folder")
        folders.append(folder.resolve())
    return folders
