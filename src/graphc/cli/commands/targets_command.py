"""``graphc targets``: lists the runtimes that a model can be converted for."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

import click

from graphc.cli.command import JSON, Failures, command
from graphc.targets.registry import all_targets, target_named
from graphc.targets.target import Target


@click.command("targets")
@click.argument("name", required=False)
@JSON
@command
def targets_command(failures: Failures, name: str | None, as_json: bool) -> None:
    """List the runtimes for targets and which run here, or show one with its options and ops."""
    rows = [row(target) for target in (all_targets().values() if name is None else [target_named(name)])]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    width = max(len(str(entry["name"])) for entry in rows)
    for entry in rows:
        here = f"not here: {entry['install']}" if entry["install"] else f"{entry['package']} {entry['version']}"
        click.echo(f"{entry['name']:<{width}}  {entry['summary']}  [{here}; {entry['license']}]")
    if name is not None:
        for line in details(rows[0]):
            click.echo(line)


def details(entry: dict[str, Any]) -> Iterator[str]:
    yield f"files: {', '.join(entry['files'])}"
    for option, values in entry["options"].items():
        yield f"option {option}: {values}"
    if entry["ops"] is not None:
        yield from textwrap.wrap(f"ONNX ops: {' '.join(entry['ops'])}", 100, subsequent_indent="  ")


def row(target: Target) -> dict[str, Any]:
    """The entry for a runtime, with the command that installs the runtime if it is missing here."""
    version = target.version()
    return {
        "name": target.name,
        "summary": target.summary,
        "package": target.package,
        "version": version,
        "license": target.license,
        "install": f"pip install 'graphc[{target.extra}]'" if version is None else None,
        "files": [f"STEM.{target.name}{suffix}" for suffix in target.suffixes] or ["STEM.onnx"],
        "options": {key: words_of(field.annotation) for key, field in target.Options.model_fields.items()},
        "ops": target.ops(),
    }


def words_of(annotation: Any) -> str:
    """The allowed values of an option, in words."""
    values = [value for part in (get_args(annotation) or (annotation,)) for value in (get_args(part) or (part,))]
    return ", ".join(value if isinstance(value, str) else value.__name__ for value in values if value is not type(None))
