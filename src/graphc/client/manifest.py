"""The manifest: all that a client needs to know of a compiled model. Derived from a Model, never kept beside it."""

from __future__ import annotations

import io
import json
import math
import zipfile
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from pydantic import ValidationError as PydanticError

from graphc.contract.signature import StateKind, StatePort
from graphc.errors import ModelError
from graphc.ir.model import Model, dims, dtype_name, file_digest

FORMAT = "graphc.manifest/1"
METADATA_KEY = "graphc.manifest"
MAX_STATE_ELEMENTS = 2**31
LARGEST_NPY_HEADER = 2**16

Frames = Annotated[int, Field(ge=0)] | None
BatchAxis = Annotated[int, Field(ge=0)] | None
Fill = float | Literal["inf", "-inf", "nan"]


class Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class LengthStep(Part):
    """floor((mul * T + add) / div), never below 0."""

    mul: int
    add: int
    div: Annotated[int, Field(ge=1)]


class PortEntry(Part):
    name: str
    axis: Annotated[int, Field(ge=0)] | None
    frames: Frames
    shape: list[int | str | None]
    dtype: str
    rate: tuple[int, int] | None = Field(default=None, strict=False)
    batch_axis: BatchAxis = None

    @property
    def pace(self) -> Fraction:
        """Frames of this port for each frame of the first stream input."""
        return Fraction(*(self.rate or (1, 1)))


class InputEntry(PortEntry):
    pass


class OutputEntry(PortEntry):
    delay: Annotated[int, Field(ge=0, le=1_000_000)]
    length: list[LengthStep] | None = None

    def length_of(self, frames: int) -> int:
        """Offline frames of this output for so many input frames."""
        for step in self.length or []:
            frames = max(0, (step.mul * frames + step.add) // step.div)
        return frames


class FillInit(Part):
    fill: Fill


class FileInit(Part):
    file: str
    key: str


class Scale(Part):
    """What the integers of a state stand for: scale * (value - zero_point), by the place on ``axis``."""

    axis: Annotated[int, Field(ge=0)] | None
    scale: list[float]
    zero_point: list[int]


class PackedState(Part):
    """One of several states in a port: what its own ports were named, and its entries on the pack's axis."""

    input: str
    output: str
    node: str = ""
    size: Annotated[int, Field(ge=0)]
    scale: Scale | None = None


class Pack(Part):
    axis: Annotated[int, Field(ge=0)]
    parts: list[PackedState]


class StateEntry(Part):
    input: str
    output: str
    shape: list[Annotated[int, Field(ge=0)]]
    dtype: str
    init: Literal["zeros"] | FillInit | FileInit
    kind: StateKind
    node: str = ""
    batch_axis: BatchAxis = None
    pack: Pack | None = None
    scale: Scale | None = None


class Manifest(Part):
    """The ports of a compiled model (docs/manifest.md says what each field means)."""

    format: Literal["graphc.manifest/1"]
    chunk: Annotated[int, Field(ge=1)] | None
    chunk_multiple: Annotated[int, Field(ge=1)]
    max_frames: Frames
    inputs: list[InputEntry]
    outputs: list[OutputEntry]
    states: list[StateEntry]
    valid_frames: str | None
    frame_ms: float | int | None = None
    window: int | None = None
    min_frames: int = 1
    lengths: Literal["proved", "tried"] = "proved"
    beyond: Literal["continues", "stops"] = "stops"
    reset_s: float | int | None = None
    streams: Annotated[int, Field(ge=1, le=4096)] | None = None
    init_sha256: str | None = None

    @property
    def longest(self) -> int | None:
        """The longest stream that a client may feed; None for any."""
        return None if self.beyond == "continues" else self.max_frames

    def of_one(self) -> Manifest:
        """The manifest as one of the streams of a batch sees it."""

        def one(entry: Any) -> Any:
            if entry.batch_axis is None or self.streams is None:
                return entry
            shape = [
                d // self.streams if a == entry.batch_axis and isinstance(d, int) else d
                for a, d in enumerate(entry.shape)
            ]
            return entry.model_copy(update={"shape": shape})

        parts = {"inputs": [one(i) for i in self.inputs], "outputs": [one(o) for o in self.outputs]}
        return self.model_copy(update={**parts, "states": [one(s) for s in self.states]})


def manifest_of(model: Model, stem: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The manifest as JSON data, and the first values that go to ``STEM.init.npz``."""
    signature = model.signature
    assert signature is not None
    inputs = {t.name: t for t in model.graph.inputs}
    outputs = {t.name: t for t in model.graph.outputs}
    arrays: dict[str, NDArray[Any]] = {}

    def shape_of(tensor: Any, axis: int | None, frames: int | None) -> list[int | str | None]:
        shape: list[int | str | None] = list(signature.shapes.get(tensor.name, ())) or dims(tensor)
        return [frames if a == axis else d for a, d in enumerate(shape)]

    def frames_of(axis: int | None, rate: Any) -> int | None:
        return None if axis is None or signature.chunk is None else int(signature.chunk * rate)

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
                "frames": frames_of(i.axis, i.rate),
                "shape": shape_of(inputs[i.name], i.axis, frames_of(i.axis, i.rate)),
                "dtype": dtype_name(inputs[i.name].dtype),
                "rate": rate_of(i.axis, i.rate),
            }
            for i in signature.inputs
        ],
        "outputs": [
            {
                "name": o.name,
                "axis": o.axis,
                "frames": frames_of(o.axis, o.rate),
                "delay": o.delay,
                "shape": shape_of(outputs[o.name], o.axis, frames_of(o.axis, o.rate)),
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
    }
    if signature.streams is not None:
        for entry in [*data["inputs"], *data["outputs"]]:
            entry["batch_axis"] = signature.batch_axes.get(entry["name"])
        for entry in data["states"]:
            entry["batch_axis"] = signature.batch_axes.get(entry["input"])
    if signature.window is not None:
        data["window"] = signature.window
    return data, arrays


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
    """An .npz with the same bytes for the same arrays: members stored, dated 1980."""
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


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """A manifest from JSON.

    Errors:
        ModelError: not JSON, another format, or a field that lies about its type.
    """
    try:
        return Manifest.model_validate_json(text)
    except PydanticError as err:
        first = err.errors(include_url=False)[0]
        place = ".".join(str(k) for k in first["loc"])
        raise ModelError(f"not a manifest of graphc: {place}: {first['msg']}", where=where) from None


def first_values_in(manifest: Manifest, folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays that states start from.

    Errors:
        ModelError: a file that lies outside the manifest's folder, is another than was written with the manifest, or
            does not hold what the manifest says.
    """
    files = {s.init.file for s in manifest.states if isinstance(s.init, FileInit)}
    values = {s.input: first_value(s, folder) for s in manifest.states}
    for name in files if manifest.init_sha256 is not None else ():
        if file_digest(folder / name) != manifest.init_sha256:
            raise ModelError(
                "it is not the file that was written with this model",
                where=str(folder / name),
                hint="compile again",
            )
    return values


def first_value(state: StateEntry, folder: Path | None) -> NDArray[Any]:
    """The array that a state starts from.

    Errors:
        ModelError: the file lies outside the manifest's folder, or does not hold what the manifest says; also whatever
            reading it raises, of which zipfile, its decompressors and numpy have no list.
    """
    shape, dtype = tuple(state.shape), np.dtype(numpy_dtype(state.dtype))
    if math.prod(shape) > MAX_STATE_ELEMENTS:
        raise ModelError(f"the state '{state.input}' has {math.prod(shape)} elements")
    if isinstance(state.init, str):
        return np.zeros(shape, dtype)
    if isinstance(state.init, FillInit):
        return np.full(shape, float(state.init.fill), dtype)
    name = state.init.file
    if folder is None or Path(name).name != name or name in ("", ".", ".."):
        raise ModelError(f"the first value of '{state.input}' lies in '{name}', which is no file beside the manifest")
    path = folder / name
    if path.is_symlink():
        raise ModelError(f"'{name}' is a link, which a first value may not be", where=str(path))
    try:
        with zipfile.ZipFile(path) as packed:
            unpacked = packed.getinfo(f"{state.init.key}.npy").file_size
        if unpacked > math.prod(shape) * dtype.itemsize + LARGEST_NPY_HEADER:
            raise ValueError(f"it unpacks to {unpacked} bytes, where the manifest has {list(shape)} of {dtype}")
        with np.load(path, allow_pickle=False) as archive:
            held: object = archive[state.init.key]
        if not isinstance(held, np.ndarray):
            raise ValueError("it is no array")
        value: NDArray[Any] = held
    except Exception as err:
        raise ModelError(f"the first value of '{state.input}' cannot be read: {err}", where=str(path)) from err
    if value.shape != shape or value.dtype != dtype:
        raise ModelError(f"the first value of '{state.input}' is {value.dtype}{list(value.shape)}", where=str(path))
    return value


def numpy_dtype(name: str) -> Any:
    """The dtype of a name as a manifest writes it.

    Errors:
        ModelError: no such dtype.
    """
    if name == "bfloat16":
        from ml_dtypes import bfloat16

        return bfloat16
    known = (
        "float16",
        "float32",
        "float64",
        "bool",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
    )
    if name not in known:
        raise ModelError(f"'{name}' is no dtype of a port")
    return name
