"""``graphc verify``: checks compiled models against their own records."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.build.verify_output import verify_output
from graphc.cli.command import JSON, Failures, command, show
from graphc.pipelines.verify_pipeline import verify_pipeline


@click.command("verify")
@click.argument("outputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@JSON
@command
def verify_command(failures: Failures, outputs: tuple[Path, ...], as_json: bool) -> None:
    """Check compiled models, or folders of pipelines, against their own records; say what changed since."""
    for output in outputs:
        with failures.caught():
            found = verify_pipeline(output) if output.is_dir() else verify_output(output)
            show(found, as_json)
            if not found["holds"]:
                failures.status = max(failures.status, 1)
