"""``graphc publish``: logs compiled models in an experiment tracker or a model registry."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from graphc.cli.command import JSON, Failures, command


@click.command("publish")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--to", "tracker", type=click.Choice(["mlflow", "wandb"]), default="mlflow", show_default=True)
@click.option("--address", metavar="URI", help="Address of MLflow's tracking server; default: MLFLOW_TRACKING_URI.")
@click.option("--experiment", default="graphc", show_default=True, help="The experiment or project of the run.")
@click.option("--register", "registered", metavar="NAME", help="Register the model as a version of this name.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that the model was made with, such as its export script; repeatable.",
)
@JSON
@command
def publish_command(
    failures: Failures,
    model: Path,
    tracker: str,
    address: str | None,
    experiment: str,
    registered: str | None,
    files: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Log a compiled model as a run of MLflow or Weights & Biases, and register it."""
    from graphc.tracking.published import TrackerError
    from graphc.tracking.run_record import run_record

    if tracker == "wandb" and address is not None:
        raise TrackerError("--address only applies to MLflow", hint="for wandb, set WANDB_BASE_URL")
    record = run_record(model, files)
    if tracker == "mlflow":
        from graphc.tracking.mlflow_tracker import to_mlflow

        done = to_mlflow(record, experiment, registered, address)
    else:
        from graphc.tracking.wandb_tracker import to_wandb

        done = to_wandb(record, experiment, registered)
    if as_json:
        click.echo(json.dumps(asdict(done)))
        return
    version = f", version {done.version} of {registered}" if done.version is not None else ""
    click.echo(f"{model.name}: run {done.run}{version} at {done.where}")
