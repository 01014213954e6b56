"""Says what a lift would find."""

from __future__ import annotations

import json
from pathlib import Path

import click

from graphc.cli.command import JSON, Failures, command, runs_models
from graphc.cli.terminal import console
from graphc.discover.inspection import inspect_model, show_inspection
from graphc.errors import SpecError
from graphc.spec.schema import InputSpec


@click.command("inspect")
@click.argument("model", type=click.Path(path_type=Path))
@JSON
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=AXIS",
    help="A stream input and its time axis, or NAME=static, or NAME=counts:OTHER for frames of another input; may be "
    "given again. Inferred or guessed from the shapes if left out.",
)
@click.option("--chunk", type=click.IntRange(1), help="Frames of a call; the smallest that fits if left out.")
@command
@runs_models
def inspect_command(failures: Failures, model: Path, as_json: bool, inputs: tuple[str, ...], chunk: int | None) -> None:
    """Say what a lift would find: time axes, rates, receptive field, delay, states, obstacles."""
    found = inspect_model(model, parse_inputs(inputs), chunk)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        show_inspection(found, console)
    if found["obstacle"] is not None:
        failures.status = 3


def parse_inputs(pairs: tuple[str, ...]) -> dict[str, InputSpec] | None:
    """Inputs as the command line names them: NAME=AXIS, NAME=static or NAME=counts:OTHER."""
    found = {}
    for pair in pairs:
        name, _, part = pair.rpartition("=")
        kind, _, other = part.partition(":")
        if name and part.lstrip("-").isdigit():
            found[name] = InputSpec(axis=int(part))
        elif name and part == "static":
            found[name] = InputSpec(static=True)
        elif name and kind == "counts" and other:
            found[name] = InputSpec(counts=other)
        else:
            raise SpecError(
                f"--input: '{pair}' is not NAME=AXIS, NAME=static or NAME=counts:OTHER", hint="as in --input features=1"
            )
    return found or None
