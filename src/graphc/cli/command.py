"""Shared parts of all subcommands: the exit status, one clear line for every error, and common options."""

from __future__ import annotations

import io
import json
import math
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click

from graphc.system.escape import one_line
from graphc.system.signals import ignore_interruptions, say_interrupted
from graphc_runtime.errors import GraphcError

INTERRUPTED = 130
PIPE_CLOSED = 141
LONGEST_MINUTES = 120.0
UNTOUCHED_GB = 8
MACHINE_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Failures:
    """Reports the errors of one job after another, and records the highest exit status."""

    def __init__(self, debug: bool):
        self.debug = debug
        self.status = 0

    @contextmanager
    def caught(self) -> Iterator[None]:
        try:
            yield
        except GraphcError as err:
            self.fail(err.exit_code, str(err))
        except (KeyboardInterrupt, BrokenPipeError, click.UsageError):
            raise
        except MemoryError:
            self.fail(2, "out of memory; use a smaller model, or raise --max-memory-gb")
        except OSError as err:
            self.fail(2, f"{err.filename or ''}: {err.strerror or err}".lstrip(": "))
        except RecursionError:
            self.fail(2, "the model nests too deeply to be read")
        except Exception as err:
            self.fail(4, f"a defect of graphc: {type(err).__name__}: {err}; please report it with --debug's output")

    def fail(self, status: int, message: str) -> None:
        if self.debug:
            traceback.print_exc()
        click.echo(f"graphc: error: {one_line(message)}", err=True)
        self.status = max(self.status, status)


def interrupted() -> NoReturn:
    """Reports the interruption and exits. Further interruptions are ignored."""
    ignore_interruptions()
    say_interrupted()
    sys.exit(INTERRUPTED)


def leave(status: int) -> NoReturn:
    """Exits with a status. Output that cannot be printed is dropped."""
    ignore_interruptions()
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = io.StringIO()
    sys.exit(status)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a subcommand its common options, its exit status, and one clear line for every error."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @click.option(
        "--max-memory-gb",
        type=click.FloatRange(1, 1e6),
        default=round(MACHINE_MEMORY / 1e9 + UNTOUCHED_GB, 1),
        show_default=f"this machine's memory plus {UNTOUCHED_GB}",
        help="Limit of the command's address space, in 10^9 bytes.",
    )
    @click.option(
        "--max-minutes",
        type=click.FloatRange(0, 100_000, min_open=True),
        default=LONGEST_MINUTES,
        show_default=True,
        help="Time limit of the command, in minutes.",
    )
    @wraps(function)
    def run(debug: bool, max_memory_gb: float, max_minutes: float, **arguments: Any) -> None:
        failures = Failures(debug)
        for option, value in (("--max-memory-gb", max_memory_gb), ("--max-minutes", max_minutes)):
            if not math.isfinite(value):
                raise click.UsageError(f"{option}: expected a finite number.")
        limit = click.get_current_context().find_root().obj
        if limit is not None:
            limit(int(max_memory_gb * 1e9), max_minutes * 60)
        try:
            with failures.caught():
                function(failures=failures, **arguments)
                sys.stdout.flush()
        except KeyboardInterrupt:
            interrupted()
        except BrokenPipeError:
            leave(PIPE_CLOSED)
        leave(failures.status)

    return run


def runs_models(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a subcommand the option that lets onnxruntime load libraries of custom ops."""

    @click.option(
        "--op-library",
        "op_libraries",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A library of custom ops whose code may run; repeatable.",
    )
    @wraps(function)
    def run(op_libraries: tuple[Path, ...], **arguments: Any) -> None:
        if op_libraries:
            from graphc_runtime.ort_model import load_op_library

            for path in op_libraries:
                load_op_library(path)
        function(**arguments)

    return run


SPECS = click.argument("specs", nargs=-1, required=True, type=click.Path(path_type=Path))
ALLOWED = click.option(
    "--allow-pass-path",
    "allowed",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A folder of a spec's pass_paths whose code may run; repeatable.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def show(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        show_lines(found["lines"])


def show_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(one_line(line))
