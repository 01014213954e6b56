"""Compares what was compiled with the offline model."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.build.revalidate import drift_of, mutants_of_spec, validate_spec
from graphc.cli.command import ALLOWED, JSON, SPECS, Failures, command, runs_models, show
from graphc.cli.terminal import ProgressBar
from graphc.diagnose.reproducer import bisect_spec
from graphc.pipelines.validate_pipeline import validate_pipeline
from graphc.spec.spec_file import PipelineFile, load_any_spec


@click.command("validate")
@SPECS
@JSON
@click.option(
    "--minutes",
    type=click.FloatRange(0, 10_000, min_open=True),
    help="Follow the error against the float model over so many minutes of stream.",
)
@click.option("--mutants", is_flag=True, help="Put faults into the streaming model, and say which the comparison sees.")
@click.option(
    "--bisect",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Find the first guilty pass and node of a spec that fails, and write what reproduces it there.",
)
@click.option("--recordings", multiple=True, help="What is played then: a sound or feature file, or a folder of them.")
@ALLOWED
@command
@runs_models
def validate_command(
    failures: Failures,
    specs: tuple[Path, ...],
    as_json: bool,
    minutes: float | None,
    mutants: bool,
    bisect: Path | None,
    recordings: tuple[str, ...],
    allowed: tuple[Path, ...],
) -> None:
    """Compare what was compiled with the offline model, on random streams."""
    for spec in specs:
        with failures.caught():
            if recordings and minutes is None:
                raise click.UsageError("--recordings says what is played with --minutes.")
            if mutants:
                with ProgressBar(spec.name) as bar:
                    found = mutants_of_spec(spec, allowed, bar)
            elif bisect is not None:
                with ProgressBar(spec.name) as bar:
                    found = bisect_spec(spec, bisect, allowed, bar)
            elif minutes is None:
                file = load_any_spec(spec)
                if isinstance(file, PipelineFile):
                    found = validate_pipeline(file)
                else:
                    found = validate_spec(file, spec.name)
            else:
                with ProgressBar(spec.name) as bar:
                    found = drift_of(spec, minutes, recordings, allowed, bar)
            show(found, as_json)
            if not found["holds"]:
                failures.status = max(failures.status, 1)
