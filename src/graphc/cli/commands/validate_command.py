"""``graphc validate``: compares compiled models with their offline models."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.build.validate_and_bench import drift_of, mutants_of_spec, validate_spec
from graphc.cli.command import ALLOWED, JSON, SPECS, Failures, command, runs_models, show
from graphc.cli.engine_options import engine_of, runs_on_engine
from graphc.cli.terminal import ProgressBar
from graphc.diagnose.bisect_spec import bisect_spec
from graphc.pipelines.validate_pipeline import validate_pipeline
from graphc.recorded.check_recordings import check_recordings
from graphc.spec.spec_file import PipelineFile, load_any_spec, load_spec


@click.command("validate")
@SPECS
@JSON
@click.option(
    "--minutes",
    type=click.FloatRange(0, 10_000, min_open=True),
    help="Track the error against the float model over so many minutes of stream.",
)
@click.option("--mutants", is_flag=True, help="Inject faults into the model, and list those that validation detects.")
@click.option(
    "--bisect",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="For a spec that fails, find the first pass and node at fault, and write a reproducer to this folder.",
)
@click.option(
    "--recordings",
    multiple=True,
    metavar="PATH",
    help="Compare on these recordings or saved features, or folders of them; with --minutes, play them. Repeatable.",
)
@runs_on_engine
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
    jobs: int,
    dask: str | None,
    allowed: tuple[Path, ...],
) -> None:
    """Compare what was compiled with the offline model, on random streams or on recordings."""
    compares_recordings = bool(recordings) and minutes is None
    if compares_recordings and (mutants or bisect is not None):
        raise click.UsageError("--recordings cannot be combined with --mutants or --bisect.")
    if (jobs > 1 or dask) and not compares_recordings:
        raise click.UsageError("--jobs and --dask need --recordings, and cannot be combined with --minutes.")
    for spec in specs:
        with failures.caught():
            if compares_recordings:
                with engine_of(jobs, dask) as engine, ProgressBar(spec.name) as bar:
                    found = check_recordings(load_spec(spec), recordings, engine, bar)
            elif mutants:
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
            if found.get("refused"):
                failures.status = max(failures.status, 2)
