"""``graphc bench``: times compiled models."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.build.bench_outputs import bench_spec
from graphc.cli.command import JSON, SPECS, Failures, command, runs_models, show


@click.command("bench")
@SPECS
@JSON
@click.option("--calls", default=500, type=click.IntRange(1), show_default=True, help="Calls to time.")
@click.option(
    "--targets",
    multiple=True,
    metavar="NAME",
    help="Also time a target of the spec, or all; repeatable.",
)
@command
@runs_models
def bench_command(
    failures: Failures, specs: tuple[Path, ...], as_json: bool, calls: int, targets: tuple[str, ...]
) -> None:
    """Time one call of what was compiled; the real-time factor where frame_ms is known."""
    for spec in specs:
        with failures.caught():
            found = bench_spec(spec, calls, targets)
            show(found, as_json)
