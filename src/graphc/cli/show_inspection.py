"""Shows an inspection on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from graphc.build.report import human_bytes
from graphc.discover.reading import MOST_REASONS, shape_text
from graphc.system.escape import printable
from graphc.system.words import counted


def show_inspection(found: dict[str, Any], console: Console) -> None:
    """Prints the result of ``inspect_model``."""
    found = printable(found)
    console.print(f"{found['model']}: {found['nodes']} nodes, {human_bytes(found['bytes'])}")
    if found["metadata"]:
        console.print("metadata: " + ", ".join(f"{key} = {value}" for key, value in found["metadata"].items()))
    for line in port_lines(found):
        console.print(line)
    if found["obstacle"] is not None:
        show_obstacle(found["obstacle"], console)
        if found["clip_frames"] is not None:
            frames = found["clip_frames"]
            console.print(f"it is declared for {frames} frames: --window {frames} streams over the last {frames}")
    elif "outputs" in found:
        for line in stream_lines(found):
            console.print(line)
        show_states(found, console)
    if found["unfinished"]:
        console.print(f"{found['unfinished']}; --seconds allows more", style="yellow")


def port_lines(found: Mapping[str, Any]) -> list[str]:
    """A line for each input and state port with the evidence for its role, and a line on how to correct guesses."""
    lines = [input_line(entry) for entry in found["inputs"]]
    for pair in found["state_ports"]:
        mark = "a guess: " if pair["guess"] else ""
        lines.append(f"state {pair['input']} → {pair['output']}: {mark}{evidence_of(pair)}")
    lines += found["carried"]
    if found["not_run"]:
        lines.append(f"the model could not be run: {found['not_run']}")
    if found["guessed"]:
        lines.append(
            "guesses may be wrong: correct them with --input NAME=AXIS, --step NAME, --static NAME, "
            "--counts NAME=INPUT, --size NAME:AXIS=N or --state IN=OUT"
        )
    return lines


def input_line(entry: Mapping[str, Any]) -> str:
    said = {
        "stream": f"a stream, time on axis {entry['axis']}",
        "step": "one frame a call",
        "counts": f"the number of frames of {entry['counts']}",
        "static": "one value for the whole stream",
    }[entry["role"]]
    mark = "a guess: " if entry["guess"] else ""
    others = f"; it could be {' or '.join(entry['others'])}" if entry["others"] else ""
    return f"input {entry['name']} {shape_text(entry['shape'])}: {said}: {mark}{evidence_of(entry)}{others}"


def evidence_of(entry: Mapping[str, Any]) -> str:
    return "; ".join(entry["evidence"][:MOST_REASONS])


def show_obstacle(obstacle: Mapping[str, Any], console: Console) -> None:
    console.print("cannot be streamed exactly:", style="bold red")
    console.print(f"  node {obstacle['node']}" if obstacle["node"] else "  the model")
    console.print(f"  {obstacle['reason']}")
    if obstacle["hint"]:
        console.print(f"  what helps: {obstacle['hint']}")
    if obstacle["window_helps"]:
        console.print(
            "  or stream over a window, as `graphc init` does: --window N takes the last N frames in each call"
        )


def stream_lines(found: Mapping[str, Any]) -> list[str]:
    """Lines on what one call takes and returns, and on the stream lengths for which this holds."""
    lines = call_lines(found)
    lines += [f"rate {change['rate']} from {change['node']} ({change['op']}) on" for change in found.get("rates", [])]
    lines += [output_line(out) for out in found["outputs"]]
    lines += [f"output {name}: becomes the state port {port}" for name, port in found["renamed"].items()]
    taken = {entry["name"] for entry in found["inputs"]}
    lines += [f"output {name}: dropped: {why}" for name, why in found["dropped"].items() if name not in taken]
    for entry in found.get("attention", []):
        blocks = f", in blocks of {entry['period']}" if entry["period"] > 1 else ""
        lines.append(f"attention {entry['node']}: {entry['left']} frames back, {entry['right']} ahead{blocks}")
    if found["min_frames"] > 1:
        lines.append(
            f"streams need at least {found['min_frames']} frames: shorter ones do not run offline, or give other "
            "outputs"
        )
    return [*lines, end_of(found)] if found["max_frames"] is not None else lines


def call_lines(found: Mapping[str, Any]) -> list[str]:
    if found["window"] is not None:
        return [f"each call gives the outputs for the last {found['window']} frames"]
    call = found["call"]
    if call is not None:
        guess = f" (a guess: {call['guess']})" if call["guess"] else ""
        alone = (
            "its states are its ports: nothing to lift" if found["state_ports"] else "it stands alone: nothing to lift"
        )
        return [f"a call takes {counted(call['frames'], 'frame')}{guess}; {alone}"]
    lines = [
        f"{found['data_nodes']} nodes carry data, {found['time_only_nodes']} depend on time alone",
        f"smallest chunk: {counted(found['chunk_multiple'], 'frame')}; any multiple fits",
    ]
    if found["chunk"] == found["chunk_multiple"]:
        return [*lines, "delay and states below are those of the smallest chunk (--chunk N shows those of another)"]
    return [*lines, f"delay and states below are those of chunks of {found['chunk']} frames"]


def output_line(out: Mapping[str, Any]) -> str:
    if out["axis"] is None:
        return f"output {out['name']}: one value a call"
    field = out["receptive_field"]
    seen = ""
    if field is not None:
        left = "all frames" if field["left"] is None else f"{field['left']} frames"
        seen = f"; sees {'at least ' * field['at_least']}{left} back, {field['right']} ahead"
    rate = "one frame for each input frame" if out["rate"] == "1" else f"{out['rate']} frames for each input frame"
    return f"output {out['name']}: time on axis {out['axis']}, {rate}, delay {counted(out['delay'], 'frame')}{seen}"


def show_states(found: Mapping[str, Any], console: Console) -> None:
    if not found["states"]:
        console.print("no states: every frame stands alone")
    else:
        count = counted(len(found["states"]), "state")
        table = Table(box=None, pad_edge=False, title=f"{count}, {found['state_bytes']} bytes", title_justify="left")
        for column in ("kind", "shape", "bytes", "node"):
            table.add_column(column, justify="right" if column == "bytes" else "left", overflow="fold")
        for s in found["states"]:
            table.add_row(s["kind"], f"{s['shape']} {s['dtype']}", str(s["bytes"]), s["node"])
        console.print(table)
    if found["valid_frames"]:
        console.print("takes an input valid_frames: without it, frames past the end of the stream could reach outputs")


def end_of(found: Mapping[str, Any]) -> str:
    """A line that names the longest stream for which equality holds, and what limits it."""
    most, node = found["max_frames"], found["ended_by"]
    if found["proof"] == "tried":
        name, reason = next(iter(found["tried"].items()), (node, "the model runs at no other length"))
        why = reason if name is None else f"{name}: {reason}"
        return f"tried at some lengths up to {most} frames, not proved: {why}"
    if found["beyond"] == "continues":
        ended = "the most that it takes" if node is None else f"beyond which {node} behaves differently"
        return f"equal to the offline model up to {most} frames, {ended}; longer streams go on"
    if node is None:
        return f"streams of up to {most} frames: a table of positions ends there"
    return f"streams of up to {most} frames: beyond, {node} behaves differently"
