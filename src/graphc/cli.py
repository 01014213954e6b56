"""The command line: thin over the Python API."""

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

from graphc import fingerprint
from graphc.compiler import Options, compile_spec, dependencies, output_paths
from graphc.errors import GraphcError, OutputError, SpecError
from graphc.files import write_all
from graphc.inspection import inspect_model, show_inspection
from graphc.interruption import ignore_interruptions, say_interrupted
from graphc.output_check import verify_output
from graphc.pass_api import Pass
from graphc.printable import one_line
from graphc.recheck import bench_spec, drift_of, mutants_of_spec, validate_spec
from graphc.registry import load_registry
from graphc.reproducer import bisect_spec
from graphc.runtime import load_op_library
from graphc.spec import InputSpec, ToleranceSpec, json_schema, load_spec
from graphc.starter import starter_spec
from graphc.terminal import ProgressBar, console, show_report

INTERRUPTED = 130
PIPE_CLOSED = 141
LONGEST_MINUTES = 120.0
UNTOUCHED_GB = 8
MACHINE_MEMORY = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


class Failures:
    """Runs one job after another; remembers the highest status."""

    def __init__(self, debug: bool):
        self.debug = debug
        self.status = 0

    @contextmanager
    def caught(self) -> Iterator[None]:
        try:
            yield
        except GraphcError as err:
            self.fail(err.exit_code, str(err))
        except (KeyboardInterrupt, BrokenPipeError):
            raise
        except MemoryError:
            self.fail(2, "out of memory; a smaller model, or a higher --max-memory-gb")
        except OSError as err:
            self.fail(2, f"{err.filename or ''}: {err.strerror or err}".lstrip(": "))
        except RecursionError:
            self.fail(2, "the model nests too deeply to be read")
        except Exception as err:
            self.fail(2, f"a defect of graphc: {type(err).__name__}: {err}; please report it with --debug's output")

    def fail(self, status: int, message: str) -> None:
        if self.debug:
            traceback.print_exc()
        click.echo(f"graphc: error: {one_line(message)}", err=True)
        self.status = max(self.status, status)


def interrupted() -> NoReturn:
    """Says so and exits; another interruption changes nothing."""
    ignore_interruptions()
    say_interrupted()
    sys.exit(INTERRUPTED)


def leave(status: int) -> NoReturn:
    """Exits; what could not be printed is dropped, of which the status has told already."""
    ignore_interruptions()
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = io.StringIO()
    sys.exit(status)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a subcommand its --debug option, its exit status, and one clear line for everything that goes wrong."""

    @click.option("--debug", is_flag=True, help="Show the traceback of an error.")
    @click.option(
        "--max-memory-gb",
        type=click.FloatRange(1, 1e6),
        default=round(MACHINE_MEMORY / 1e9 + UNTOUCHED_GB, 1),
        show_default=f"this machine's memory and {UNTOUCHED_GB}",
        help="Address space that the command may take, in 10^9 bytes.",
    )
    @click.option(
        "--max-minutes",
        type=click.FloatRange(0, 100_000, min_open=True),
        default=LONGEST_MINUTES,
        show_default=True,
        help="Time that the command may take.",
    )
    @wraps(function)
    def run(debug: bool, max_memory_gb: float, max_minutes: float, **arguments: Any) -> None:
        failures = Failures(debug)
        for option, value in (("--max-memory-gb", max_memory_gb), ("--max-minutes", max_minutes)):
            if not math.isfinite(value):
                raise click.UsageError(f"{option}: a finite number is needed.")
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


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(fingerprint.installed("graphc"), prog_name="graphc")
def cli() -> None:
    """Compiles an ONNX speech model exported for whole utterances into an equal one that runs on a stream.

    \b
    Exit status: 0 done; 1 the numbers do not hold; 2 bad usage, spec or model;
    3 the model cannot be streamed as asked; 130 interrupted.
    """


def runs_models(function: Callable[..., None]) -> Callable[..., None]:
    """Gives a subcommand the option that lets onnxruntime load the code of custom ops."""

    @click.option(
        "--op-library",
        "op_libraries",
        multiple=True,
        type=click.Path(path_type=Path),
        help="A library of custom ops whose code may run; may be given again.",
    )
    @wraps(function)
    def run(op_libraries: tuple[Path, ...], **arguments: Any) -> None:
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
    help="A folder of a spec's pass_paths whose code may run; may be given again.",
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")


@cli.command("compile")
@SPECS
@JSON
@click.option("--verbose", "-v", is_flag=True, help="Print what each pass did, and what it left and why.")
@click.option("--force", is_flag=True, help="Compile even if nothing changed since the outputs were written.")
@click.option("--depfile", type=click.Path(path_type=Path), help="Write the dependencies for make and ninja there.")
@click.option("--report-on-failure", type=click.Path(path_type=Path), help="Keep a report there if compiling fails.")
@ALLOWED
@command
@runs_models
def compile_command(
    failures: Failures,
    specs: tuple[Path, ...],
    as_json: bool,
    verbose: bool,
    force: bool,
    depfile: Path | None,
    report_on_failure: Path | None,
    allowed: tuple[Path, ...],
) -> None:
    """Run a spec's passes, validate after each, and write the outputs."""
    if depfile is not None and depfile.exists() and not is_depfile(depfile):
        raise SpecError("the depfile would overwrite a file that is none", where=str(depfile))
    rules: list[str] = []
    reports: list[Any] = []
    for spec in specs:
        with failures.caught():
            with ProgressBar(spec.name) as bar:
                report = compile_spec(spec, Options(force, allowed, report_on_failure, bar))
            reports.append(json.loads(report.json()))
            if console.is_terminal and not as_json:
                show_report(report, str(spec))
            if verbose and not as_json:
                show_lines(pass_notes(report.data))
            if depfile is not None:
                file = load_spec(spec)
                read = [file.folder / name for name in report.data["fingerprint"]["reads"]]
                rules.append(make_rule(output_paths(file)["model"], [*dependencies(file), *read]))
    if as_json:
        click.echo(json.dumps(reports[0] if len(specs) == 1 and reports else reports, indent=1))
    if depfile is not None and rules:
        write_all({depfile: "".join(rules).encode()})


def is_depfile(path: Path) -> bool:
    """Whether a file is empty or begins like a rule of make."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    return not head or (b".onnx:" in head and b"\0" not in head)


def make_rule(target: Path, sources: list[Path]) -> str:
    """A rule as make and ninja read it."""

    def escaped(path: Path) -> str:
        if "\n" in str(path):
            raise OutputError("a rule of make cannot name a file with a line break", where=str(path))
        return os.path.relpath(path).replace("\\", "\\\\").replace(" ", "\\ ").replace("#", "\\#").replace("$", "$$")

    return f"{escaped(target)}: {' '.join(map(escaped, sources))}\n"


@cli.command("inspect")
@click.argument("model", type=click.Path(path_type=Path))
@JSON
@click.option(
    "--input",
    "inputs",
    multiple=True,
    metavar="NAME=AXIS",
    help="A stream input and its time axis; may be given again. Inferred if left out.",
)
@click.option("--chunk", type=click.IntRange(1), help="Frames of a call; the smallest that fits if left out.")
@command
@runs_models
def inspect_command(failures: Failures, model: Path, as_json: bool, inputs: tuple[str, ...], chunk: int | None) -> None:
    """Say what a lift would find: time axes, rates, receptive field, delay, states, obstacles."""
    found = inspect_model(model, parse_inputs(inputs), chunk)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        show_inspection(found, console)
    if found["obstacle"] is not None:
        failures.status = 3


def parse_inputs(pairs: tuple[str, ...]) -> dict[str, InputSpec] | None:
    """Inputs as the command line names them: NAME=AXIS, NAME=static or NAME=counts:OTHER."""
    found = {}
    for pair in pairs:
        name, _, part = pair.rpartition("=")
        kind, _, other = part.partition(":")
        if name and part.lstrip("-").isdigit():
            found[name] = InputSpec(axis=int(part))
        elif name and part == "static":
            found[name] = InputSpec(static=True)
        elif name and kind == "counts" and other:
            found[name] = InputSpec(counts=other)
        else:
            raise SpecError(
                f"--input: '{pair}' is not NAME=AXIS, NAME=static or NAME=counts:OTHER", hint="as in --input features=1"
            )
    return found or None


@cli.command("init")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), help="Write the spec there instead of to the terminal."
)
@command
@runs_models
def init_command(failures: Failures, model: Path, output: Path | None) -> None:
    """Write a commented spec for a model."""
    folder = output.parent if output is not None else Path()
    text, refusal = starter_spec(model, folder)
    if refusal is not None:
        click.echo(
            f"graphc: an exact lift is refused, so the spec streams over a window: {one_line(refusal)}", err=True
        )
    if output is None:
        click.echo(text, nl=False)
    elif output.exists():
        failures.fail(2, f"{output}: exists already; remove it first")
    else:
        write_all({output: text.encode()})


@cli.command("validate")
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
                found = validate_spec(spec)
            else:
                with ProgressBar(spec.name) as bar:
                    found = drift_of(spec, minutes, recordings, allowed, bar)
            show(found, as_json)
            if not found["holds"]:
                failures.status = max(failures.status, 1)


@cli.command("bench")
@SPECS
@JSON
@click.option("--calls", default=500, type=click.IntRange(1), show_default=True, help="Calls to time.")
@command
@runs_models
def bench_command(failures: Failures, specs: tuple[Path, ...], as_json: bool, calls: int) -> None:
    """Time one call of what was compiled; the real-time factor where frame_ms is known."""
    for spec in specs:
        with failures.caught():
            found = bench_spec(spec, calls)
            show(found, as_json)


@cli.command("verify")
@click.argument("outputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@JSON
@command
def verify_command(failures: Failures, outputs: tuple[Path, ...], as_json: bool) -> None:
    """Check compiled models against their own records; say what changed since they were made."""
    for output in outputs:
        with failures.caught():
            found = verify_output(output)
            show(found, as_json)
            if not found["holds"]:
                failures.status = max(failures.status, 1)


@cli.command("passes")
@click.argument("name", required=False)
@JSON
@command
def passes_command(failures: Failures, name: str | None, as_json: bool) -> None:
    """List the passes, or show one with its options."""
    registry = load_registry()
    if name is None:
        rows = [{"name": n, "summary": registry[n].summary(), "owner": registry.owner(n)} for n in registry]
        if as_json:
            click.echo(json.dumps(rows, indent=1))
            return
        width = max((len(r["name"]) for r in rows), default=0)
        for row in rows:
            click.echo(f"{row['name']:<{width}}  {row['summary']}  [{row['owner']}]")
        return
    if name not in registry:
        raise GraphcError(f"there is no pass '{name}'", hint=registry.hint(name))
    cls = registry[name]
    if as_json:
        click.echo(
            json.dumps({"name": name, "options": cls.Config.model_json_schema(), "manual": cls.manual()}, indent=1)
        )
        return
    show_manual(name, cls)


def show(found: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        show_lines(found["lines"])


def show_lines(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(one_line(line))


def show_manual(name: str, cls: type[Pass[Any]]) -> None:
    click.echo(f"{name}: {cls.manual()}\n")
    promise = "exact to rounding" if cls.tolerance is None else f"within {tolerance_text(cls.tolerance)}"
    gives = "a streaming model" if cls.gives == "streaming" else "a model of the same kind"
    takes = {"any": "any model", "offline": "an offline model", "streaming": "a streaming model"}[cls.requires]
    click.echo(f"Takes {takes} and gives {gives}, {promise}.\n")
    click.echo("Options:" if cls.Config.model_fields else "Options: none, but tolerance")
    for option, field in cls.Config.model_fields.items():
        default = (
            ""
            if field.is_required()
            else f" (default {json.dumps(field.get_default(call_default_factory=True), default=str)})"
        )
        click.echo(f"    {option}{default}: {field.description or ''}")
    if parts := cls.parts():
        click.echo("\nParts:")
        width = max(len(part) for part in parts)
        for part, does in parts.items():
            click.echo(f"    {part:<{width}}  {does}")


def pass_notes(data: dict[str, Any]) -> list[str]:
    """What every pass of a report says of itself, a line each."""
    return [f"{record['name']}: {note}" for record in data["passes"] for note in record["notes"]]


def tolerance_text(tolerance: ToleranceSpec) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in tolerance if value is not None)


@cli.command("schema")
@command
def schema_command(failures: Failures) -> None:
    """Print the JSON Schema of a spec."""
    click.echo(json.dumps(json_schema(), indent=1))


def run(limit: Callable[[int, float], None] | None = None) -> None:
    """The ``graphc`` command: usage errors are one line too.

    Args:
        limit: takes the bytes of memory and the seconds that the options allow.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        cli(prog_name="graphc", standalone_mode=False, obj=limit)
    except click.UsageError as err:
        command = err.ctx.command_path if err.ctx is not None else "graphc"
        click.echo(f"graphc: error: {one_line(err.format_message())} See `{command} --help`.", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        interrupted()
