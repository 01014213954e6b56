"""Pages of the site that are made from the code: the commands and the passes."""

from __future__ import annotations

import re
import textwrap
from typing import Any

import click
from mkdocs.structure.files import File, Files

from graphc.cli.main import cli
from graphc.passes.registry import load_registry
from graphc.spec.nested_options import option_lines


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages (a hook of MkDocs)."""
    for name, text in {"reference/commands.md": commands(), "reference/passes.md": passes()}.items():
        files.append(File.generated(config, name, content=text))
    return files


def commands() -> str:
    """Every command with its help, as the terminal prints it."""
    parts = ["# Commands\n"]
    with click.Context(cli, info_name="graphc") as context:
        for name in cli.list_commands(context):
            command = cli.get_command(context, name)
            assert command is not None
            with click.Context(command, info_name=name, parent=context) as inner:
                parts.append(f"## graphc {name}\n\n```text\n{command.get_help(inner)}\n```\n")
    return "\n".join(parts)


def passes() -> str:
    """Every built-in pass: its manual and its options."""
    registry = load_registry()
    parts = ["# Passes\n"]
    for name in registry:
        cls = registry[name]
        parts.append(f"## {name}\n\n{as_markdown(cls.manual())}\n")
        rows = [
            f"| {'&emsp;' * depth}`{option.partition(' ')[0]}` | {does} |"
            for depth, option, does in option_lines(cls.Config)
        ]
        if rows:
            parts.append("\n".join(["| option | |", "| --- | --- |", *rows, ""]))
    return "\n".join(parts)


def as_markdown(manual: str) -> str:
    """A manual with its sections as paragraphs, and its example as a block of YAML."""
    summary, *sections = re.split(r"^(\w[\w ]*):$", manual, flags=re.MULTILINE)
    parts = [summary.strip()]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        text = textwrap.dedent(body).strip("\n")
        words = " ".join(text.split()).replace("``", "`")
        parts.append(f"```yaml\n{text}\n```" if title == "Example" else f"**{title}.** {words}")
    return "\n\n".join(parts)
