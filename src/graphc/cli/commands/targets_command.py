"""Lists the runtimes that a model can be made for."""

from __future__ import annotations

import json

import click

from graphc.cli.command import JSON, Failures, command
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
    rows = [
        {
            "name": device.name,
            "summary": device.summary,
            "package": device.package,
            "version": device.version(),
            "license": device.license,
            "install": f"pip install 'graphc[{device.extra}]'" if device.extra else None,
            "files": [f"STEM.{device.name}{suffix}" for suffix in device.suffixes] or ["STEM.onnx"],
        }
        for device in all_devices().values()
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(str(row["name"])) for row in rows)
    for row in rows:
        here = f"{row['package']} {row['version']}" if row["version"] else f"not installed: {row['install']}"
        click.echo(f"{row['name']:<{width}}  {row['summary']}  [{here}; {row['license']}]")
