"""``graphc sweep``: tries many variants of a spec, and shows the best ones."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from graphc.cli.command import ALLOWED, JSON, Failures, command
from graphc.cli.engine_options import engine_of, runs_on_engine
from graphc.errors import ValidationError

if TYPE_CHECKING:
    from graphc.sweeps.sweep import Sweep
    from graphc.sweeps.sweep_file import SweepFile


@click.command("sweep", epilog="A stopped sweep resumes when you call it again.")
@click.argument("sweep", type=click.Path(path_type=Path))
@runs_on_engine
@JSON
@ALLOWED
@command
def sweep_command(
    failures: Failures, sweep: Path, jobs: int, dask: str | None, as_json: bool, allowed: tuple[Path, ...]
) -> None:
    """Compile many variants of a spec, and compare their size, latency and accuracy."""
    from graphc.cli.terminal import ProgressBar
    from graphc.sweeps.sweep import run_sweep
    from graphc.sweeps.sweep_file import load_sweep

    file = load_sweep(sweep)
    with engine_of(jobs, dask) as engine, ProgressBar(sweep.name) as bar:
        found = run_sweep(file, engine, allowed, bar)
    if as_json:
        told = {"front": [asdict(r) for r in found.front], "best": asdict(found.best) if found.best else None}
        click.echo(json.dumps({**told, "trials": len(found.results)}, indent=1))
    else:
        show(file, found)
    if found.best is None:
        raise ValidationError(
            f"none of the {len(found.results)} variants compiled within the budget",
            where=str(file.base.source.path),
            hint="the sweep's page says for each variant whether it was refused or failed, or which limit it missed",
        )


def show(file: SweepFile, found: Sweep) -> None:
    """Prints the front as a table on a terminal, and where the page and the best spec are."""
    from graphc.cli.show_sweep import front_table
    from graphc.cli.terminal import console
    from graphc.sweeps.sweep import BEST, PAGE

    if console.is_terminal:
        console.print(front_table(file.sweep, found.front, found.best))
        page, best = (os.path.relpath(file.output_folder / name) for name in (PAGE, BEST))
        counts = f"{len(found.results)} variants, {len(found.front)} on the front"
        console.print(f"{counts}: {page}" + (f"; the best as a spec: {best}" if found.best else ""))
