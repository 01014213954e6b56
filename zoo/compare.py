"""A compiled model, streamed by its manifest alone, beside the exported one in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc import StreamSession
from graphc.ir.graph import Tensor
from graphc.ir.model import Model, read_model
from graphc.ir.ort_session import Session
from graphc.offline.relax import without_stale_shapes
from graphc_runtime.errors import RunError

Array = NDArray[Any]
SMALLEST_CODEBOOK = 8
LENGTHS = 3


def difference(offline: Path, compiled: Path) -> float:
    """The largest difference of an output over its largest value, at several lengths pushed in pieces of any size.

    Raises:
        ValueError: an output has other frames than offline, or no length runs.
    """
    session = StreamSession(compiled)
    exported = without_stale_shapes(read_model(offline))
    reference = Session(exported)
    ports = Model.of(exported).graph.inputs
    rng = np.random.default_rng(0)
    worst, tried = 0.0, 0
    for frames in lengths(session):
        whole = drawn(ports, session, frames, rng)
        try:
            want = reference.run(whole)
        except RunError:
            continue
        got = streamed(session, whole, frames, rng)
        for name, value in got.items():
            if value.shape != want[name].shape:
                raise ValueError(f"{name} of {frames} frames: {value.shape}, and {want[name].shape} offline")
            scale = max(float(np.abs(want[name]).max(initial=0)), 1e-6)
            apart = float(np.abs(value.astype(float) - want[name]).max(initial=0)) / scale
            if not np.isfinite(apart):
                raise ValueError(f"{name} of {frames} frames is no number in the stream or offline")
            worst = max(worst, apart)
        tried += 1
    if tried < LENGTHS:
        raise ValueError(f"the exported model runs at {tried} of the lengths that were tried alone")
    return worst


def lengths(session: StreamSession) -> Iterator[int]:
    """Lengths around the shortest stream, whole calls and others, none longer than the longest stream."""
    manifest = session.manifest
    least, call = max(manifest.min_frames, 1), manifest.chunk or manifest.chunk_multiple
    longest = manifest.max_frames or least + 9 * call
    odd = (least, least + 1, 2 * call + 1, least + 3 * call, least + 5 * call + call // 2 + 1)
    whole = [-(-(least + k * call) // call) * call for k in (0, 2, 7)]
    wanted = (*odd, *whole)
    yield from sorted({n for n in wanted if least <= n <= longest})


def drawn(ports: list[Tensor], session: StreamSession, frames: int, rng: np.random.Generator) -> dict[str, Array]:
    """Random inputs of the exported model for a stream of so many frames of the first input.

    What the stream does not take is a count of frames, or a state at its start.
    """
    inputs: dict[str, Array] = {}
    streams = {entry.name: entry for entry in session.manifest.inputs}
    for port in ports:
        entry = streams.get(port.name)
        shape = [size if isinstance(size, int) else 1 for size in port.shape]
        if entry is None:
            value = frames if port.name in session.manifest.dropped else 0
            inputs[port.name] = np.full(shape, value, dtype=port.dtype)
            continue
        if entry.axis is not None:
            shape[entry.axis] = int(frames * entry.pace)
        if np.issubdtype(port.dtype, np.floating):
            inputs[port.name] = rng.standard_normal(shape).astype(port.dtype)
        else:
            inputs[port.name] = rng.integers(0, SMALLEST_CODEBOOK, shape).astype(port.dtype)
    return inputs


def streamed(
    session: StreamSession, whole: dict[str, Array], frames: int, rng: np.random.Generator
) -> dict[str, Array]:
    """The stream outputs of inputs that come in pieces of 1 to 3 calls' frames."""
    session.reset()
    call = session.manifest.chunk or session.manifest.chunk_multiple
    given: dict[str, list[Array]] = {}
    place = 0
    while place < frames:
        until = min(frames, place + int(rng.integers(1, 3 * call + 1)))
        piece = {}
        for entry in session.manifest.inputs:
            if entry.axis is None:
                piece[entry.name] = whole[entry.name]
                continue
            cut = range(int(place * entry.pace), int(until * entry.pace))
            piece[entry.name] = whole[entry.name].take(cut, axis=entry.axis)
        collect(given, session.push(piece))
        place = until
    collect(given, session.flush())
    streams = {name: entry.along for name, entry in session.outputs.items() if entry.is_stream}
    return {name: np.concatenate(given[name], axis=axis) for name, axis in streams.items()}


def collect(given: dict[str, list[Array]], new: dict[str, Array]) -> None:
    for name, value in new.items():
        given.setdefault(name, []).append(value)
