"""Reports what a lift would find in a model that has no spec yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from graphc.discover.agreement import that_runs
from graphc.discover.read_ports import read_ports
from graphc.discover.reading import InputReading, Progress, Reading, Told
from graphc.discover.receptive_field import receptive_field
from graphc.errors import RandomError
from graphc.ir.graph import name_of, op_of
from graphc.ir.model import Model, read_model
from graphc.ir.sizes import size_of
from graphc.offline.reference import Offline
from graphc.stream.clip_models.sliding_clip import slide
from graphc.stream.facts.stream import Stream
from graphc.stream.lift import lift
from graphc.stream.modes.stateful_model import given_stream
from graphc.stream.propagation.analysis import Analysis, analyse
from graphc.system.deadline import Clock, TimeOverError, at_most
from graphc_runtime.errors import StreamError

SECONDS = 30.0
LONGEST_VALUE, MOST_METADATA = 60, 12


def inspect_model(
    path: Path, told: Told | None = None, seconds: float = SECONDS, progress: Progress = lambda what: None
) -> dict[str, Any]:
    """Reports the streams of a model with rates and delays, and the bytes of state, or the first obstacle to a lift.

    Args:
        told: what the user says about the model; the rest is read from the model or guessed, and marked as a guess.
        seconds: the time limit. Results that are not known by then are left out, and ``unfinished`` names them.
        progress: is called with each step.

    Errors:
        ModelError: the model cannot be read or run.
        SpecError: no input can be a stream, or ``told`` does not fit the model.
    """
    told, clock = told or Told(), Clock(seconds)
    progress("reading the model")
    source = read_model(path)
    reading, offline = that_runs(
        source, read_ports(source, told, clock.left / 2, progress), clock.least(seconds / 2), told.chunk
    )
    found: dict[str, Any] = {
        "model": str(path),
        "nodes": len(source.graph.node),
        "bytes": size_of(source),
        "metadata": short_metadata(source),
        **reading_entries(reading),
        "obstacle": None,
        "clip_frames": None,
        "unfinished": None,
    }
    try:
        with at_most(clock.left):
            progress("looking for what a stream needs")
            found |= streamed_entries(offline, reading, told)
            if reading.pairs or reading.steps or told.window:
                return found
            analysis = analyse(offline, told.chunk)
            model = lift(analysis)
            found |= lifted_entries(analysis, model)
    except StreamError as err:
        helps = not isinstance(err, RandomError)
        found["obstacle"] = {"node": err.node, "reason": err.reason, "hint": err.hint, "window_helps": helps}
        found["clip_frames"] = None if reading.pairs else offline.declared
        return found
    except TimeOverError:
        found["unfinished"] = f"whether it can be lifted was not determined within {seconds:g} s"
        return found
    try:
        with at_most(clock.left):
            for entry in found["outputs"]:
                progress(f"measuring how far '{entry['name']}' sees")
                entry["receptive_field"] = receptive_field(offline, analysis, model, entry["name"])
    except TimeOverError:
        found["unfinished"] = f"how far outputs see was not fully measured within {seconds:g} s"
    return found


def short_metadata(model: onnx.ModelProto) -> dict[str, str]:
    """The first short entries of the exporter's metadata."""
    told = {
        p.key: p.value for p in model.metadata_props if len(p.value) <= LONGEST_VALUE and len(p.key) <= LONGEST_VALUE
    }
    return dict(list(told.items())[:MOST_METADATA])


def reading_entries(reading: Reading) -> dict[str, Any]:
    """The ports with their roles and the evidence for them."""
    return {
        "inputs": [input_entry(i) for i in reading.inputs],
        "state_ports": [
            {"input": p.input, "output": p.output, "guess": not p.sure, "evidence": list(p.evidence)}
            for p in reading.pairs
        ],
        "carried": carried_lines(reading),
        "call": {"frames": reading.chunk, "guess": reading.chunk_guess} if reading.pairs or reading.steps else None,
        "guessed": reading.guessed,
        "not_run": reading.no_trial,
    }


def input_entry(reading: InputReading) -> dict[str, Any]:
    spec = reading.spec
    role = next(
        (r for r, is_it in (("stream", spec.axis is not None), ("step", spec.step), ("counts", spec.counts)) if is_it),
        "static",
    )
    return {
        "name": reading.port.name,
        "shape": list(reading.port.dims),
        "role": role,
        "axis": spec.axis,
        "counts": spec.counts,
        "sizes": {str(axis): size for axis, size in spec.sizes.items()},
        "guess": reading.guess,
        "evidence": list(reading.reasons),
        "others": list(reading.others) if reading.guess else [],
    }


def carried_lines(reading: Reading) -> list[str]:
    """Lines on what changed when the states were fed back."""
    carried = reading.carried
    if carried is None:
        return []
    if carried.grows:
        return [f"the state '{name}' grows with every call" for name in carried.grows]
    told = []
    if carried.moved and reading.pairs:
        later = "; the others may have an effect in later calls" if len(carried.moved) < len(reading.pairs) else ""
        told.append(
            f"{len(carried.moved)} of {len(reading.pairs)} states, fed back, change what the next call gives{later}"
        )
    if carried.agrees is not None:
        verb = "are" if carried.agrees else "are not"
        told.append(f"two calls of {carried.frames} frames {verb} one call of {2 * carried.frames}")
    return told


def streamed_entries(offline: Offline, reading: Reading, told: Told) -> dict[str, Any]:
    """What a call takes and gives, if the model streams with its own states or over a window; else empty.

    Errors:
        StreamError: a state grows, or the window does not fit.
    """
    if told.window is not None:
        model = slide(offline, told.window, told.chunk or 1, None)
    elif reading.pairs or reading.steps:
        model = given_stream(offline, reading.chunk or 1)
    else:
        return {}
    return signature_entries(model)


def signature_entries(model: Model) -> dict[str, Any]:
    signature = model.signature
    assert signature is not None
    return {
        "chunk": signature.chunk,
        "chunk_multiple": signature.chunk_multiple,
        "window": signature.window,
        "valid_frames": signature.valid_frames is not None,
        "outputs": [
            {
                "name": o.name,
                "axis": o.axis,
                "rate": str(o.rate),
                "delay": o.delay,
                "length": o.length.as_dicts(),
                "receptive_field": None,
            }
            for o in signature.outputs
        ],
        "states": [s.as_dict() for s in signature.states],
        "state_bytes": signature.state_bytes,
        "max_frames": signature.max_frames,
        "min_frames": signature.min_frames,
        "renamed": dict(signature.renamed),
        "dropped": dict(signature.dropped),
    }


def lifted_entries(analysis: Analysis, model: Model) -> dict[str, Any]:
    """What the lift found, and for which stream lengths it holds."""
    signature, evaluation = model.signature, analysis.evaluation
    assert signature is not None
    lowered = {id(placed.node) for placed in analysis.steps}
    data = sum(id(node) in lowered for node in evaluation.graph.nodes)
    return {
        **signature_entries(model),
        "chunk": analysis.chunk,
        "chunk_multiple": analysis.chunk_multiple,
        "lengths": list(evaluation.lengths),
        "data_nodes": data,
        "time_only_nodes": len(evaluation.graph.nodes) - data,
        "rates": rates(analysis),
        "attention": attentions(analysis),
        "proof": "tried" if signature.tried else "proved",
        "tried": dict(analysis.promise.tried),
        "beyond": "continues" if signature.continues else "stops",
        "ended_by": analysis.promise.ended_by,
    }


def attentions(analysis: Analysis) -> list[dict[str, Any]]:
    """How far each attention sees, in frames of its layer."""
    return [
        {"node": name_of(placed.node), "left": context.left, "right": context.right, "period": context.period}
        for placed in analysis.steps
        if (context := placed.step.attention) is not None
    ]


def rates(analysis: Analysis) -> list[dict[str, Any]]:
    """The nodes at which the rate changes."""
    found = []
    for placed in analysis.steps:
        node, step = placed.node, placed.step
        before = [f.rate for t in node.inputs if isinstance(f := analysis.facts.get(t.name), Stream)]
        after = [f.rate for f in step.facts if isinstance(f, Stream)]
        if before and after and after[0] != before[0]:
            found.append({"node": name_of(node), "op": op_of(node), "rate": str(after[0])})
    return found
