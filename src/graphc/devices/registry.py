"""Finds the runtimes: modules of ``runtimes`` and entry points of ``graphc.targets`` that name a ``DEVICE``."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from importlib.metadata import entry_points

import graphc.devices.runtimes as folder
from graphc.devices.device import Device
from graphc.errors import SpecError
from graphc.spec.nearest import nearest
from graphc_runtime.errors import TargetError

GROUP = "graphc.targets"


@cache
def all_devices() -> dict[str, Device]:
    """All runtimes by name, sorted.

    Errors:
        TargetError: an entry point cannot be imported, or two runtimes have the same name.
    """
    modules = [importlib.import_module(f"{folder.__name__}.{m.name}") for m in pkgutil.iter_modules(folder.__path__)]
    found: dict[str, Device] = {m.DEVICE.name: m.DEVICE for m in modules if hasattr(m, "DEVICE")}
    for entry in sorted(entry_points(group=GROUP), key=lambda e: e.name):
        try:
            device: Device = entry.load().DEVICE
        except Exception as err:
            raise TargetError(
                f"the target of {entry.value} cannot be imported: {type(err).__name__}: {err}",
                hint="uninstall that package, or fix it",
            ) from err
        if device.name in found:
            raise TargetError(f"two targets are named '{device.name}'; one is of {entry.value}", hint="uninstall one")
        found[device.name] = device
    return dict(sorted(found.items()))


def device_named(name: str) -> Device:
    """The runtime with a name.

    Errors:
        SpecError: there is none.
    """
    devices = all_devices()
    if name not in devices:
        raise SpecError(f"there is no target '{name}'", hint=nearest(name, list(devices)))
    return devices[name]
