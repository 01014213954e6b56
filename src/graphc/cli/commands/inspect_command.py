"""``graphc inspect``: reports what a lift would find in a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from graphc.cli.command import JSON, Failures, command, runs_models
from graphc.cli.show_inspection import show_inspection
from graphc.cli.terminal import ProgressBar, console
from graphc.cli.told_options import told_by, told_options
from graphc.discover.inspection import inspect_model


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path))
@JSON
@told_options
@command
@runs_models
def inspect_command(failures: Failures, model: Path, as_json: bool, seconds: float, **said: Any) -> None:
    """Say what each port is, and what a lift would find; guesses are marked."""
    with ProgressBar(model.name) as bar:
        found = inspect_model(model, told_by(**said), seconds, bar.doing)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        show_inspection(found, console)
    if found["obstacle"] is not None:
        failures.status = 3
