"""Derives the manifest of a model. The manifest is never stored apart from the model."""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from graphc.contract.signature import Signature, StatePort, StreamInput, StreamOutput
from graphc.ir.model import Model, dims, dtype_name
from graphc_runtime.contract.manifest import FORMAT


def manifest_of(model: Model, stem: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The manifest as JSON data, and the first values of states that go into ``STEM.init.npz``."""
    signature = model.signature
    assert signature is not None
    inputs = {t.name: t for t in model.graph.inputs}
    outputs = {t.name: t for t in model.graph.outputs}
    arrays: dict[str, NDArray[Any]] = {}

    def shape_of(tensor: Any, axis: int | None, frames: int | None) -> list[int | str | None]:
        shape: list[int | str | None] = list(signature.shapes.get(tensor.name, ())) or dims(tensor)
        return [frames if a == axis else d for a, d in enumerate(shape)]

    def frames_of(port: StreamInput | StreamOutput) -> int | None:
        if port.step:
            return 1
        return None if port.axis is None or signature.chunk is None else int(signature.chunk * port.rate)

    def rate_of(axis: int | None, rate: Fraction) -> list[int] | None:
        return None if axis is None else [rate.numerator, rate.denominator]

    data: dict[str, Any] = {
        "format": FORMAT,
        "chunk": signature.chunk,
        "chunk_multiple": signature.chunk_multiple,
        "max_frames": signature.max_frames,
        "inputs": [
            {
                "name": i.name,
                "axis": i.axis,
                "frames": frames_of(i),
                "shape": shape_of(inputs[i.name], i.axis, frames_of(i)),
                "dtype": dtype_name(inputs[i.name].dtype),
                "rate": rate_of(i.axis, i.rate),
            }
            for i in signature.inputs
        ],
        "outputs": [
            {
                "name": o.name,
                "axis": o.axis,
                "frames": frames_of(o),
                "delay": o.delay,
                "shape": shape_of(outputs[o.name], o.axis, frames_of(o)),
                "dtype": dtype_name(outputs[o.name].dtype),
                "rate": rate_of(o.axis, o.rate),
                "length": o.length.as_dicts() if o.axis is not None else None,
            }
            for o in signature.outputs
        ],
        "states": [state_entry(s, stem, arrays) for s in signature.states],
        "valid_frames": signature.valid_frames,
        "frame_ms": signature.frame_ms,
        "min_frames": signature.min_frames,
        "lengths": "tried" if signature.tried else "proved",
        "beyond": "continues" if signature.continues else "stops",
        "streams": signature.streams,
        "reset_s": signature.reset_s,
        "renamed": {name: port_of(output, signature) for name, output in signature.renamed.items()},
        "dropped": dict(signature.dropped),
    }
    if signature.streams is not None:
        for entry in [*data["inputs"], *data["outputs"]]:
            entry["batch_axis"] = signature.batch_axes.get(entry["name"])
        for entry in data["states"]:
            entry["batch_axis"] = signature.batch_axes.get(entry["input"])
    if signature.window is not None:
        data["window"] = signature.window
    return data, arrays


def port_of(output: str, signature: Signature) -> str:
    """The output port that now holds a state, which may have been packed with others since the lift."""
    for state in signature.states:
        if state.pack is not None and any(part.output == output for part in state.pack.parts):
            return state.output
    return output


def state_entry(state: StatePort, stem: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    init: Any
    flat = state.init.ravel()
    if flat.size == 0 or not np.any(flat != 0):
        init = "zeros"
    elif np.all(flat == flat[0]) and flat.dtype.kind in "fiub":
        init = {"fill": fill_of(flat[0])}
    else:
        arrays[state.input] = state.init
        init = {"file": f"{stem}.init.npz", "key": state.input}
    entry = {
        "input": state.input,
        "output": state.output,
        "shape": list(state.init.shape),
        "dtype": dtype_name(state.init.dtype),
        "init": init,
        "kind": state.kind,
        "node": state.node,
    }
    more = {key: asdict(value) for key in ("pack", "scale") if (value := getattr(state, key)) is not None}
    return {**entry, **more}


def npz(arrays: dict[str, Any]) -> bytes:
    """An .npz file. The same arrays give the same bytes: members are uncompressed and dated 1980."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for key, value in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(value), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0)), member.getvalue())
    return buffer.getvalue()


def fill_of(value: Any) -> Any:
    number = float(value)
    if math.isinf(number):
        return "inf" if number > 0 else "-inf"
    return int(number) if value.dtype.kind in "iub" else number


def to_json(data: Any) -> str:
    return json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def first_values(model: Model) -> dict[str, NDArray[Any]]:
    """The first values of a model's states, by input."""
    assert model.signature is not None
    return {s.input: s.init for s in model.signature.states}
