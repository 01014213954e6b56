"""``graphc init``: writes a commented spec that compiles, with every guess marked."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from graphc.discover.agreement import that_runs
from graphc.discover.inspection import SECONDS
from graphc.discover.read_ports import read_ports
from graphc.discover.reading import MOST_REASONS, USUAL_CHUNK, InputReading, Progress, Reading, Told, shape_text
from graphc.errors import RandomError
from graphc.ir.model import read_model
from graphc.offline.reference import Offline
from graphc.spec.stream_schema import InputSpec
from graphc.spec.yaml_source import yaml_key, yaml_text
from graphc.stream.lift import lift
from graphc.stream.modes.stateful_model import given_stream
from graphc.stream.propagation.analysis import analyse
from graphc.system.deadline import Clock, TimeOverError, at_most
from graphc.system.escape import one_line
from graphc_runtime.errors import StreamError

CALLS_A_WINDOW = 10
MOST_UNLIKE = 3
WINDOW = "stream.window"


@dataclass(frozen=True)
class Starter:
    """A first spec.

    Args:
        text: the text of the spec.
        why_window: why the spec streams over a window, if it does.
        guesses: a line for each guess in the spec.
    """

    text: str
    why_window: str | None
    guesses: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """How the model is called: frames per call, frames of a window, and comments on them."""

    chunk: int
    note: str
    guess: bool = False
    window: int | None = None
    window_guess: bool = False
    why_window: str | None = None
    way_out: str | None = None
    lifted: bool = True


def starter_spec(
    model_path: Path,
    folder: Path,
    told: Told | None = None,
    seconds: float = SECONDS,
    progress: Progress = lambda what: None,
) -> Starter:
    """A spec for a model. The model's path in it is relative to ``folder``.

    Args:
        told: what the user says about the model; the rest is read from the model or guessed.
        seconds: the time limit of the analysis. The spec says what was not found by then.

    Errors:
        ModelError: the model cannot be read or run.
        SpecError: no input looks like a stream, or ``told`` does not fit the model.
        StreamError: the model cannot be streamed, exactly or over a window.
    """
    told, clock = told or Told(), Clock(seconds)
    progress("reading the model")
    source = read_model(model_path)
    reading, offline = that_runs(source, read_ports(source, told, clock.left / 2, progress), clock.least(seconds / 2))
    progress("looking for what a stream needs")
    call = call_of(reading, offline, told, clock)
    name = os.path.relpath(str(model_path), str(folder))
    return Starter(text_of(name, model_path.stem, reading, call), call.why_window, guesses_of(reading, call))


def call_of(reading: Reading, offline: Offline, told: Told, clock: Clock) -> Call:
    """How the model is called.

    Errors:
        StreamError: a state grows with every call.
        RandomError: the model draws random numbers.
    """
    if reading.pairs or reading.steps:
        given_stream(offline, reading.chunk or 1)
        if reading.steps:
            return Call(1, "the model takes one frame a call", lifted=False)
        agrees = reading.carried is not None and reading.carried.agrees
        only = "as told" if told.chunk is not None else "the model accepts no other number"
        note = reading.chunk_guess or ("any number gives the same result" if agrees else only)
        guess = reading.chunk_guess is not None
        return Call(reading.chunk or 1, note, guess, told.window, lifted=told.window is not None)
    if told.window is not None:
        return over_window(told.window, told, None)
    try:
        with at_most(clock.left):
            analysis = analyse(offline)
            lift(analysis)
    except TimeOverError:
        if offline.declared is not None:
            return over_window(offline.declared, told, "whether it can be lifted exactly was not determined in time")
        return Call(told.chunk or USUAL_CHUNK, "whether it fits was not determined in time", guess=True)
    except RandomError:
        raise
    except StreamError as err:
        clip = offline.declared
        call = over_window(clip or usual_window(reading, offline), told, refused(err))
        return replace(call, window_guess=clip is None, way_out=None if WINDOW in (err.hint or WINDOW) else err.hint)
    multiple = analysis.chunk_multiple
    if offline.declared is not None and multiple >= offline.declared and told.chunk is None:
        reason = f"an exact lift would take {multiple} frames a call, the whole length that the model is declared for"
        return over_window(offline.declared, told, reason)
    note = f"any multiple of {multiple} fits" if multiple > 1 else "any number fits"
    return Call(told.chunk or -(-USUAL_CHUNK // multiple) * multiple, note)


def refused(err: StreamError) -> str:
    """Why an exact lift is refused, without the hint of the error, since the spec uses a window instead."""
    return f"an exact lift is refused: {f'node {err.node}: ' if err.node else ''}{err.reason}"


def over_window(window: int, told: Told, reason: str | None) -> Call:
    chunk = told.chunk or hop(window)
    return Call(chunk, fits_window(chunk, window), told.chunk is None, window, why_window=reason)


def hop(window: int) -> int:
    """The frames of a call: about a tenth of the window, and a divisor if possible, so that a clip ends with a call."""
    usual = max(1, window // CALLS_A_WINDOW)
    parts = [n for n in range(1, window // 2 + 1) if window % n == 0]
    fitting = [n for n in parts if MOST_UNLIKE * n >= usual and n <= MOST_UNLIKE * usual]
    return min(fitting, key=lambda n: abs(n - usual), default=usual)


def fits_window(chunk: int, window: int) -> str:
    if window % chunk == 0:
        return f"any number fits; with a divisor of {window}, a clip of {window} frames ends at the end of a call"
    return f"any number fits; {chunk} does not divide a clip of {window} frames, which then ends inside a call"


def usual_window(reading: Reading, offline: Offline) -> int:
    """A number of frames at which a model without a declared length runs."""
    first = next(i for i in reading.inputs if i.is_stream)
    if reading.trial is not None and first.spec.axis is not None:
        frames = reading.trial.shape(first.port)[first.spec.axis]
        if offline.accepts(frames):
            return frames
    return max(offline.some_lengths())


def guesses_of(reading: Reading, call: Call) -> tuple[str, ...]:
    inputs = [f"input '{i.port.name}': {in_words(i.spec)}" for i in reading.inputs if i.guess]
    states = [f"state '{p.input}' → '{p.output}'" for p in reading.pairs if not p.sure]
    chunk = [f"chunk: {call.chunk}"] if call.guess else []
    window = [f"window: {call.window}"] if call.window_guess else []
    return (*inputs, *states, *chunk, *window)


def text_of(model: str, stem: str, reading: Reading, call: Call) -> str:
    """The text of the spec."""
    lines = [
        "# Written by `graphc init`; every line can be changed. `graphc schema` prints the keys.",
        *(
            ["# Lines marked GUESS are not certain from the model: check them first."]
            if guesses_of(reading, call)
            else []
        ),
        "version: 1",
        f"model: {yaml_text(model)}",
        f"output: {yaml_text(stem + '.stream.onnx')}",
        "stream:",
    ]
    if call.why_window is not None:
        lines.append(f"  # A window, because {one_line(call.why_window)}")
    if call.way_out is not None:
        lines.append(f"  # Without a window: {one_line(call.way_out)}")
    lines.append(aligned(f"  chunk: {call.chunk}", f"{mark(call.guess)}frames that one call takes; {call.note}"))
    if call.window is not None:
        told = f"{mark(call.window_guess)}each call gives the outputs for the last {call.window} frames"
        lines.append(aligned(f"  window: {call.window}", told))
    lines.append(aligned("  # frame_ms: 10", "real time of one frame; the real-time factor needs it"))
    lines.append("  inputs:")
    for entry in reading.inputs:
        lines += input_lines(entry)
    if reading.pairs:
        lines.append(
            "  states:                    # ports that carry a state from call to call; each begins with zeros"
        )
        for pair in reading.pairs:
            said = f"    - {{input: {yaml_text(pair.input)}, output: {yaml_text(pair.output)}}}"
            lines.append(f"{said}   # {mark(not pair.sure)}{one_line(pair.evidence[0])}")
    lines += ["passes:"]
    if call.lifted:
        lines.append(aligned("  - lift_state", "every memory becomes a port"))
    lines += [
        "  - fold_constants",
        "  - simplify",
        "  - fuse",
        "  # - quantize: {tolerance: {snr_db: 20}}",
        "validate:",
        aligned("  sequences: 4", "random streams after every pass"),
        "  # tolerance: {rtol: 1.0e-4, atol: 1.0e-5}   # how close counts as equal",
    ]
    return "\n".join(lines) + "\n"


def aligned(text: str, comment: str) -> str:
    return f"{text:<28} # {comment}"


def mark(guess: bool) -> str:
    return "GUESS: " if guess else ""


def input_lines(reading: InputReading) -> list[str]:
    """The line of an input in the spec, with the evidence above it."""
    others = f"; it could be {' or '.join(reading.others)}" if reading.guess and reading.others else ""
    evidence = one_line(
        f"{mark(reading.guess)}{shape_text(reading.port.dims)}: {'; '.join(reading.reasons[:MOST_REASONS])}{others}"
    )
    return [f"    # {evidence}", f"{yaml_key(reading.port.name, 4)} {{{in_words(reading.spec)}}}"]


def in_words(spec: InputSpec) -> str:
    """The role of an input, as a spec writes it."""
    parts: list[str] = []
    if spec.axis is not None:
        parts.append(f"axis: {spec.axis}")
    if spec.rate != 1:
        parts.append(f'rate: "{spec.rate}"')
    if spec.step:
        parts.append("step: true")
    if spec.counts is not None:
        parts.append(f"counts: {yaml_text(spec.counts)}")
    if spec.static:
        parts.append("static: true")
    if spec.sizes:
        parts.append("sizes: {" + ", ".join(f"{a}: {n}" for a, n in spec.sizes.items()) + "}")
    if spec.range is not None:
        parts.append(f"range: [{number(spec.range[0])}, {number(spec.range[1])}]")
    return ", ".join(parts)


def number(value: Any) -> str:
    return f"{value:g}" if float(value).is_integer() else repr(float(value))
