"""``graphc passes``: lists the passes, or shows one of them."""

from __future__ import annotations

import json
from typing import Any

import click

from graphc.cli.command import JSON, Failures, command
from graphc.passes.pass_api import Pass
from graphc.passes.registry import load_registry
from graphc.spec.nested_options import option_lines
from graphc.spec.schema import ToleranceSpec
from graphc_runtime.errors import GraphcError


@click.command("passes")
@click.argument("name", required=False)
@JSON
@command
def passes_command(failures: Failures, name: str | None, as_json: bool) -> None:
    """List the passes, or show one with its options."""
    registry = load_registry()
    if name is None:
        rows = [{"name": n, "summary": registry[n].summary(), "owner": registry.owner(n)} for n in registry]
        if as_json:
            click.echo(json.dumps(rows, indent=1))
            return
        width = max((len(r["name"]) for r in rows), default=0)
        for row in rows:
            click.echo(f"{row['name']:<{width}}  {row['summary']}  [{row['owner']}]")
        return
    if name not in registry:
        raise GraphcError(f"there is no pass '{name}'", hint=registry.hint(name))
    cls = registry[name]
    if as_json:
        click.echo(
            json.dumps({"name": name, "options": cls.Config.model_json_schema(), "manual": cls.manual()}, indent=1)
        )
        return
    show_manual(name, cls)


def show_manual(name: str, cls: type[Pass[Any]]) -> None:
    click.echo(f"{name}: {cls.manual()}\n")
    promise = "exact to rounding" if cls.tolerance is None else f"within {tolerance_text(cls.tolerance)}"
    gives = "a streaming model" if cls.gives == "streaming" else "a model of the same kind"
    takes = {"any": "any model", "offline": "an offline model", "streaming": "a streaming model"}[cls.requires]
    click.echo(f"Takes {takes} and gives {gives}, {promise}.\n")
    click.echo("Options:" if cls.Config.model_fields else "Options: none except tolerance")
    for depth, option, does in option_lines(cls.Config):
        click.echo(f"    {'    ' * depth}{option}{': ' if does else ''}{does}")
    if parts := cls.parts():
        click.echo("\nParts:")
        width = max(len(part) for part in parts)
        for part, does in parts.items():
            click.echo(f"    {part:<{width}}  {does}")


def tolerance_text(tolerance: ToleranceSpec) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in tolerance if value is not None)
