"""Lists the runtimes that a model can be made for."""

from __future__ import annotations

import json
from typing import Any

import click

from graphc.cli.command import JSON, Failures, command
from graphc.devices.device import Device
from graphc.devices.registry import all_devices, device_named


@click.command("targets")
@click.option(
    "--prepare", metavar="NAME", help="Install the converter of a target that needs an environment of its own."
)
@JSON
@command
def targets_command(failures: Failures, prepare: str | None, as_json: bool) -> None:
    """List the runtimes that a spec's targets may name, and which of them run here."""
    if prepare is not None and (converter := device_named(prepare).converter) is not None:
        converter.make()
    rows = [row(device) for device in all_devices().values()]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(str(entry["name"])) for entry in rows)
    for entry in rows:
        here = f"not here: {entry['install']}" if entry["install"] else f"{entry['package']} {entry['version']}"
        click.echo(f"{entry['name']:<{width}}  {entry['summary']}  [{here}; {entry['license']}]")


def row(device: Device) -> dict[str, Any]:
    """A runtime, and the command that lacks where it does not run here."""
    version = device.version()
    made = device.converter is None or device.converter.is_made
    prepare = f"graphc targets --prepare {device.name}"
    return {
        "name": device.name,
        "summary": device.summary,
        "package": device.package,
        "version": version,
        "license": device.license,
        "install": f"pip install 'graphc[{device.extra}]'" if version is None else None if made else prepare,
        "files": [f"STEM.{device.name}{suffix}" for suffix in device.suffixes] or ["STEM.onnx"],
    }
