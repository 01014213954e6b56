"""The ``graphc`` command: finds its subcommands, and reports usage errors in one line."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from importlib import import_module

import click

from graphc.cli.command import interrupted
from graphc.spec.nearest import nearest
from graphc.system.escape import one_line

SUMMARIES = {
    "cache": "Show where the results of slow passes are kept, and how much they take; or remove them.",
    "client": "Write a small project that streams what was compiled: C++, Python or a web page.",
    "compile": "Run a spec's passes, validate after each, and write the outputs.",
    "inspect": "Say what each port is, and what a lift would find; guesses are marked.",
    "init": "Write a commented spec for a model; guesses are marked.",
    "sweep": "Compile many variants of a spec, and compare their size, latency and accuracy.",
    "validate": "Compare what was compiled with the offline model, on random streams or on recordings.",
    "bench": "Time one call of what was compiled; the real-time factor where frame_ms is known.",
    "verify": "Check compiled models, or folders of pipelines, against their own records; say what changed since.",
    "passes": "List the passes, or show one with its options.",
    "targets": "List the runtimes for targets and which run here, or show one with its options and ops.",
    "publish": "Log a compiled model as a run of MLflow or Weights & Biases, and register it.",
    "schema": "Print the JSON Schema of a spec.",
}


class Subcommands(click.Group):
    """A group that imports a subcommand only when the subcommand runs or its help is requested."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(SUMMARIES)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in SUMMARIES and not args[0].startswith("-"):
            raise click.UsageError(f"There is no command '{args[0]}'; {nearest(args[0], list(SUMMARIES))}", ctx)
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in SUMMARIES:
            return None
        module = import_module(f"graphc.cli.commands.{cmd_name}_command")
        found: click.Command = getattr(module, f"{cmd_name}_command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, SUMMARIES[name]) for name in self.list_commands(ctx)])


@click.group(cls=Subcommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="graphc", prog_name="graphc")
def cli() -> None:
    """Compiles an ONNX speech model exported for whole utterances into an equal one that runs on a stream.

    \b
    Exit status: 0 done; 1 the numbers do not hold; 2 bad usage, spec or model;
    3 the model cannot be streamed as asked; 4 a defect of graphc; 130 interrupted.
    """


def run(limit: Callable[[int, float], None] | None = None) -> None:
    """Runs the ``graphc`` command. Prints a usage error in one line, like any other error.

    Args:
        limit: a function that is called with the bytes of memory and the seconds that the options allow.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="graphc", standalone_mode=False, obj=limit)
    except click.exceptions.NoArgsIsHelpError as err:
        click.echo(err.format_message())
        sys.exit(2)
    except click.UsageError as err:
        command = err.ctx.command_path if err.ctx is not None else "graphc"
        click.echo(f"graphc: error: {one_line(err.format_message())} See `{command} --help`.", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        interrupted()
