"""``graphc init``: writes a first spec for a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from graphc.cli.command import Failures, command, runs_models
from graphc.cli.terminal import ProgressBar
from graphc.cli.told_options import told_by, told_options
from graphc.discover.init_spec import starter_spec
from graphc.system.escape import one_line
from graphc.system.files import write_all


@click.command("init")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write the spec to this file instead of the terminal."
)
@told_options
@command
@runs_models
def init_command(failures: Failures, model: Path, output: Path | None, seconds: float, **said: Any) -> None:
    """Write a commented spec for a model; guesses are marked."""
    if output is not None and output.exists():
        failures.fail(2, f"{output}: exists already; remove it first")
        return
    with ProgressBar(model.name) as bar:
        folder = output.parent if output is not None else Path()
        starter = starter_spec(model, folder, told_by(**said), seconds, bar.doing)
    if starter.why_window is not None:
        click.echo(f"graphc: the spec streams over a window: {one_line(starter.why_window)}", err=True)
    for guess in starter.guesses:
        click.echo(f"graphc: a guess: {one_line(guess)}", err=True)
    if output is None:
        click.echo(starter.text, nl=False)
    else:
        write_all({output: starter.text.encode()})
