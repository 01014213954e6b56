"""What a lift would find in a model, before any spec is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from graphc.build.report import human_bytes
from graphc.discover.init_spec import guessed_inputs
from graphc.errors import SpecError, StreamError
from graphc.ir.graph import name_of, op_of, reads
from graphc.ir.model import Model, read_model
from graphc.ir.sizes import size_of
from graphc.offline.feeds import Array
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.spec.input_roles import Port, StreamRole, graph_ports, infer_stream_axes
from graphc.spec.schema import InputSpec, StreamSpec
from graphc.stream.evaluation.evaluate import evaluate
from graphc.stream.facts.stream import Stream
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import Analysis, analyse
from graphc.system.escape import printable


def inspect_model(path: Path, inputs: dict[str, InputSpec] | None = None, chunk: int | None = None) -> dict[str, Any]:
    """What is stream, at which rate, with which delay and how many bytes of state; or the first obstacle.

    Errors:
        ModelError: the model cannot be read or run.
        SpecError: its stream inputs cannot be inferred.
    """
    source = read_model(path)
    ports, _ = graph_ports(source)
    guessed = inputs is None and not are_told(ports)
    offline = offline_of(source, StreamSpec(chunk=chunk or 1, inputs=guessed_inputs(ports) if guessed else inputs))
    found: dict[str, Any] = {
        "model": str(path),
        "nodes": len(source.graph.node),
        "bytes": size_of(source),
        "inputs": [input_entry(name, role) for name, role in offline.roles.items()],
        "guessed": guessed,
        "obstacle": None,
    }
    try:
        evaluation = evaluate(offline)
        analysis = analyse(offline, chunk, evaluation)
        evaluation = analysis.evaluation
        model = lift(analysis)
    except StreamError as err:
        found["obstacle"] = {"node": err.node, "reason": err.reason, "hint": err.hint}
        return found
    signature = model.signature
    assert signature is not None
    found |= {
        "lengths": list(evaluation.lengths),
        "data_nodes": len(analysis.steps),
        "time_only_nodes": len(evaluation.graph.nodes) - len(analysis.steps),
        "chunk": analysis.chunk,
        "chunk_multiple": analysis.chunk_multiple,
        "valid_frames": signature.valid_frames is not None,
        "outputs": [
            {
                "name": o.name,
                "axis": o.axis,
                "rate": str(o.rate),
                "delay": o.delay,
                "length": o.length.as_dicts(),
                "receptive_field": receptive_field(offline, analysis, model, o.name),
            }
            for o in signature.outputs
        ],
        "states": [s.as_dict() for s in signature.states],
        "state_bytes": signature.state_bytes,
        "rates": rates(analysis),
        "attention": attentions(analysis),
        "max_frames": signature.max_frames,
        "min_frames": signature.min_frames,
        "proof": "tried" if signature.tried else "proved",
        "tried": dict(analysis.promise.tried),
        "beyond": "continues" if signature.continues else "stops",
        "ended_by": analysis.promise.ended_by,
    }
    return found


def are_told(ports: list[Port]) -> bool:
    """Whether the shapes of a model's inputs leave one reading only."""
    try:
        infer_stream_axes(ports)
    except SpecError:
        return False
    return True


def attentions(analysis: Analysis) -> list[dict[str, Any]]:
    """What each attention sees, in frames of its layer."""
    return [
        {
            "node": name_of(placed.node),
            "left": context.left,
            "right": context.right,
            "period": context.period,
        }
        for placed in analysis.steps
        if (context := placed.step.attention) is not None
    ]


def end_of(found: Mapping[str, Any]) -> str:
    """What the longest stream of the promise is, and why."""
    most, node = found["max_frames"], found["ended_by"]
    if found["proof"] == "tried":
        name, reason = next(iter(found["tried"].items()), (node, "the model runs at no other length"))
        return f"tried at some lengths up to {most} frames, not proved: {name}: {reason}"
    if found["beyond"] == "continues":
        return f"equal to the offline model up to {most} frames, where {node} ends it; streams go on"
    if node is None:
        return f"streams of up to {most} frames: a table of positions ends there"
    return f"streams of up to {most} frames: beyond, {node} does something else"


def input_entry(name: str, role: Any) -> dict[str, Any]:
    kind = type(role).__name__.removesuffix("Role").lower()
    return {"name": name, "role": kind, "axis": role.axis if isinstance(role, StreamRole) else None}


def rates(analysis: Analysis) -> list[dict[str, Any]]:
    """Where the rate changes: node by node."""
    found = []
    for placed in analysis.steps:
        node, step = placed.node, placed.step
        before = [f.rate for t in node.inputs if isinstance(f := analysis.facts.get(t.name), Stream)]
        after = [f.rate for f in step.facts if isinstance(f, Stream)]
        if before and after and after[0] != before[0]:
            found.append({"node": name_of(node), "op": op_of(node), "rate": str(after[0])})
    return found


ENDLESS = ("rnn_hidden", "rnn_cell", "scan_carry", "running_sum")
DISTURBANCES = 3
LONGEST_MEASURED = 20_000
MOST_PHASES = 16
NO_SEED = np.random.default_rng(0)


def receptive_field(offline: Offline, analysis: Analysis, model: Model, output: str) -> dict[str, int | None] | None:
    """Input frames before and after its own that an output frame depends on.

    Measured: frames in the middle are disturbed, one at a time and far, and the outputs that move are noted, in streams
    that double until none at their ends moves. ``left`` is None where the output hangs on a carried value, which no
    measure bounds; the whole is None for token inputs.
    """
    fact = analysis.facts.get(output)
    streams = {n: r for n, r in offline.roles.items() if isinstance(r, StreamRole)}
    if not isinstance(fact, Stream) or any(offline.draw(1, NO_SEED)[n].dtype.kind != "f" for n in streams):
        return None
    endless = hangs_on_a_carry(model, output)
    frames = max(offline.accepted)
    while True:
        left, right, inside = measured(offline, streams, output, fact, frames, endless)
        if inside or 2 * frames > LONGEST_MEASURED or not offline.accepts(2 * frames):
            return {"left": None if endless else left, "right": right}
        frames *= 2


def measured(
    offline: Offline, streams: dict[str, StreamRole], output: str, fact: Stream, frames: int, endless: bool
) -> tuple[int, int, bool]:
    """Frames seen before and after, over as many places as the rate has phases, and whether the ends stood still."""
    left = right = 0
    inside = True
    others = tuple(a for a in range(fact.rank) if a != fact.axis)
    for place in range(frames // 2, frames // 2 + max(DISTURBANCES, min(fact.rate.denominator, MOST_PHASES))):
        rng = np.random.default_rng(place)
        feeds = offline.draw(frames, rng)
        changed = {n: disturbed(v, streams[n], place, rng) if n in streams else v for n, v in feeds.items()}
        base, other = offline.run(feeds)[output], offline.run(changed)[output]
        hits = np.flatnonzero(np.asarray(base != other).any(axis=others))
        if hits.size:
            left = max(left, int(hits[-1] / fact.rate) - place)
            right = max(right, place - int(hits[0] / fact.rate))
            inside = inside and bool(hits[0] > 0 and (endless or hits[-1] < base.shape[fact.axis] - 1))
    return left, right, inside


def disturbed(value: Array, role: StreamRole, place: int, rng: np.random.Generator) -> Array:
    changed = value.copy()
    index: list[Any] = [slice(None)] * value.ndim
    index[role.axis] = min(int(place * role.rate), value.shape[role.axis] - 1)
    changed[tuple(index)] += (10 * rng.standard_normal(value[tuple(index)].shape)).astype(value.dtype)
    return changed


def hangs_on_a_carry(model: Model, output: str) -> bool:
    """Whether a recurrence or a running sum stands between the inputs and an output."""
    assert model.signature is not None
    endless = {s.input for s in model.signature.states if s.kind in ENDLESS and s.node != "valid_frames"}
    made_by = {t.name: n for n in model.graph.nodes for t in n.outputs}
    waiting, seen = [output], set()
    while waiting:
        name = waiting.pop()
        if name in endless:
            return True
        if name not in seen and name in made_by:
            waiting += [t.name for t in reads(made_by[name])]
        seen.add(name)
    return False


def counted(count: int, what: str) -> str:
    return f"{count} {what}" + "s" * (count != 1)


def show_inspection(found: dict[str, Any], console: Console) -> None:
    found = printable(found)
    console.print(f"{found['model']}: {found['nodes']} nodes, {human_bytes(found['bytes'])}")
    for entry in found["inputs"]:
        axis = f", time on axis {entry['axis']}" if entry["axis"] is not None else ""
        console.print(f"input {entry['name']}: {entry['role']}{axis}")
    if found["guessed"]:
        console.print("the shapes do not tell what each input is; this is a guess")
        console.print("--input NAME=AXIS, NAME=static or NAME=counts:OTHER says otherwise")
    if found["obstacle"] is not None:
        obstacle = found["obstacle"]
        console.print("cannot be streamed exactly:", style="bold red")
        console.print(f"  node {obstacle['node']}" if obstacle["node"] else "  the model")
        console.print(f"  {obstacle['reason']}")
        if obstacle["hint"]:
            console.print(f"  what helps: {obstacle['hint']}")
        return
    console.print(f"{found['data_nodes']} nodes carry data, {found['time_only_nodes']} depend on time alone")
    console.print(f"smallest chunk: {counted(found['chunk_multiple'], 'frame')}; any multiple fits")
    if found["chunk"] == found["chunk_multiple"]:
        console.print("delay and states below are those of the smallest chunk (--chunk N tells those of another)")
    else:
        console.print(f"delay and states below are those of chunks of {found['chunk']} frames")
    for change in found["rates"]:
        console.print(f"rate {change['rate']} from {change['node']} ({change['op']}) on")
    for out in found["outputs"]:
        if out["axis"] is None:
            console.print(f"output {out['name']}: one value a call")
            continue
        field = out["receptive_field"]
        seen = ""
        if field is not None:
            left = "all frames" if field["left"] is None else f"{field['left']} frames"
            seen = f"; sees {left} back, {field['right']} ahead"
        console.print(
            f"output {out['name']}: time on axis {out['axis']}, {out['rate']} frames per input frame, "
            f"delay {out['delay']} frames{seen}"
        )
    for entry in found["attention"]:
        blocks = f", in blocks of {entry['period']}" if entry["period"] > 1 else ""
        console.print(f"attention {entry['node']}: {entry['left']} frames back, {entry['right']} ahead{blocks}")
    if found["max_frames"] is not None:
        console.print(end_of(found))
    if found["states"]:
        table = Table(
            box=None,
            pad_edge=False,
            title=f"{counted(len(found['states']), 'state')}, {found['state_bytes']} bytes",
            title_justify="left",
        )
        for column in ("kind", "shape", "bytes", "node"):
            table.add_column(column, justify="right" if column == "bytes" else "left", overflow="fold")
        for s in found["states"]:
            table.add_row(s["kind"], f"{s['shape']} {s['dtype']}", str(s["bytes"]), s["node"])
        console.print(table)
    else:
        console.print("no states: every frame stands alone")
    if found["valid_frames"]:
        console.print("needs the port valid_frames: frames past the end can reach outputs")
