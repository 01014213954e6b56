"""``graphc schema``: prints the JSON Schema of a spec."""

from __future__ import annotations

import json

import click

from graphc.cli.command import Failures, command
from graphc.spec.pipeline_schema import PipelineFileSpec
from graphc.spec.schema import Spec, json_schema


@click.command("schema")
@click.option("--pipeline", is_flag=True, help="The schema of a spec that joins several models.")
@command
def schema_command(failures: Failures, pipeline: bool) -> None:
    """Print the JSON Schema of a spec."""
    click.echo(json.dumps(json_schema(PipelineFileSpec if pipeline else Spec), indent=1))
