"""``graphc compile``: runs the passes of specs, and writes the outputs."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from graphc.cli.command import ALLOWED, JSON, SPECS, Failures, command, runs_models, show_lines
from graphc.errors import OutputError, SpecError
from graphc.spec.spec_file import PipelineFile, SpecFile, load_any_spec
from graphc.system.escape import one_line
from graphc.system.files import write_all


@click.command("compile")
@SPECS
@JSON
@click.option("--verbose", "-v", is_flag=True, help="Print what each pass did, what it left, and why.")
@click.option("--force", is_flag=True, help="Compile even if nothing changed since the outputs were written.")
@click.option("--depfile", type=click.Path(path_type=Path), help="Write dependencies for make and ninja to this file.")
@click.option("--report-on-failure", type=click.Path(path_type=Path), help="Write a report here if compiling fails.")
@click.option(
    "--target", "targets", multiple=True, metavar="NAME", help="A target in addition to the spec's; repeatable."
)
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
    targets: tuple[str, ...],
    allowed: tuple[Path, ...],
) -> None:
    """Run a spec's passes, validate after each, and write the outputs."""
    if depfile is not None and depfile.exists() and not is_depfile(depfile):
        raise SpecError("the depfile would overwrite a file that is not a depfile", where=str(depfile))
    rules: list[str] = []
    reports: list[Any] = []
    for spec in specs:
        with failures.caught():
            spec_file = load_any_spec(spec)
            if isinstance(spec_file, PipelineFile):
                record = compiled_pipeline(spec_file, targets, depfile, force, allowed)
                reports.append(record)
                show_stages(spec.name, record, verbose and not as_json)
                continue
            if targets:
                spec_file = with_targets(spec_file, targets)
            from graphc.build.compiler import Options, compile_spec
            from graphc.build.fingerprint import dependencies
            from graphc.build.output_files import output_paths
            from graphc.cli.terminal import ProgressBar, console, show_report

            with ProgressBar(spec.name) as bar:
                report = compile_spec(spec_file, Options(force, allowed, report_on_failure, bar, cache=True))
            reports.append(json.loads(report.json()))
            for line in warnings_of(report.data):
                click.echo(f"graphc: warning: {spec.name}: {one_line(line)}", err=True)
            if console.is_terminal and not as_json:
                show_report(report, str(spec))
            if verbose and not as_json:
                show_lines(pass_notes(report.data))
            if depfile is not None:
                read = [spec_file.folder / name for name in report.data["fingerprint"]["reads"]]
                rules.append(make_rule(output_paths(spec_file)["model"], [*dependencies(spec_file), *read]))
    if as_json:
        click.echo(json.dumps(reports[0] if len(specs) == 1 and reports else reports, indent=1))
    if depfile is not None and rules:
        write_all({depfile: "".join(rules).encode()})


def compiled_pipeline(
    file: PipelineFile, targets: Sequence[str], depfile: Path | None, force: bool, allowed: tuple[Path, ...]
) -> dict[str, Any]:
    """Compiles a pipeline, and returns the record of the compilation.

    Errors:
        SpecError: an option applies only to a single model.
        GraphcError: the compilation failed.
    """
    for option, given in (("--target", targets), ("--depfile", depfile)):
        if given:
            raise file.error(
                ("pipeline",), f"{option} does not apply to a pipeline", "give it with the specs of its stages"
            )
    from graphc.build.compiler import Options
    from graphc.cli.terminal import ProgressBar, console
    from graphc.pipelines.compile_pipeline import compile_pipeline

    with ProgressBar(file.source.path.name) as bar:
        record = compile_pipeline(file, Options(force, allowed, progress=bar))
    if console.is_terminal:
        state = "up to date" if record.get("up_to_date") else f"{len(record['stages'])} stages joined"
        click.echo(f"{file.source.path.name}: {state}: {os.path.relpath(file.output_folder)}")
    return record


def show_stages(name: str, record: dict[str, Any], verbose: bool) -> None:
    """Prints the warnings of the passes of every stage and, if ``verbose``, the notes of each pass."""
    for stage, data in record["stages"].items() if not record.get("up_to_date") else ():
        for line in warnings_of(data):
            click.echo(f"graphc: warning: {name}: {stage}: {one_line(line)}", err=True)
        if verbose:
            show_lines([f"{stage}: {line}" for line in pass_notes(data)])


def with_targets(spec_file: SpecFile, names: Sequence[str]) -> SpecFile:
    """The spec with more targets.

    Errors:
        SpecError: an unknown target.
    """
    from graphc.spec.schema import TargetSpec
    from graphc.targets.registry import target_named

    known = [entry.name for entry in spec_file.spec.targets]
    added = [TargetSpec(name=target_named(name).name) for name in dict.fromkeys(names) if name not in known]
    spec = spec_file.spec.model_copy(update={"targets": [*spec_file.spec.targets, *added]})
    return SpecFile(spec, spec_file.source)


def is_depfile(path: Path) -> bool:
    """Whether a file is empty or begins like a rule of make."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(4096)
    return not head or (b".onnx:" in head and b"\0" not in head)


def make_rule(target: Path, sources: list[Path]) -> str:
    """A dependency rule in the syntax of make and ninja."""

    def escaped(path: Path) -> str:
        if "\n" in str(path):
            raise OutputError("a rule of make cannot name a file with a line break", where=str(path))
        return os.path.relpath(path).replace("\\", "\\\\").replace(" ", "\\ ").replace("#", "\\#").replace("$", "$$")

    return f"{escaped(target)}: {' '.join(map(escaped, sources))}\n"


def warnings_of(data: dict[str, Any]) -> list[str]:
    """The warnings of a report's passes and targets. Empty if nothing was compiled."""
    if data.get("up_to_date"):
        return []
    said = [f"{record['name']}: {text}" for record in data["passes"] for text in record["warnings"]]
    return [*said, *fallbacks_of(data)]


def fallbacks_of(data: dict[str, Any]) -> list[str]:
    """A line for each target with nodes that it does not support according to its documents."""
    lines = []
    for name, target in data["targets"].items():
        if found := target["findings"]:
            first = "; ".join(f"{f['node']}: {f['reason']}" for f in found[:3])
            more = f"; and {len(found) - 3} more, which the report lists" if len(found) > 3 else ""
            count = "1 node" if len(found) == 1 else f"{len(found)} nodes"
            lines.append(f"{name} does not take {count}: {first}{more}")
    return lines


def pass_notes(data: dict[str, Any]) -> list[str]:
    """A line for each note of a pass in a report, and for the outcome on each target."""
    passes = [f"{record['name']}: {note}" for record in data["passes"] for note in record["notes"]]
    return [*passes, *(f"target {name}: {target_note(target)}" for name, target in data["targets"].items())]


def target_note(target: dict[str, Any]) -> str:
    if target["latency"] is None:
        return f"{target['runtime']}, not run: {target['why_not']}"
    near = "exact" if target["snr_db"] is None else f"{target['snr_db']:.1f} dB"
    return f"{target['runtime']}, {near}, a call takes {target['latency']['p50_ms']:.3f} ms"
