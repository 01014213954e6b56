"""Writes a first spec for a model."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.cli.command import Failures, command, runs_models
from graphc.discover.init_spec import starter_spec
from graphc.system.escape import one_line
from graphc.system.files import write_all


@click.command("init")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write the spec there instead of to the terminal."
)
@command
@runs_models
def init_command(failures: Failures, model: Path, output: Path | None) -> None:
    """Write a commented spec for a model."""
    folder = output.parent if output is not None else Path()
    text, refusal = starter_spec(model, folder)
    if refusal is not None:
        click.echo(
            f"graphc: an exact lift is refused, so the spec streams over a window: {one_line(refusal)}", err=True
        )
    if output is None:
        click.echo(text, nl=False)
    elif output.exists():
        failures.fail(2, f"{output}: exists already; remove it first")
    else:
        write_all({output: text.encode()})
