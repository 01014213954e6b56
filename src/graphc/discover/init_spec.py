"""``graphc init``: a commented spec that compiles."""

from __future__ import annotations

import os
from pathlib import Path

from graphc.errors import SpecError, StreamError
from graphc.ir.model import read_model
from graphc.offline.prepare import offline_of
from graphc.offline.reference import Offline
from graphc.spec.input_roles import INTEGERS, CountsRole, Port, StreamRole, graph_ports, infer_stream_axes
from graphc.spec.schema import InputSpec, StreamSpec
from graphc.spec.yaml_source import yaml_key, yaml_text
from graphc.stream.lift import lift
from graphc.stream.propagation.analysis import analyse
from graphc.system.escape import one_line

USUAL_CHUNK = 16


def starter_spec(model_path: Path, folder: Path) -> tuple[str, str | None]:
    """The text of a spec for a model, its path relative to ``folder``; and why an exact lift is refused, if it is.

    Errors:
        ModelError: the model cannot be read or run.
        SpecError: no input looks like a stream.
        StreamError: the model cannot be streamed, exactly or over a window.
    """
    source = read_model(model_path)
    ports, _ = graph_ports(source)
    inputs = guessed_inputs(ports)
    offline = offline_of(source, StreamSpec(chunk=1, inputs=inputs))
    name = os.path.relpath(str(model_path), str(folder))
    obstacle = ""
    refusal: str | None = None
    try:
        analysis = analyse(offline)
        lift(analysis)
        multiple = analysis.chunk_multiple
        chunk = -(-USUAL_CHUNK // multiple) * multiple
        window = ""
        note = f"any multiple of {multiple} fits" if multiple > 1 else "any number fits"
    except StreamError as err:
        clip = clip_length(offline)
        refusal = str(err)
        obstacle = f"  # An exact lift is refused: {one_line(str(err))}\n"
        chunk, note = USUAL_CHUNK, "any number fits"
        window = f"  window: {clip}                # each call gives the outputs for the last {clip} frames\n"
    stream_inputs = "".join(input_line(p, offline) for p in ports)
    text = (
        "# Written by `graphc init`; every line can be changed. The keys are explained in docs/spec.md.\n"
        "version: 1\n"
        f"model: {yaml_text(name)}\n"
        f"output: {yaml_text(model_path.stem + '.stream.onnx')}\n"
        "stream:\n"
        f"{obstacle}"
        f"  chunk: {chunk}                  # frames of the stream input that one call takes; {note}\n"
        f"{window}"
        "  # frame_ms: 10             # real time of one frame; the real-time factor needs it\n"
        f"  inputs:\n{stream_inputs}"
        "passes:\n"
        "  - lift_state               # every memory becomes a port\n"
        "  - fold_constants\n"
        "  - simplify\n"
        "  - fuse\n"
        "  # - quantize: {tolerance: {snr_db: 20}}\n"
        "validate:\n"
        "  sequences: 4               # random streams after every pass\n"
        "  # tolerance: {rtol: 1.0e-4, atol: 1.0e-5}   # how near is equal\n"
    )
    return text, refusal


def guessed_inputs(ports: list[Port]) -> dict[str, InputSpec]:
    """The likeliest roles: floats of the highest rank stream on their one symbolic dim; integers of rank 0 or 1 count.

    Errors:
        SpecError: no input can be a stream.
    """
    try:
        streams = dict(infer_stream_axes(ports))
    except SpecError:
        streams = {}
    for port in ports if not streams else []:
        symbolic = [a for a, d in enumerate(port.dims) if not isinstance(d, int)]
        candidates = [a for a in symbolic if a > 0] or ([0] if symbolic and len(port.dims) < 3 else [])
        if candidates and len(port.dims) > 1:
            streams[port.name] = candidates[-1] if len(port.dims) == 2 else candidates[0]
    if not streams:
        fixed = [p for p in ports if len(p.dims) > 1]
        if len(fixed) != 1:
            shapes = ", ".join(f"{p.name}{list(p.dims)}" for p in ports)
            raise SpecError(f"no input looks like a stream: {shapes}", hint="write the spec by hand (docs/spec.md)")
        dims = [d if isinstance(d, int) else 1 for d in fixed[0].dims]
        streams[fixed[0].name] = 1 + max(range(len(dims) - 1), key=lambda a: dims[a + 1])
    inputs = {name: InputSpec(axis=axis) for name, axis in streams.items()}
    first = next(iter(streams))
    for port in ports:
        if port.name not in inputs:
            counts = port.elem_type in INTEGERS and len(port.dims) <= 1 and "len" in port.name.lower()
            inputs[port.name] = InputSpec(counts=first) if counts else InputSpec(static=True)
    return inputs


def clip_length(offline: Offline) -> int:
    if offline.declared:
        return offline.declared
    return min(n for n in offline.some_lengths() if n)


def input_line(port: Port, offline: Offline) -> str:
    role = offline.roles[port.name]
    key = yaml_key(port.name, 4)
    shape = one_line("[" + ", ".join(str(d) if d is not None else "?" for d in port.dims) + "]")
    if isinstance(role, StreamRole):
        return f"{key} {{axis: {role.axis}}}   # of {shape}: the axis that is time\n"
    if isinstance(role, CountsRole):
        return f"{key} {{counts: {yaml_text(role.of)}}}   # {shape}: holds the number of frames\n"
    return f"{key} {{static: true}}   # {shape}: one value for the whole stream\n"
