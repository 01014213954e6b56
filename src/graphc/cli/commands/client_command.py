"""``graphc client``: writes a small project that streams a compiled model."""

from __future__ import annotations

from pathlib import Path

import click

from graphc.cli.command import Failures, command
from graphc.client_projects.compiled_files import compiled_files
from graphc.client_projects.projects import PROJECTS, how_to_run, project_of
from graphc.errors import OutputError
from graphc.system.files import write_all


@click.command("client")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--language", type=click.Choice(sorted(PROJECTS)), required=True, help="The language of the project.")
@click.option("--target", help="One of the spec's targets, such as litert; default: onnxruntime.")
@click.option("-o", "folder", type=click.Path(path_type=Path), required=True, help="The folder to write; must be new.")
@command
def client_command(failures: Failures, output: Path, language: str, target: str | None, folder: Path) -> None:
    """Write a small project that streams what was compiled: C++, Python or a web page."""
    compiled = compiled_files(output, target)
    made = project_of(compiled, language)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError("it exists already", where=str(folder), hint="give another folder, or remove it")
    write_all({folder / name: content for name, content in made.items()})
    click.echo(f"wrote {len(made)} files to {folder}; to stream: {how_to_run(compiled, language, folder)}")
