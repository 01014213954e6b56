"""Prints the JSON Schema of a spec."""

from __future__ import annotations

import json

import click

from graphc.cli.command import Failures, command
from graphc.spec.schema import json_schema


@click.command("schema")
@command
def schema_command(failures: Failures) -> None:
    """Print the JSON Schema of a spec."""
    click.echo(json.dumps(json_schema(), indent=1))
