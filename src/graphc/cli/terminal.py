"""Shows a compilation on a terminal: a progress bar while it runs, and tables at its end."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from graphc.build.report import Report, human_bytes, number
from graphc.contract.signature import port_changes
from graphc.measure.drift_result import drift_lines
from graphc.system.escape import one_line, printable

WIDE = 10_000
console = Console(highlight=False, markup=False, emoji=False)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = WIDE
errors = Console(stderr=True, highlight=False, markup=False, emoji=False)


class ProgressBar:
    """A progress bar on stderr. It shows nothing if stderr is not a terminal."""

    def __init__(self, title: str):
        self.bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=errors,
            transient=True,
            disable=not errors.is_terminal,
        )
        self.task = self.bar.add_task(one_line(title), total=None)
        self.title = one_line(title)

    def __enter__(self) -> ProgressBar:
        if errors.is_terminal:
            self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if errors.is_terminal:
            self.bar.stop()

    def doing(self, what: str) -> None:
        """Shows a step of unknown duration."""
        self.bar.update(self.task, description=f"{self.title} · {one_line(what)}")

    def __call__(self, what: str, done: int, total: int) -> None:
        self.bar.update(self.task, description=f"{self.title} · {one_line(what)}", completed=done, total=total)


def show_report(report: Report, spec: str) -> None:
    data = printable(report.data)
    if report.up_to_date:
        console.print(f"{spec}: nothing changed since the outputs were written (--force compiles anyway)")
        return
    console.print(passes_table(data))
    if data["stream"]:
        console.print(states_table(data))
        unproven = [s["name"] for s in data["states"] if s["proven"] is False]
        if unproven:
            console.print(
                f"states that the validation cannot judge (disturbing them changes no output): {', '.join(unproven)}"
            )
        for line in [
            *port_changes(data["stream"]["renamed"], data["stream"]["dropped"]),
            *reference_lines(data),
            *kernel_lines(data),
            *target_lines(data),
        ]:
            console.print(line)
        if data["drift"] is not None:
            for line in drift_lines(data["drift"]):
                console.print(line)
        console.print(stream_line(data))
    stem = next(name for name in data["outputs"] if name.endswith(".onnx")).removesuffix(".onnx")
    console.print(f"wrote {', '.join([*data['outputs'], f'{stem}.report.json'])}")


def passes_table(data: dict[str, Any]) -> Table:
    table = Table(title="passes", title_justify="left", box=None, pad_edge=False)
    for column in ("pass", "time", "nodes", "size", "largest error", "SNR", "equal"):
        table.add_column(column, justify="left" if column in ("pass", "equal") else "right")
    for p in data["passes"]:
        snrs = [d["snr_db"] for d in p["against_offline"] if d["snr_db"] is not None]
        table.add_row(
            p["name"],
            f"{p['seconds']:.2f} s",
            f"{p['nodes_before']} → {p['nodes_after']}",
            human_bytes(p["size_after"]),
            number(p["max_abs"]),
            f"{min(snrs):.1f} dB" if snrs else "exact",
            Text("yes", "green") if all(d["holds"] for d in p["against_offline"]) else Text("no", "red"),
        )
    return table


def reference_lines(data: dict[str, Any]) -> list[str]:
    """Lines on how far the reference is from the exported model, if the options of a pass changed the reference."""
    return [
        f"{p['name']} changed the reference as asked: {d['output']} differs from the exported model's by "
        f"{number(d['max_abs'])}" + (f" ({d['snr_db']:.1f} dB)" if d["snr_db"] is not None else "")
        for p in data["passes"]
        for d in p["reference_change"]
    ]


def target_lines(data: dict[str, Any]) -> list[str]:
    """A line with the outcome for each target."""
    return [
        f"{name} ({entry['runtime']}): equal within {number(entry['max_abs'])}, "
        f"{entry['latency']['p50_ms']:.3f} ms a call, {entry['file']}"
        for name, entry in data.get("targets", {}).items()
    ]


def kernel_lines(data: dict[str, Any]) -> list[str]:
    return [
        f"with this machine's integer kernels {d['output']} differs by {number(d['max_abs'])} from the model's own "
        f"arithmetic ({d['snr_db']:.1f} dB)"
        for d in data["kernels"]
        if d["snr_db"] is not None
    ]


def states_table(data: dict[str, Any]) -> Table:
    table = Table(title="states", title_justify="left", box=None, pad_edge=False)
    for column in ("kind", "shape", "bytes", "lifted from"):
        last = column == "lifted from"
        table.add_column(column, justify="right" if column == "bytes" else "left", overflow="fold", no_wrap=not last)
    for s in data["states"]:
        table.add_row(s["kind"], f"{s['shape']} {s['dtype']}", str(s["bytes"]), s["node"])
    return table


def stream_line(data: dict[str, Any]) -> str:
    stream, latency = data["stream"], data["latency"]
    chunk = (
        f"chunk {stream['chunk']} frames" if stream["chunk"] else f"any multiple of {stream['chunk_multiple']} frames"
    )
    parts = [chunk, f"state {human_bytes(stream['state_bytes'])}"]
    if stream["delay_ms"] is not None:
        parts.append(f"delay {stream['delay_ms']:g} ms")
    elif delay := max((o["delay"] for o in stream["outputs"]), default=0):
        parts.append(f"delay {delay} frames of the output")
    parts.append(f"a call takes {latency['p50_ms']:.3f} ms (p99 {latency['p99_ms']:.3f} ms)")
    if latency["rtf"] is not None:
        parts.append(f"real-time factor {latency['rtf']:.4f}")
    return " · ".join(parts)
